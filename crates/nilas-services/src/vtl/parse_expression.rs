//! Expressions, by precedence: or, and, equality, comparison, sum, product, prefix, value.

use super::VtlError;
use super::ast::{Expression, Operator};
use super::parse::{Parser, parse};

/// Operators of one level; longer spellings first. Words need a break behind them.
type Level = &'static [(&'static str, Operator)];

const LEVELS: [Level; 6] = [
    &[("||", Operator::Or), ("or", Operator::Or)],
    &[("&&", Operator::And), ("and", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("eq", Operator::Equal),
        ("ne", Operator::NotEqual),
    ],
    &[
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("le", Operator::LessOrEqual),
        ("ge", Operator::GreaterOrEqual),
        ("lt", Operator::Less),
        ("gt", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, VtlError> {
        self.enter()?;
        let expression = self.level(0);
        self.leave();
        expression
    }

    fn level(&mut self, level: usize) -> Result<Expression, VtlError> {
        let Some(operators) = LEVELS.get(level) else { return self.prefix() };
        let mut left = self.level(level + 1)?;
        loop {
            self.skip_space();
            let Some(operator) = self.operator(operators) else { return Ok(left) };
            let right = self.level(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn operator(&mut self, operators: Level) -> Option<Operator> {
        let rest = self.rest();
        let fits = |sign: &str| {
            let Some(after) = rest.strip_prefix(sign) else { return false };
            let is_word = sign.starts_with(|c: char| c.is_ascii_alphabetic());
            !is_word || !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        let (sign, operator) = operators.iter().find(|(sign, _)| fits(sign))?;
        self.at += sign.len();
        Some(*operator)
    }

    fn prefix(&mut self) -> Result<Expression, VtlError> {
        self.skip_space();
        if self.rest().starts_with("!") && !self.rest().starts_with("!=") {
            self.at += 1;
            return self.nested(Expression::Not);
        }
        let rest = self.rest();
        let is_not = rest.strip_prefix("not").is_some_and(|after| {
            !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        });
        if is_not {
            self.at += 3;
            return self.nested(Expression::Not);
        }
        if self.eat("-") {
            return self.nested(Expression::Minus);
        }
        self.value()
    }

    fn nested(&mut self, wrap: fn(Box<Expression>) -> Expression) -> Result<Expression, VtlError> {
        self.enter()?;
        let inner = self.prefix()?;
        self.leave();
        Ok(wrap(Box::new(inner)))
    }

    fn value(&mut self) -> Result<Expression, VtlError> {
        match self.peek() {
            Some('$') => {
                let reference = self.reference()?;
                let reference = reference.ok_or_else(|| self.error("expected a reference"))?;
                Ok(Expression::Reference(reference))
            }
            Some('\'') => {
                let text = self.quoted('\'')?.replace("''", "'");
                Ok(Expression::Text(text))
            }
            Some('"') => {
                let start = self.at;
                let text = self.quoted('"')?.replace("\"\"", "\"");
                if !text.contains(['$', '#']) {
                    return Ok(Expression::Text(text));
                }
                let nodes = parse(&text).map_err(|_| {
                    self.at = start;
                    self.error("the text in double quotes is malformed")
                })?;
                Ok(Expression::Template(nodes))
            }
            Some('(') => {
                self.at += 1;
                let inner = self.expression()?;
                self.skip_space();
                self.expect(")")?;
                Ok(inner)
            }
            Some('[') => self.list(),
            Some('{') => self.map(),
            Some(c) if c.is_ascii_digit() => self.number(),
            _ => self.word(),
        }
    }

    /// A doubled quote is a quote.
    fn quoted(&mut self, quote: char) -> Result<String, VtlError> {
        let body = &self.rest()[1..];
        let mut at = 0;
        while let Some(found) = body[at..].find(quote) {
            at += found + 1;
            if !body[at..].starts_with(quote) {
                self.at += at + 1;
                return Ok(body[..at - 1].to_owned());
            }
            at += 1;
        }
        Err(self.error("a text without its closing quote"))
    }

    fn list(&mut self) -> Result<Expression, VtlError> {
        self.at += 1;
        self.skip_space();
        if self.eat("]") {
            return Ok(Expression::List(Vec::new()));
        }
        let first = self.expression()?;
        self.skip_space();
        if self.eat("..") {
            let last = self.expression()?;
            self.skip_space();
            self.expect("]")?;
            return Ok(Expression::Range(Box::new(first), Box::new(last)));
        }
        let mut items = vec![first];
        if self.eat(",") {
            items.extend(self.arguments_until("]")?);
        } else {
            self.expect("]")?;
        }
        Ok(Expression::List(items))
    }

    fn map(&mut self) -> Result<Expression, VtlError> {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            self.skip_space();
            if self.eat("}") {
                return Ok(Expression::Map(entries));
            }
            let key = self.expression()?;
            self.skip_space();
            self.expect(":")?;
            entries.push((key, self.expression()?));
            self.skip_space();
            if !self.eat(",") && !self.rest().starts_with('}') {
                return Err(self.error("expected `,` or `}`"));
            }
        }
    }

    fn number(&mut self) -> Result<Expression, VtlError> {
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut end = digits;
        let fraction = &rest[digits..];
        if fraction.starts_with('.') && fraction[1..].starts_with(|c: char| c.is_ascii_digit()) {
            let more = &fraction[1..];
            end += 1 + more.find(|c: char| !c.is_ascii_digit()).unwrap_or(more.len());
        }
        self.at += end;
        let number = &rest[..end];
        let wrong = || self.error("a number that is too large");
        if end == digits {
            number.parse().map(Expression::Integer).map_err(|_| wrong())
        } else {
            number.parse().map(Expression::Float).map_err(|_| wrong())
        }
    }

    fn word(&mut self) -> Result<Expression, VtlError> {
        let before = self.at;
        match self.identifier().as_deref() {
            Some("true") => Ok(Expression::Bool(true)),
            Some("false") => Ok(Expression::Bool(false)),
            Some("null") => Ok(Expression::Null),
            _ => {
                self.at = before;
                Err(self.error("expected a value"))
            }
        }
    }
}
