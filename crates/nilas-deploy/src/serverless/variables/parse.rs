//! The grammar of variables: `${type(param, …):address, fallback, …}`, nested anywhere in params and addresses.
//!
//! What does not look like a variable of ours, as `${AWS::Region}`, is left alone; `\${` is a literal `${`.

/// A piece of text, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// Sources in the order they are tried.
    Variable(Vec<Source>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Lookup {
        kind: String,
        params: Vec<Argument>,
        address: Option<Argument>,
    },
    Literal(serde_json::Value),
    /// A variable as the fallback of another; versions before 3 take it.
    Nested(Vec<Piece>),
}

/// A param or an address.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Literal(serde_json::Value),
    Pieces(Vec<Piece>),
}

/// Variables within variables.
const NESTING_MAX: usize = 32;

/// Takes `text` apart. `None` if there is no variable and no escape in it.
pub(super) fn parse(text: &str) -> Result<Option<Vec<Piece>>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut reader = Reader { text, chars: text.char_indices().collect(), at: 0, nesting: 0 };
    let mut pieces = Vec::new();
    let mut found = false;
    let mut plain = String::new();
    // How many `}` of foreign variables are still to come does not matter: they are plain text as everything around.
    while let Some(char) = reader.peek() {
        let slashes = reader.count('\\');
        if slashes > 0 && reader.follows_at(slashes, "${") {
            plain.extend(std::iter::repeat_n('\\', slashes / 2));
            reader.at += slashes;
            found = true;
            if slashes % 2 == 1 {
                // Split here, so that the literal is not read again when it is put together.
                plain.push('$');
                reader.at += 1;
            }
        } else if slashes > 0 {
            plain.extend(std::iter::repeat_n('\\', slashes));
            reader.at += slashes;
        } else if reader.follows_at(0, "${") {
            match reader.variable(false)? {
                Some(sources) => {
                    found = true;
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Variable(sources));
                }
                None => {
                    plain.push_str("${");
                    reader.at += 2;
                }
            }
        } else {
            plain.push(char);
            reader.at += 1;
        }
    }
    pieces.push(Piece::Text(plain));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Ok(found.then_some(pieces))
}

