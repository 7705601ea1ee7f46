//! Conditions on JSON events: `{ $.code = 4* && ($.user NOT EXISTS || $.users[*].id > 3) }`.

use serde_json::Value as Json;

use super::scan::Scanner;
use super::value::{Operator, Value};
use super::{InvalidPattern, Result};

/// Parentheses inside parentheses.
const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub(super) enum JsonCondition {
    Any(Vec<Self>),
    All(Vec<Self>),
    Compare { selector: Selector, operator: Operator, value: Value },
    Is { selector: Selector, expected: Json },
    NotExists(Selector),
}

/// The way to a value: `$.a.b[0]`.
#[derive(Debug)]
pub(super) struct Selector(Vec<Step>);

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
    /// `[*]`: every element.
    Elements,
}

pub(super) fn parse(text: &str) -> Result<JsonCondition> {
    let mut scanner = Scanner::new(text);
    scanner.expect("{")?;
    let condition = any(&mut scanner, 0)?;
    scanner.expect("}")?;
    scanner.expect_end()?;
    Ok(condition)
}

fn any(scanner: &mut Scanner<'_>, depth: usize) -> Result<JsonCondition> {
    let mut alternatives = vec![all(scanner, depth)?];
    while scanner.take("||") {
        alternatives.push(all(scanner, depth)?);
    }
    Ok(JsonCondition::Any(alternatives))
}

fn all(scanner: &mut Scanner<'_>, depth: usize) -> Result<JsonCondition> {
    let mut parts = vec![one(scanner, depth)?];
    while scanner.take("&&") {
        parts.push(one(scanner, depth)?);
    }
    Ok(JsonCondition::All(parts))
}

fn one(scanner: &mut Scanner<'_>, depth: usize) -> Result<JsonCondition> {
    if scanner.take("(") {
        if depth == DEPTH_MAX {
            return Err(InvalidPattern);
        }
        let inner = any(scanner, depth + 1)?;
        scanner.expect(")")?;
        return Ok(inner);
    }
    let selector = selector(scanner)?;
    if scanner.take("IS") {
        let constants =
            [("NULL", Json::Null), ("TRUE", Json::Bool(true)), ("FALSE", Json::Bool(false))];
        for (word, expected) in constants {
            if scanner.take(word) {
                return Ok(JsonCondition::Is { selector, expected });
            }
        }
        return Err(InvalidPattern);
    }
    if scanner.take("NOT") {
        scanner.expect("EXISTS")?;
        return Ok(JsonCondition::NotExists(selector));
    }
    let operator = scanner.operator()?;
    let value = scanner.value(operator, "(){}&|")?;
    Ok(JsonCondition::Compare { selector, operator, value })
}

fn selector(scanner: &mut Scanner<'_>) -> Result<Selector> {
    scanner.expect("$")?;
    let mut steps = Vec::new();
    loop {
        match scanner.peek() {
            Some('.') => {
                scanner.expect(".")?;
                if scanner.peek() != Some('[') {
                    let name = scanner.take_while(|c| {
                        c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | ':' | '#')
                    })?;
                    steps.push(Step::Member(name.to_owned()));
                }
            }
            Some('[') => steps.push(bracket(scanner)?),
            _ if steps.is_empty() => return Err(InvalidPattern),
            _ => return Ok(Selector(steps)),
        }
    }
}

/// `[0]`, `[*]`, `['name']` or `["name"]`.
fn bracket(scanner: &mut Scanner<'_>) -> Result<Step> {
    scanner.expect("[")?;
    let step = if scanner.take("*") {
        Step::Elements
    } else if scanner.take("'") {
        let name = scanner.take_while(|c| c != '\'')?.to_owned();
        scanner.expect("'")?;
        Step::Member(name)
    } else if scanner.peek() == Some('"') {
        Step::Member(scanner.quoted()?)
    } else {
        let digits = scanner.take_while(|c| c.is_ascii_digit())?;
        Step::Element(digits.parse().map_err(|_| InvalidPattern)?)
    };
    scanner.expect("]")?;
    Ok(step)
}

impl JsonCondition {
    /// An event that is not a JSON object or array matches nothing.
    pub(super) fn matches_text(&self, message: &str) -> bool {
        // Cheaper than parsing: most lines are not JSON.
        if !message.trim_start().starts_with(['{', '[']) {
            return false;
        }
        serde_json::from_str(message).is_ok_and(|event| self.matches(&event))
    }

    fn matches(&self, event: &Json) -> bool {
        match self {
            Self::Any(alternatives) => {
                alternatives.iter().any(|condition| condition.matches(event))
            }
            Self::All(parts) => parts.iter().all(|condition| condition.matches(event)),
            Self::Is { selector, expected } => selector.finds(event, |found| found == expected),
            Self::NotExists(selector) => !selector.finds(event, |_| true),
            Self::Compare { selector, operator, value } => {
                selector.finds(event, |found| match found {
                    Json::String(text) => value.compare_text(*operator, text),
                    Json::Number(number) => {
                        let written = number.to_string();
                        number
                            .as_f64()
                            .is_some_and(|found| value.compare_number(*operator, found, &written))
                    }
                    Json::Bool(flag) => {
                        value.compare_text(*operator, if *flag { "true" } else { "false" })
                    }
                    Json::Null | Json::Array(_) | Json::Object(_) => false,
                })
            }
        }
    }
}

impl Selector {
    /// Whether a value that the selector leads to satisfies `fits`.
    fn finds(&self, event: &Json, fits: impl Fn(&Json) -> bool) -> bool {
        let mut found = vec![event];
        for step in &self.0 {
            found = match step {
                Step::Member(name) => {
                    found.into_iter().filter_map(|value| value.get(name)).collect()
                }
                Step::Element(index) => {
                    found.into_iter().filter_map(|value| value.get(index)).collect()
                }
                Step::Elements => found.into_iter().filter_map(Json::as_array).flatten().collect(),
            };
        }
        found.into_iter().any(fits)
    }
}
