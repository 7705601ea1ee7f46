//! What one value of an event is compared with.

use std::net::IpAddr;

use serde_json::Value;

use super::cidr::Block;

/// Numbers farther from zero are compared by their spelling only, as AWS does.
const NUMBER_MAX: f64 = 5e9;

#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// The text, or another spelling of the address that it is.
    Text(String),
    Exactly(String),
    /// The number, however it is spelled.
    Number {
        value: f64,
        text: String,
    },
    /// `true`, `false` or `null`.
    Literal(Value),
    Prefix(String),
    /// In lower case, as all that ignore it.
    PrefixIgnoreCase(String),
    Suffix(String),
    SuffixIgnoreCase(String),
    EqualsIgnoreCase(String),
    Wildcard(Wildcard),
    Numeric(Vec<Comparison>),
    Cidr(Block),
    Exists(bool),
    /// Any value that none of these match.
    AnythingBut(Vec<Self>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Equal(f64),
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
}

/// Texts between stars, of which there is one fewer.
#[derive(Debug, Clone)]
pub(super) struct Wildcard(Vec<String>);

impl Matcher {
    /// Whether `value`, neither an object nor an array, matches.
    pub(super) fn matches(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text(wanted) => {
                text.is_some_and(|text| text == wanted || are_one_address(text, wanted))
            }
            Self::Exactly(wanted) => text == Some(wanted),
            Self::Number { value: wanted, text } => match value {
                Value::Number(number) => {
                    number.to_string() == *text
                        || (wanted.abs() <= NUMBER_MAX && number.as_f64() == Some(*wanted))
                }
                _ => false,
            },
            Self::Literal(literal) => value == literal,
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::PrefixIgnoreCase(prefix) => {
                text.is_some_and(|text| text.to_lowercase().starts_with(prefix))
            }
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::SuffixIgnoreCase(suffix) => {
                text.is_some_and(|text| text.to_lowercase().ends_with(suffix))
            }
            Self::EqualsIgnoreCase(wanted) => {
                text.is_some_and(|text| text.to_lowercase() == *wanted)
            }
            Self::Wildcard(wildcard) => text.is_some_and(|text| wildcard.matches(text)),
            Self::Numeric(comparisons) => value
                .as_f64()
                .filter(|number| number.abs() <= NUMBER_MAX)
                .is_some_and(|number| comparisons.iter().all(|one| one.holds(number))),
            Self::Cidr(block) => text.is_some_and(|text| block.contains(text)),
            Self::Exists(exists) => *exists,
            Self::AnythingBut(refused) => !refused.iter().any(|one| one.matches(value)),
        }
    }

    /// Whether it is a field's absence that matches.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Exists(false))
    }
}

fn are_one_address(a: &str, b: &str) -> bool {
    matches!((a.parse::<IpAddr>(), b.parse::<IpAddr>()), (Ok(a), Ok(b)) if a == b)
}

impl Comparison {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::Equal(wanted) => number == wanted,
            Self::Above(bottom) => number > bottom,
            Self::AtLeast(bottom) => number >= bottom,
            Self::Below(top) => number < top,
            Self::AtMost(top) => number <= top,
        }
    }
}

impl Wildcard {
    /// `*` is any text, `\*` and `\\` are themselves. The error is AWS's reason; it counts from the quote before the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match c {
                '*' if next == Some('*') => {
                    return Err(format!("Consecutive wildcard characters at pos {}", at + 1));
                }
                '*' => parts.push(String::new()),
                '\\' => match next.filter(|next| matches!(next, '*' | '\\')) {
                    Some(next) => {
                        chars.next();
                        parts.last_mut().expect("there is a part from the start").push(next);
                    }
                    None => return Err(format!("Invalid escape character at pos {}", at + 1)),
                },
                c => parts.last_mut().expect("there is a part from the start").push(c),
            }
        }
        Ok(Self(parts))
    }

    /// Linear: each part is taken where it is found first, which leaves most for the others.
    fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.0.split_first().expect("there is a part from the start");
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            match text.find(part.as_str()) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }
}
