//! Reads a pattern's JSON token by token and knows where it is: AWS says where a pattern is wrong, to the column.
//!
//! AWS's service is written in Java and quotes its parser (Jackson), so positions are that parser's: behind the token read
//! last, but behind the opening quote of a text, and behind the first token of a value that a name was read for.

use super::PatternError;

/// Objects and arrays in one another. Patterns of people have five.
const DEPTH_MAX: usize = 100;
/// Characters of the pattern that an error repeats, as Jackson does.
const QUOTED_CHARS_MAX: usize = 500;

const A_VALUE: &str =
    "a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Name(String),
    Text(String),
    /// As it is spelled.
    Number(&'a str),
    True,
    False,
    Null,
}

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// Where the next token is looked for, bytes.
    at: usize,
    /// Where an error is told to be, bytes.
    mark: usize,
    open: Vec<Open>,
    /// The value behind a name, read with it.
    ahead: Option<(Token<'a>, usize)>,
}

#[derive(Debug)]
struct Open {
    is_object: bool,
    is_empty: bool,
    /// Of its first character, bytes.
    start: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, mark: 0, open: Vec::new(), ahead: None }
    }

    /// The next token; at the end of the text an error, for whoever asks expects one.
    pub(super) fn next(&mut self) -> Result<Token<'a>, PatternError> {
        if let Some((token, mark)) = self.ahead.take() {
            self.mark = mark;
            return Ok(token);
        }
        self.skip_space();
        let first = self.peek();
        let Some(open) = self.open.last() else {
            if first.is_none() {
                return Err(self.error("Filter is not an object"));
            }
            return self.value();
        };
        let (is_object, is_empty) = (open.is_object, open.is_empty);
        let end = if is_object { b'}' } else { b']' };
        match first {
            None => return Err(self.unclosed()),
            Some(byte) if byte == end => {
                self.advance();
                self.open.pop();
                return Ok(if is_object { Token::ObjectEnd } else { Token::ArrayEnd });
            }
            Some(b',') if !is_empty => {
                self.advance();
                self.skip_space();
            }
            Some(_) if is_empty => {}
            Some(_) => {
                let of = if is_object { "Object" } else { "Array" };
                return Err(
                    self.unexpected(&format!("was expecting comma to separate {of} entries"))
                );
            }
        }
        if let Some(open) = self.open.last_mut() {
            open.is_empty = false;
        }
        if is_object { self.name() } else { self.value() }
    }

    /// An error behind the token that was read last.
    pub(super) fn error(&self, reason: &str) -> PatternError {
        self.error_at(reason, self.mark)
    }

    /// As [`Self::error`], but behind the closing quote if that token is a text.
    pub(super) fn error_behind(&self, reason: &str) -> PatternError {
        self.error_at(reason, self.at)
    }

    fn error_at(&self, reason: &str, at: usize) -> PatternError {
        PatternError(format!("{reason}\n at {}", self.source(at)))
    }

    /// `[Source: (String)"{}"; line: 1, column: 3]`
    fn source(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().encode_utf16().count() + 1;
        let chars = self.text.chars().count();
        let shown: String = self.text.chars().take(QUOTED_CHARS_MAX).collect();
        let rest = match chars.saturating_sub(QUOTED_CHARS_MAX) {
            0 => String::new(),
            rest => format!("[truncated {rest} chars]"),
        };
        format!("[Source: (String)\"{shown}\"{rest}; line: {line}, column: {column}]")
    }

    fn name(&mut self) -> Result<Token<'a>, PatternError> {
        if self.peek() != Some(b'"') {
            return match self.peek() {
                None => Err(self.unclosed()),
                Some(_) => Err(self.unexpected("was expecting double-quote to start field name")),
            };
        }
        let name = self.string()?;
        self.skip_space();
        match self.peek() {
            None => return Err(self.unclosed()),
            Some(b':') => self.advance(),
            Some(_) => {
                return Err(
                    self.unexpected("was expecting a colon to separate field name and value")
                );
            }
        }
        self.skip_space();
        let value = self.value()?;
        self.ahead = Some((value, self.mark));
        Ok(Token::Name(name))
    }

    fn value(&mut self) -> Result<Token<'a>, PatternError> {
        match self.peek() {
            None => Err(self.unclosed()),
            Some(byte @ (b'{' | b'[')) => {
                let start = self.at;
                self.advance();
                if self.open.len() >= DEPTH_MAX {
                    return Err(self.error(&format!("Pattern is nested deeper than {DEPTH_MAX}")));
                }
                let is_object = byte == b'{';
                self.open.push(Open { is_object, is_empty: true, start });
                Ok(if is_object { Token::ObjectStart } else { Token::ArrayStart })
            }
            Some(b'"') => {
                let start = self.at + 1;
                let text = self.string()?;
                self.mark = start;
                Ok(Token::Text(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => Err(self.unexpected(&format!("expected {A_VALUE}"))),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, PatternError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c));
        let number = &rest[..end.unwrap_or(rest.len())];
        if serde_json::from_str::<serde_json::Number>(number).is_err() {
            self.at += 1;
            return Err(self.error_behind(&format!("Invalid numeric value: {number}")));
        }
        self.at += number.len();
        self.mark = self.at;
        Ok(Token::Number(number))
    }

    fn word(&mut self) -> Result<Token<'a>, PatternError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        self.mark = self.at;
        match word {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            word => Err(self.error(&format!(
                "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
            ))),
        }
    }

    /// A text in quotes, its escapes resolved.
    fn string(&mut self) -> Result<String, PatternError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                None => {
                    let reason =
                        "Unexpected end-of-input: was expecting closing quote for a string value";
                    return Err(self.error_at(reason, self.text.len()));
                }
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        self.mark = self.at;
        serde_json::from_str(&self.text[start..=end])
            .map_err(|_| self.error("Illegal character or escape in a string value"))
    }

    fn unexpected(&mut self, expected: &str) -> PatternError {
        let found = self.text[self.at..].chars().next().unwrap_or_default();
        self.at += found.len_utf8();
        let reason =
            format!("Unexpected character ('{found}' (code {})): {expected}", u32::from(found));
        self.error_behind(&reason)
    }

    fn unclosed(&self) -> PatternError {
        let Some(open) = self.open.last() else { return self.error("Filter is not an object") };
        let kind = if open.is_object { "Object" } else { "Array" };
        let started = self.source(open.start);
        let reason = format!(
            "Unexpected end-of-input: expected close marker for {kind} (start marker at {started})"
        );
        self.error_at(&reason, self.text.len())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at += 1;
        self.mark = self.at;
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}
