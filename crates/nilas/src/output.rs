//! What commands print: data to stdout and nothing else there, tables for people, JSON for machines.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use comfy_table::Table;
use serde_json::Value;

use crate::cli::{ColorChoice, GlobalArgs};
use crate::env_vars::{self, EnvVars};
use crate::failure::Failure;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    /// Colours on stdout.
    color: bool,
    /// Colours on stderr.
    pub(crate) error_color: bool,
    terminal: bool,
    error_terminal: bool,
}

impl Output {
    pub(crate) fn new(global: &GlobalArgs, env: &EnvVars) -> Self {
        let wanted = |terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && env.get(&env_vars::NO_COLOR).is_none(),
        };
        let terminal = std::io::stdout().is_terminal();
        let error_terminal = std::io::stderr().is_terminal();
        Self {
            json: global.json,
            color: wanted(terminal),
            error_color: wanted(error_terminal),
            terminal,
            error_terminal,
        }
    }

    /// Text without colours, for the program's talk with itself.
    pub(crate) fn plain() -> Self {
        Self {
            json: false,
            color: false,
            error_color: false,
            terminal: false,
            error_terminal: false,
        }
    }

    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// What a function said, for stdout: as it is, but to a terminal without what the terminal would obey.
    pub(crate) fn foreign<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminal { harmless(text) } else { Cow::Borrowed(text) }
    }

    pub(crate) fn foreign_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        if self.terminal {
            return self.bytes(harmless(&String::from_utf8_lossy(bytes)).as_bytes());
        }
        self.bytes(bytes)
    }

    /// The same on stderr.
    pub(crate) fn foreign_note(&self, text: &str) -> Result<(), Failure> {
        self.note(&if self.error_terminal { harmless(text) } else { Cow::Borrowed(text) })
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(&format!("{value:#}"))
    }

    /// A remark to the person, who may be looking at stderr only.
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(std::io::stderr().lock(), "{text}")?)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// An ANSI colour's code, such as 36.
    pub(crate) fn color(&self, code: &str, text: &str) -> String {
        self.paint(code, text)
    }

    /// Like `dim`, for stderr.
    pub(crate) fn dim_note(&self, text: &str) -> String {
        paint(self.error_color, "2", text)
    }

    pub(crate) fn green_note(&self, text: &str) -> String {
        paint(self.error_color, "32", text)
    }

    pub(crate) fn yellow_note(&self, text: &str) -> String {
        paint(self.error_color, "33", text)
    }

    pub(crate) fn red_note(&self, text: &str) -> String {
        paint(self.error_color, "31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        paint(self.color, code, text)
    }
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Makes control characters visible, all but new lines and tabs: they could move the cursor, hide what was printed
/// before, or make a terminal answer as if somebody had typed.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match obeyed(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A table without lines: columns two spaces apart, so that `awk` and eyes both find them.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A member of a JSON answer as text, without quotes.
pub(crate) fn text_of(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_a_function_prints() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text), expected);
        check("plain\ttext\nÄ", "plain\ttext\nÄ");
        check("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}");
        check("real\rforged\u{9b}2J", "real\\rforged\\u{9b}2J");
    }
}
