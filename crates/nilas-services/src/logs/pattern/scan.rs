//! A cursor over a pattern's text, with the tokens that all three syntaxes share.

use regex::{Regex, RegexBuilder};

use super::value::{Operator, Value};
use super::{InvalidPattern, REGEXES_MAX, Result};

/// Compiled size of one expression, bytes; hostile ones such as `a{999}{999}` are refused by it.
const REGEX_BYTES_MAX: usize = 262_144;

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
    regexes: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, regexes: 0 }
    }

    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes `token` if it comes next, blanks skipped.
    pub(super) fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(InvalidPattern) }
    }

    /// Nothing but blanks may follow.
    pub(super) fn expect_end(&mut self) -> Result<()> {
        self.skip_blanks();
        if self.rest.is_empty() { Ok(()) } else { Err(InvalidPattern) }
    }

    /// The longest run, at least one, of characters that `fits` takes.
    pub(super) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> Result<&'a str> {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        if taken.is_empty() { Err(InvalidPattern) } else { Ok(taken) }
    }

    /// `"…"`, in which a backslash keeps the next character as it is.
    pub(super) fn quoted(&mut self) -> Result<String> {
        self.expect("\"")?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                c => text.push(c),
            }
        }
        Err(InvalidPattern)
    }

    /// `%…%`, of AWS's subset: no groups, ASCII only.
    pub(super) fn regex(&mut self) -> Result<Regex> {
        self.expect("%")?;
        let end = self.rest.find('%').ok_or(InvalidPattern)?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        self.regexes += 1;
        let legal = |c: char| c.is_ascii_alphanumeric() || " :_#=@/;,-^$?[]{}|\\*+.".contains(c);
        // Behind a backslash any symbol may stand for itself.
        let unescaped = text.replace("\\(", "").replace("\\)", "").replace("\\\"", "");
        if text.is_empty() || self.regexes > REGEXES_MAX || !unescaped.chars().all(legal) {
            return Err(InvalidPattern);
        }
        let built = RegexBuilder::new(text)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build();
        built.map_err(|_| InvalidPattern)
    }

    pub(super) fn operator(&mut self) -> Result<Operator> {
        // Longest first.
        for (token, operator) in [
            ("!=", Operator::NotEqual),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ] {
            if self.take(token) {
                return Ok(operator);
            }
        }
        Err(InvalidPattern)
    }

    /// What a selector is compared to by `operator`; a bare word ends where `ends` says, or at a blank.
    pub(super) fn value(&mut self, operator: Operator, ends: &str) -> Result<Value> {
        self.skip_blanks();
        let value = match self.peek() {
            Some('"') => Value::text(self.quoted()?),
            Some('%') => Value::Regex(self.regex()?),
            _ => {
                let word = self.take_while(|c| !c.is_whitespace() && !ends.contains(c))?;
                if word.starts_with(['=', '<', '>', '!']) {
                    return Err(InvalidPattern);
                }
                Value::word(word)
            }
        };
        let fits = operator.is_equality() || matches!(value, Value::Number { .. });
        if fits { Ok(value) } else { Err(InvalidPattern) }
    }
}
