//! Values as Python prints them: `str`, `json.dumps`. Logical ids are digests of these, so every space counts.

use std::fmt::Write;

use serde_json::Number;
use sha1::{Digest, Sha1};

use super::value::{Map, Text, Val};

/// Characters of the digest that a logical id ends with.
const ID_DIGEST_CHARS: usize = 10;

/// The prefix and the digest of `data`; nothing more where `data` is empty.
pub(in crate::sam) fn hashed_id(prefix: &str, data: &Val) -> String {
    let text = match data {
        Val::Text(text) => text.as_str().to_owned(),
        data if data.truthy() => json_sorted(data),
        _ => String::new(),
    };
    format!("{prefix}{}", digest(&text, ID_DIGEST_CHARS))
}

/// The first characters of the hexadecimal SHA-1 of a text; nothing of an empty one.
pub(in crate::sam) fn digest(text: &str, chars: usize) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(text.as_bytes()) {
        push(&mut hex, format_args!("{byte:02x}"));
    }
    hex.truncate(chars);
    hex
}

/// `json.dumps(value, separators=(",", ":"), sort_keys=True)`.
pub(in crate::sam) fn json_sorted(value: &Val) -> String {
    let mut out = String::new();
    write_json(&mut out, value, &Style { item: ",", member: ":", sorted: true, indent: None }, 0);
    out
}

/// `json.dumps(value)`.
pub(in crate::sam) fn json(value: &Val) -> String {
    let mut out = String::new();
    write_json(
        &mut out,
        value,
        &Style { item: ", ", member: ": ", sorted: false, indent: None },
        0,
    );
    out
}

/// `json.dumps(value, sort_keys=True, indent=4, separators=(",", ": "))`.
pub(in crate::sam) fn json_indented(value: &Val) -> String {
    let mut out = String::new();
    let style = Style { item: ",", member: ": ", sorted: true, indent: Some(4) };
    write_json(&mut out, value, &style, 0);
    out
}

struct Style {
    item: &'static str,
    member: &'static str,
    sorted: bool,
    indent: Option<usize>,
}

impl Style {
    fn line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }
}

fn write_json(out: &mut String, value: &Val, style: &Style, depth: usize) {
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(value) => push(out, format_args!("{value}")),
        Val::Number(number) => out.push_str(&number_text(number)),
        Val::Text(text) => write_json_text(out, text),
        Val::List(list) if list.is_empty() => out.push_str("[]"),
        Val::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.item);
                }
                style.line(out, depth + 1);
                write_json(out, item, style, depth + 1);
            }
            style.line(out, depth);
            out.push(']');
        }
        Val::Map(map) if map.is_empty() => out.push_str("{}"),
        Val::Map(map) => {
            let mut members: Vec<(&Text, &Val)> = map.iter().collect();
            if style.sorted {
                members.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
            }
            out.push('{');
            for (index, (key, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(style.item);
                }
                style.line(out, depth + 1);
                write_json_text(out, key);
                out.push_str(style.member);
                write_json(out, item, style, depth + 1);
            }
            style.line(out, depth);
            out.push('}');
        }
    }
}

fn write_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    push(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `str(value)`, with the `u` of Python 2.7 before text of the document.
pub(in crate::sam) fn text(value: &Val) -> String {
    match value {
        Val::Text(text) => text.as_str().to_owned(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub(in crate::sam) fn repr(value: &Val) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

fn write_repr(out: &mut String, value: &Val) {
    match value {
        Val::Null => out.push_str("None"),
        Val::Bool(true) => out.push_str("True"),
        Val::Bool(false) => out.push_str("False"),
        Val::Number(number) => out.push_str(&number_text(number)),
        Val::Text(text) => write_text_repr(out, text),
        Val::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Val::Map(map) => write_map_repr(out, map),
    }
}

fn write_map_repr(out: &mut String, map: &Map) {
    out.push('{');
    for (index, (key, item)) in map.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_text_repr(out, key);
        out.push_str(": ");
        write_repr(out, item);
    }
    out.push('}');
}

fn write_text_repr(out: &mut String, text: &Text) {
    if text.marked {
        out.push('u');
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if !text.marked && !c.is_control() && c != '\u{ad}' => out.push(c),
            c if (c as u32) < 0x100 => push(out, format_args!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => push(out, format_args!("\\u{:04x}", c as u32)),
            c => push(out, format_args!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
}

/// A number as Python writes it: `1.0`, `1e+16`, `1e-05`.
fn number_text(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, digits_of_exponent) =
                exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{digits_of_exponent:0>2}")
        }
        None => text,
    }
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes whatever is written");
}
