//! A pattern's text as what it matches, with AWS's words for what is wrong in it.

use std::collections::BTreeMap;

use super::matcher::{Comparison, Matcher, Wildcard};
use super::scan::{Scanner, Token};
use super::{Branch, PatternError, cidr};

/// Alternatives that the `$or`s of one pattern make together; see "Creating events that match event patterns", `$or`.
const BRANCHES_MAX: usize = 1_000;
/// Numbers that AWS compares.
const NUMBER_MAX: f64 = 5e9;
/// Names that may not be fields inside `$or`.
const RESERVED: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

const ONE_KEY: &str = "Only one key allowed in match expression";
const TOO_MANY: &str = "Too many elements in numeric expression";

/// What each field must match in one alternative, by path.
type Fields = BTreeMap<Vec<String>, Vec<Matcher>>;

pub(super) fn compile(text: &str) -> Result<Vec<Branch>, PatternError> {
    let mut compiler =
        Compiler { scanner: Scanner::new(text), path: Vec::new(), branches: Vec::new() };
    if compiler.scanner.next()? != Token::ObjectStart {
        return Err(compiler.scanner.error("Filter is not an object"));
    }
    compiler.object(false)?;
    Ok(compiler.branches.into_iter().map(branch).collect())
}

/// The fields of one alternative as the tree that events are compared with.
fn branch(fields: Fields) -> Branch {
    let mut root = Branch::default();
    for (path, matchers) in fields {
        let mut node = &mut root;
        for name in path {
            node = node.children.entry(name).or_default();
        }
        node.leaf = Some(matchers);
    }
    root
}

struct Compiler<'a> {
    scanner: Scanner<'a>,
    path: Vec<String>,
    /// The alternatives so far: one without `$or`. Each field read is added to all of them.
    branches: Vec<Fields>,
}

