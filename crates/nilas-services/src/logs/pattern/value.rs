//! Comparing a piece of an event with a value of a pattern.

use regex::Regex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Text in which each `*` stands for any text: the pieces between them.
    Text(Vec<String>),
    Number {
        number: f64,
        text: String,
    },
    Regex(Regex),
}

impl Operator {
    /// `=` and `!=` take any value, the others only numbers.
    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl Value {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().split('*').map(str::to_owned).collect())
    }

    /// A bare word, which is a number if it reads like one.
    pub(super) fn word(word: &str) -> Self {
        let digits = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        match word.parse::<f64>() {
            Ok(number) if digits && number.is_finite() => {
                Self::Number { number, text: word.to_owned() }
            }
            _ => Self::text(word),
        }
    }

    /// Compares with text out of an event; as numbers where both are.
    pub(super) fn compare_text(&self, operator: Operator, text: &str) -> bool {
        match self {
            Self::Number { number, text: written } => match text.parse::<f64>() {
                Ok(found) => operator.holds(found, *number),
                Err(_) => match operator {
                    Operator::Equal => text == written,
                    Operator::NotEqual => text != written,
                    _ => false,
                },
            },
            Self::Text(pieces) => (operator == Operator::Equal) == matches_wildcards(pieces, text),
            Self::Regex(regex) => (operator == Operator::Equal) == regex.is_match(text),
        }
    }

    /// Compares with a number out of an event.
    pub(super) fn compare_number(&self, operator: Operator, found: f64, written: &str) -> bool {
        match self {
            Self::Number { number, .. } => operator.holds(found, *number),
            Self::Text(_) | Self::Regex(_) => self.compare_text(operator, written),
        }
    }
}

/// First and last piece are anchored; those between are found from left to right, which is enough.
fn matches_wildcards(pieces: &[String], text: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return text.is_empty() };
    let Some((last, middle)) = others.split_last() else { return text == first };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        match rest.find(piece.as_str()) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}