struct Reader<'t> {
    text: &'t str,
    chars: Vec<(usize, char)>,
    at: usize,
    nesting: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).map(|(_, char)| *char)
    }

    fn count(&self, wanted: char) -> usize {
        self.chars[self.at..].iter().take_while(|(_, char)| *char == wanted).count()
    }

    fn follows_at(&self, offset: usize, wanted: &str) -> bool {
        wanted
            .chars()
            .enumerate()
            .all(|(n, char)| self.chars.get(self.at + offset + n).is_some_and(|(_, c)| *c == char))
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }

    fn slice(&self, from: usize, to: usize) -> &str {
        let byte = |index: usize| self.chars.get(index).map_or(self.text.len(), |(byte, _)| *byte);
        &self.text[byte(from)..byte(to)]
    }

    fn invalid(&self, what: &str, at: usize) -> String {
        format!("Invalid variable {what} at index {at} in \"{}\"", self.text)
    }

    /// At `${`. `None` if it is none of ours, which is an error within one of ours (`is_nested`); then nothing is read.
    fn variable(&mut self, is_nested: bool) -> Result<Option<Vec<Source>>, String> {
        let start = self.at;
        if self.nesting >= NESTING_MAX {
            return Err(self.invalid("nesting", start));
        }
        self.at += 2;
        let kind_start = self.at;
        let is_kind = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        while self.peek().is_some_and(is_kind) {
            self.at += 1;
        }
        let kind = self.slice(kind_start, self.at).to_owned();
        let opens = matches!(self.peek(), Some(':' | '('));
        let starts = kind.starts_with(|c: char| c.is_ascii_lowercase());
        if !opens || !starts || self.follows_at(0, "::") {
            self.at = start;
            if is_nested {
                return Err(self.invalid("type", kind_start));
            }
            return Ok(None);
        }
        self.nesting += 1;
        let mut sources = vec![self.lookup(kind)?];
        loop {
            match self.peek() {
                Some('}') => {
                    self.at += 1;
                    self.nesting -= 1;
                    return Ok(Some(sources));
                }
                Some(',') => {
                    self.at += 1;
                    sources.push(self.fallback()?);
                }
                Some(_) => return Err(self.invalid("address", self.at)),
                None => return Err(self.invalid("configuration: it is not closed", start)),
            }
        }
    }

    /// After the type, at `:` or `(`; up to `,` or `}`.
    fn lookup(&mut self, kind: String) -> Result<Source, String> {
        let mut params = Vec::new();
        if self.peek() == Some('(') {
            self.at += 1;
            params = self.params()?;
            self.skip_spaces();
        }
        let mut address = None;
        if self.peek() == Some(':') {
            self.at += 1;
            self.skip_spaces();
            address = match self.peek() {
                Some('}' | ',') => None,
                Some(quote @ ('"' | '\'')) => Some(Argument::Literal(self.quoted(quote)?.into())),
                _ => Some(self.argument(&['}', ','])?),
            };
        }
        self.skip_spaces();
        Ok(Source::Lookup { kind, params, address })
    }

    /// After `(`, up to after `)`.
    fn params(&mut self) -> Result<Vec<Argument>, String> {
        let mut params = Vec::new();
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(')') => {
                    self.at += 1;
                    return Ok(params);
                }
                Some(',') => params.push(Argument::Literal(serde_json::Value::Null)),
                Some(quote @ ('"' | '\'')) => {
                    params.push(Argument::Literal(self.quoted(quote)?.into()));
                }
                Some('}') | None => return Err(self.invalid("param", self.at)),
                Some(_) => params.push(self.argument(&[')', ',', '}'])?),
            }
            self.skip_spaces();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(')') => {}
                _ => return Err(self.invalid("param", self.at)),
            }
        }
    }

    /// Text with variables in it, up to one of `ends`. Without any it is a literal: a number, `true`, or text.
    fn argument(&mut self, ends: &[char]) -> Result<Argument, String> {
        let mut pieces = Vec::new();
        let mut plain_start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.invalid("address", plain_start)),
                Some(char) if ends.contains(&char) => break,
                Some('$') if self.follows_at(0, "${") => {
                    pieces.push(Piece::Text(self.slice(plain_start, self.at).to_owned()));
                    if let Some(sources) = self.variable(true)? {
                        pieces.push(Piece::Variable(sources));
                    }
                    plain_start = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
        let rest = self.slice(plain_start, self.at).trim_end().to_owned();
        if pieces.is_empty() {
            let is_param = ends.contains(&')');
            return Ok(Argument::Literal(match literal(&rest) {
                Some(value) if is_param => value,
                _ => rest.into(),
            }));
        }
        pieces.push(Piece::Text(rest));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Argument::Pieces(pieces))
    }

    /// After `,`: another source, or the literal that ends the list.
    fn fallback(&mut self) -> Result<Source, String> {
        self.skip_spaces();
        let start = self.at;
        match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                let text = self.quoted(quote)?;
                self.skip_spaces();
                return Ok(Source::Literal(text.into()));
            }
            Some('$') if self.follows_at(0, "${") => {
                let sources = self.variable(true)?.unwrap_or_default();
                self.skip_spaces();
                return Ok(Source::Nested(vec![Piece::Variable(sources)]));
            }
            _ => {}
        }
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || " .-".contains(c)) {
            self.at += 1;
        }
        let word = self.slice(start, self.at).trim().to_owned();
        match self.peek() {
            Some(':' | '(')
                if word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.chars().all(|c| c.is_ascii_alphanumeric()) =>
            {
                self.lookup(word)
            }
            Some('}') if !word.is_empty() => literal(&word).map(Source::Literal).ok_or_else(|| {
                format!("Invalid literal source \"{word}\" at index {start} in \"{}\"", self.text)
            }),
            _ => Err(self.invalid("source", start)),
        }
    }

    /// At a quote, up to after the one that closes it.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => {
                    return Err(format!(
                        "Invalid string literal at index {start} in \"{}\": it is not closed",
                        self.text
                    ));
                }
                Some('\\') if quote == '"' => self.at += 2,
                Some(char) if char == quote => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let end = self.at.min(self.chars.len());
        let inner = self.slice(start, end);
        if quote == '\'' {
            return Ok(inner[1..inner.len() - 1].to_owned());
        }
        serde_json::from_str(inner).map_err(|err| {
            format!("Invalid string literal at index {start} in \"{}\": {err}", self.text)
        })
    }
}