impl Compiler<'_> {
    fn object(&mut self, is_in_or: bool) -> Result<(), PatternError> {
        let mut is_empty = true;
        loop {
            let name = match self.scanner.next()? {
                Token::ObjectEnd if is_empty => {
                    return Err(self.scanner.error("Empty objects are not allowed"));
                }
                Token::Name(name) => name,
                _ => return Ok(()),
            };
            is_empty = false;
            if name == "$or" {
                self.alternatives()?;
                continue;
            }
            if is_in_or && RESERVED.contains(&name.as_str()) {
                return Err(self.scanner.error(&format!(
                    "{name} is Ruler reserved fieldName which cannot be used inside $or."
                )));
            }
            match self.scanner.next()? {
                Token::ObjectStart => {
                    self.path.push(name);
                    self.object(is_in_or)?;
                    self.path.pop();
                }
                Token::ArrayStart => {
                    self.path.push(name);
                    self.field()?;
                    self.path.pop();
                }
                _ => {
                    let reason = format!("\"{name}\" must be an object or an array");
                    return Err(self.scanner.error(&reason));
                }
            }
        }
    }

    /// The list behind `$or`: every alternative so far with each of its objects.
    fn alternatives(&mut self) -> Result<(), PatternError> {
        let before = std::mem::take(&mut self.branches);
        if self.scanner.next()? != Token::ArrayStart {
            return Err(self.scanner.error("It must be an Array followed with $or."));
        }
        let mut all = Vec::new();
        let mut count = 0;
        loop {
            match self.scanner.next()? {
                Token::ArrayEnd => break,
                Token::ObjectStart => {
                    count += 1;
                    self.branches = before.clone();
                    self.object(true)?;
                    all.append(&mut self.branches);
                }
                _ => {
                    let reason = "Only JSON object is allowed in array of $or relationship.";
                    return Err(self.scanner.error(reason));
                }
            }
            if all.len() > BRANCHES_MAX {
                let reason = format!(
                    "Rule is too complex - it has more than {BRANCHES_MAX} $or combinations"
                );
                return Err(self.scanner.error(&reason));
            }
        }
        if count < 2 {
            let reason = "There must have at least 2 Objects in $or relationship.";
            return Err(self.scanner.error(reason));
        }
        self.branches = all;
        Ok(())
    }

    fn field(&mut self) -> Result<(), PatternError> {
        let mut matchers = Vec::new();
        loop {
            let matcher = match self.scanner.next()? {
                Token::ArrayEnd => break,
                Token::ObjectStart => self.expression()?,
                Token::Text(text) => Matcher::Text(text),
                Token::Number(number) => {
                    Matcher::Number { value: float(number), text: number.to_owned() }
                }
                Token::True => Matcher::Literal(true.into()),
                Token::False => Matcher::Literal(false.into()),
                Token::Null => Matcher::Literal(serde_json::Value::Null),
                _ => {
                    let reason = "Match value must be String, number, true, false, or null";
                    return Err(self.scanner.error(reason));
                }
            };
            matchers.push(matcher);
        }
        if matchers.is_empty() {
            return Err(self.scanner.error("Empty arrays are not allowed"));
        }
        if self.branches.is_empty() {
            self.branches.push(Fields::new());
        }
        for fields in &mut self.branches {
            fields.insert(self.path.clone(), matchers.clone());
        }
        Ok(())
    }

    /// `{"prefix": "a"}`, its brace read already.
    fn expression(&mut self) -> Result<Matcher, PatternError> {
        let Token::Name(kind) = self.scanner.next()? else {
            return Err(self.scanner.error("Match expression name not found"));
        };
        let matcher = match kind.as_str() {
            "exactly" => Matcher::Exactly(self.text("exact match pattern must be a string")?),
            "prefix" => match self.text_or_object("prefix match pattern must be a string")? {
                Some(prefix) => Matcher::Prefix(prefix),
                None => Matcher::PrefixIgnoreCase(self.ignore_case("Prefix", "prefix")?),
            },
            "suffix" => match self.text_or_object("suffix match pattern must be a string")? {
                Some(suffix) => Matcher::Suffix(suffix),
                None => Matcher::SuffixIgnoreCase(self.ignore_case("Suffix", "suffix")?),
            },
            "numeric" => return self.numeric(),
            "anything-but" => return self.anything_but(),
            "exists" => match self.scanner.next()? {
                Token::True => Matcher::Exists(true),
                Token::False => Matcher::Exists(false),
                _ => {
                    let reason = "exists match pattern must be either true or false.";
                    return Err(self.scanner.error(reason));
                }
            },
            // The word is AWS's.
            "cidr" => {
                let block = self.text("prefix match pattern must be a string")?;
                Matcher::Cidr(cidr::Block::parse(&block).map_err(PatternError)?)
            }
            "equals-ignore-case" => {
                let text = self.text("equals-ignore-case match pattern must be a string")?;
                Matcher::EqualsIgnoreCase(text.to_lowercase())
            }
            "wildcard" => {
                let text = self.text("wildcard match pattern must be a string")?;
                Matcher::Wildcard(self.wildcard(&text)?)
            }
            kind => return Err(self.scanner.error(&format!("Unrecognized match type {kind}"))),
        };
        self.end(ONE_KEY)?;
        Ok(matcher)
    }

    /// The rest of `{"prefix": {"equals-ignore-case": "a"}}`, but for the last brace.
    fn ignore_case(&mut self, title: &str, kind: &str) -> Result<String, PatternError> {
        match self.scanner.next()? {
            Token::Name(name) if name == "equals-ignore-case" => {}
            Token::Name(name) => {
                return Err(self.scanner.error(&format!("Unsupported {kind} pattern: {name}")));
            }
            _ => return Err(self.scanner.error(&format!("{title} expression name not found"))),
        }
        let text = self.text("equals-ignore-case match pattern must be a string")?;
        self.end(ONE_KEY)?;
        Ok(text.to_lowercase())
    }

    fn anything_but(&mut self) -> Result<Matcher, PatternError> {
        match self.scanner.next()? {
            Token::ObjectStart => {
                let Token::Name(kind) = self.scanner.next()? else {
                    return Err(self.scanner.error("Anything-But expression name not found"));
                };
                let kinds = ["equals-ignore-case", "prefix", "suffix", "wildcard"];
                if !kinds.contains(&kind.as_str()) {
                    let reason = format!("Unsupported anything-but pattern: {kind}");
                    return Err(self.scanner.error(&reason));
                }
                let token = self.scanner.next()?;
                let refused = self.refused(token, |but, token| but.refused_text(&kind, token))?;
                self.end(TOO_MANY)?;
                self.end(TOO_MANY)?;
                Ok(Matcher::AnythingBut(refused))
            }
            token => {
                let is_list = token == Token::ArrayStart;
                let refused = self.refused(token, Self::refused_value)?;
                let numbers =
                    refused.iter().filter(|one| matches!(one, Matcher::Number { .. })).count();
                if is_list && (refused.is_empty() || numbers % refused.len() != 0) {
                    let reason = "Inside anything but list, either all values are number or string, mixed type is not supported";
                    return Err(self.scanner.error(reason));
                }
                self.end(TOO_MANY)?;
                Ok(Matcher::AnythingBut(refused))
            }
        }
    }

    /// One value, or a list of them.
    fn refused(
        &mut self,
        token: Token<'_>,
        one: impl Fn(&mut Self, Token<'_>) -> Result<Matcher, PatternError>,
    ) -> Result<Vec<Matcher>, PatternError> {
        match token {
            Token::ArrayStart => {
                let mut refused = Vec::new();
                loop {
                    match self.scanner.next()? {
                        Token::ArrayEnd => return Ok(refused),
                        token => refused.push(one(self, token)?),
                    }
                }
            }
            token @ (Token::Text(_) | Token::Number(_)) => Ok(vec![one(self, token)?]),
            _ => {
                let reason =
                    "Value of anything-but must be an array or single string/number value.";
                Err(self.scanner.error(reason))
            }
        }
    }

    fn refused_value(&mut self, token: Token<'_>) -> Result<Matcher, PatternError> {
        match token {
            Token::Text(text) => Ok(Matcher::Exactly(text)),
            Token::Number(number) => {
                let value = self.bounded(number)?;
                Ok(Matcher::Number { value, text: number.to_owned() })
            }
            _ => {
                let reason = "Inside anything but list, start|null|boolean is not supported.";
                Err(self.scanner.error(reason))
            }
        }
    }

    fn refused_text(&mut self, kind: &str, token: Token<'_>) -> Result<Matcher, PatternError> {
        let Token::Text(text) = token else {
            return Err(self.scanner.error(match kind {
                "equals-ignore-case" => {
                    "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
                }
                "wildcard" => "wildcard match pattern must be a string",
                _ => "prefix/suffix match pattern must be a string",
            }));
        };
        match kind {
            "equals-ignore-case" => Ok(Matcher::EqualsIgnoreCase(text.to_lowercase())),
            "wildcard" => Ok(Matcher::Wildcard(self.wildcard(&text)?)),
            _ if text.is_empty() => {
                Err(self.scanner.error_behind("Null prefix/suffix not allowed"))
            }
            "prefix" => Ok(Matcher::Prefix(text)),
            _ => Ok(Matcher::Suffix(text)),
        }
    }

    /// The rest of `{"numeric": [">", 0, "<=", 5]}`.
    fn numeric(&mut self) -> Result<Matcher, PatternError> {
        if self.scanner.next()? != Token::ArrayStart {
            return Err(self.scanner.error("Value of numeric must be an array."));
        }
        let operator = match self.scanner.next()? {
            Token::Text(operator) => operator,
            token => {
                let reason = format!("Invalid member in numeric match: {}", spelled(&token));
                return Err(self.scanner.error(&reason));
            }
        };
        let first = match operator.as_str() {
            "=" => Comparison::Equal(self.number("equals")?),
            ">" => Comparison::Above(self.number(">")?),
            ">=" => Comparison::AtLeast(self.number(">=")?),
            "<" => Comparison::Below(self.number("<")?),
            "<=" => Comparison::AtMost(self.number("<=")?),
            operator => {
                let reason = format!("Unrecognized numeric range operator: {operator}");
                self.scanner.next()?;
                return Err(self.scanner.error(&reason));
            }
        };
        let mut comparisons = vec![first];
        match (first, self.scanner.next()?) {
            (_, Token::ArrayEnd) => {}
            (Comparison::Above(bottom) | Comparison::AtLeast(bottom), token) => {
                comparisons.push(self.range_top(bottom, token)?);
            }
            _ => return Err(self.scanner.error(TOO_MANY)),
        }
        self.end(TOO_MANY)?;
        Ok(Matcher::Numeric(comparisons))
    }

    fn range_top(&mut self, bottom: f64, token: Token<'_>) -> Result<Comparison, PatternError> {
        let Token::Text(operator) = &token else {
            let reason = format!("Bad value in numeric range: {}", spelled(&token));
            return Err(self.scanner.error(&reason));
        };
        let top = match operator.as_str() {
            "<" | "<=" => self.number(operator)?,
            operator => {
                let reason = format!("Bad numeric range operator: {operator}");
                return Err(self.scanner.error_behind(&reason));
            }
        };
        if self.scanner.next()? != Token::ArrayEnd {
            return Err(self.scanner.error("Too many terms in numeric range expression"));
        }
        if bottom >= top {
            return Err(self.scanner.error("Bottom must be less than top"));
        }
        Ok(if operator == "<" { Comparison::Below(top) } else { Comparison::AtMost(top) })
    }

    fn number(&mut self, operator: &str) -> Result<f64, PatternError> {
        match self.scanner.next()? {
            Token::Number(number) => self.bounded(number),
            _ => Err(self.scanner.error(&format!("Value of {operator} must be numeric"))),
        }
    }

    fn bounded(&self, number: &str) -> Result<f64, PatternError> {
        let value = float(number);
        if value.abs() <= NUMBER_MAX {
            return Ok(value);
        }
        let reason = "Value must be between -5000000000 and 5000000000, inclusive";
        Err(self.scanner.error(reason))
    }

    fn wildcard(&self, text: &str) -> Result<Wildcard, PatternError> {
        Wildcard::parse(text).map_err(|reason| self.scanner.error_behind(&reason))
    }

    fn text(&mut self, otherwise: &str) -> Result<String, PatternError> {
        match self.scanner.next()? {
            Token::Text(text) => Ok(text),
            _ => Err(self.scanner.error(otherwise)),
        }
    }

    /// None for an object, its brace read.
    fn text_or_object(&mut self, otherwise: &str) -> Result<Option<String>, PatternError> {
        match self.scanner.next()? {
            Token::Text(text) => Ok(Some(text)),
            Token::ObjectStart => Ok(None),
            _ => Err(self.scanner.error(otherwise)),
        }
    }

    fn end(&mut self, otherwise: &str) -> Result<(), PatternError> {
        match self.scanner.next()? {
            Token::ObjectEnd => Ok(()),
            _ => Err(self.scanner.error(otherwise)),
        }
    }
}

fn float(number: &str) -> f64 {
    number.parse().unwrap_or(f64::INFINITY)
}

/// A token as AWS's messages repeat it.
fn spelled(token: &Token<'_>) -> String {
    match token {
        Token::ObjectStart => "{".to_owned(),
        Token::ObjectEnd => "}".to_owned(),
        Token::ArrayStart => "[".to_owned(),
        Token::ArrayEnd => "]".to_owned(),
        Token::Name(text) | Token::Text(text) => text.clone(),
        Token::Number(number) => (*number).to_owned(),
        Token::True => "true".to_owned(),
        Token::False => "false".to_owned(),
        Token::Null => "null".to_owned(),
    }
}
