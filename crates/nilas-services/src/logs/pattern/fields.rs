//! Conditions on space-delimited events: `[ip, user, ..., status = 4*, bytes > 1000]`.

use super::scan::Scanner;
use super::value::{Operator, Value};
use super::{InvalidPattern, Result};

#[derive(Debug)]
pub(super) struct Fields {
    /// Fields before the ellipsis; all of them where there is none.
    head: Vec<Field>,
    /// Fields behind the ellipsis, if there is one.
    tail: Option<Vec<Field>>,
}

/// Alternatives, each of conditions that must all hold; none at all for a field that may be anything.
#[derive(Debug, Default)]
struct Field {
    alternatives: Vec<Vec<(Operator, Value)>>,
}

pub(super) fn parse(text: &str) -> Result<Fields> {
    let mut scanner = Scanner::new(text);
    scanner.expect("[")?;
    let mut fields = Fields { head: Vec::new(), tail: None };
    loop {
        if scanner.take("...") {
            if fields.tail.is_some() {
                return Err(InvalidPattern);
            }
            fields.tail = Some(Vec::new());
        } else {
            let field = field(&mut scanner)?;
            fields.tail.as_mut().unwrap_or(&mut fields.head).push(field);
        }
        if !scanner.take(",") {
            break;
        }
    }
    scanner.expect("]")?;
    scanner.expect_end()?;
    Ok(fields)
}

/// `name`, or `name op value` repeated with `&&` and `||`, always of the same name.
fn field(scanner: &mut Scanner<'_>) -> Result<Field> {
    let name = field_name(scanner)?;
    scanner.skip_blanks();
    if matches!(scanner.peek(), Some(',' | ']')) {
        return Ok(Field::default());
    }
    let mut field = Field { alternatives: vec![vec![condition(scanner)?]] };
    loop {
        if scanner.take("&&") {
            if field_name(scanner)? != name {
                return Err(InvalidPattern);
            }
            let condition = condition(scanner)?;
            if let Some(alternative) = field.alternatives.last_mut() {
                alternative.push(condition);
            }
        } else if scanner.take("||") {
            if field_name(scanner)? != name {
                return Err(InvalidPattern);
            }
            field.alternatives.push(vec![condition(scanner)?]);
        } else {
            return Ok(field);
        }
    }
}

fn field_name<'a>(scanner: &mut Scanner<'a>) -> Result<&'a str> {
    scanner.skip_blanks();
    scanner.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | '.'))
}

fn condition(scanner: &mut Scanner<'_>) -> Result<(Operator, Value)> {
    let operator = scanner.operator()?;
    Ok((operator, scanner.value(operator, ",]&|")?))
}

impl Fields {
    pub(super) fn matches(&self, message: &str) -> bool {
        let found = split(message);
        let fit = |fields: &[Field], found: &[&str]| {
            fields.iter().zip(found).all(|(field, text)| field.matches(text))
        };
        match &self.tail {
            None => found.len() == self.head.len() && fit(&self.head, &found),
            Some(tail) => {
                found.len() >= self.head.len() + tail.len()
                    && fit(&self.head, &found)
                    && fit(tail, &found[found.len() - tail.len()..])
            }
        }
    }
}

impl Field {
    fn matches(&self, text: &str) -> bool {
        let holds = |(operator, value): &(Operator, Value)| value.compare_text(*operator, text);
        self.alternatives.is_empty()
            || self.alternatives.iter().any(|alternative| alternative.iter().all(holds))
    }
}

/// Splits at blanks; what stands in quotes or brackets is one field.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim();
    while !rest.is_empty() {
        let close = match rest.as_bytes()[0] {
            b'"' => Some('"'),
            b'[' => Some(']'),
            _ => None,
        };
        let enclosed = close.and_then(|close| rest[1..].find(close).map(|at| (1, 1 + at, at + 2)));
        let blank = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (from, to, next) = enclosed.unwrap_or((0, blank, blank));
        fields.push(&rest[from..to]);
        rest = rest[next..].trim_start();
    }
    fields
}