fn literal(word: &str) -> Option<serde_json::Value> {
    match word {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        "null" => Some(serde_json::Value::Null),
        _ => serde_json::from_str::<serde_json::Number>(word).ok().map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let shown = match parse(text) {
            Ok(None) => "none".to_owned(),
            Ok(Some(pieces)) => show(&pieces),
            Err(err) => format!("error: {err}"),
        };
        expected.assert_eq(&shown);
    }

    fn show(pieces: &[Piece]) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Variable(sources) => {
                let sources: Vec<String> = sources.iter().map(show_source).collect();
                format!("<{}>", sources.join(" | "))
            }
        };
        pieces.iter().map(piece).collect::<Vec<_>>().join(" ")
    }

    fn show_source(source: &Source) -> String {
        let argument = |argument: &Argument| match argument {
            Argument::Literal(value) => value.to_string(),
            Argument::Pieces(pieces) => show(pieces),
        };
        match source {
            Source::Literal(value) => value.to_string(),
            Source::Nested(pieces) => show(pieces),
            Source::Lookup { kind, params, address } => {
                let params: Vec<String> = params.iter().map(argument).collect();
                let address = address.as_ref().map(argument).unwrap_or_default();
                format!("{kind}({}):{address}", params.join(", "))
            }
        }
    }

    #[test]
    fn variables_are_taken_apart() {
        check("plain", expect!["none"]);
        check(
            "a-${opt:stage, self:provider.stage, 'dev'}-b",
            expect![[r#""a-" <opt():"stage" | self():"provider.stage" | "dev"> "-b""#]],
        );
        check(
            "${file(./c.${sls:stage}.yml):a.b}",
            expect![[r#"<file("./c." <sls():"stage"> ".yml"):"a.b">"#]],
        );
        check(
            "${self:custom.${opt:stage}.x, null}",
            expect![[r#"<self():"custom." <opt():"stage"> ".x" | null>"#]],
        );
        check("${ssm(us-west-2, raw):/a/b}", expect![[r#"<ssm("us-west-2", "raw"):"/a/b">"#]]);
        check("${strToBool(${env:X, 'true'})}", expect![[r#"<strToBool(<env():"X" | "true">):>"#]]);
        check("${self:}", expect!["<self():>"]);
        check("${opt:a, ${self:b}}", expect![[r#"<opt():"a" | <self():"b">>"#]]);
        check("${env:N, 12}", expect![[r#"<env():"N" | 12>"#]]);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        check("${AWS::Region}-${Foo}", expect!["none"]);
        check("${AWS::Region}-${self:a}", expect![[r#""${AWS::Region}-" <self():"a">"#]]);
        check("${Foo-${self:a}}", expect![[r#""${Foo-" <self():"a"> "}""#]]);
        check("\\${self:a}", expect![[r#""${self:a}""#]]);
        check("\\\\${self:a}", expect![[r#""\\" <self():"a">"#]]);
    }

    #[test]
    fn errors_say_where() {
        check(
            "${opt:stage, dev}",
            expect![[r#"error: Invalid literal source "dev" at index 13 in "${opt:stage, dev}""#]],
        );
        check(
            "${self:a.${Foo}}",
            expect![[r#"error: Invalid variable type at index 11 in "${self:a.${Foo}}""#]],
        );
        check("${file(a}", expect![[r#"error: Invalid variable param at index 8 in "${file(a}""#]]);
        check("${self:a", expect![[r#"error: Invalid variable address at index 7 in "${self:a""#]]);
    }
}
