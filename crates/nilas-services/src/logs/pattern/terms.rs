//! Unstructured patterns: `ERROR "exact phrase" ?optional -excluded %regex%`.

use regex::Regex;

use super::scan::Scanner;
use super::{InvalidPattern, Result};

/// Words, phrases and expressions, each a part of the message or not; case matters.
#[derive(Debug, Default)]
pub(super) struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    optional: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

pub(super) fn parse(text: &str) -> Result<Terms> {
    let mut scanner = Scanner::new(text);
    let mut terms = Terms::default();
    loop {
        scanner.skip_blanks();
        let kind = if scanner.peek().is_none() {
            return Ok(terms);
        } else if scanner.take("?") {
            &mut terms.optional
        } else if scanner.take("-") {
            &mut terms.excluded
        } else {
            &mut terms.required
        };
        kind.push(term(&mut scanner)?);
    }
}

fn term(scanner: &mut Scanner<'_>) -> Result<Term> {
    match scanner.peek() {
        Some('"') => scanner.quoted().map(Term::Text),
        Some('%') => scanner.regex().map(Term::Regex),
        Some(_) => {
            scanner.take_while(|c| !c.is_whitespace()).map(|word| Term::Text(word.to_owned()))
        }
        None => Err(InvalidPattern),
    }
}

impl Terms {
    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |term: &Term| match term {
            Term::Text(text) => message.contains(text.as_str()),
            Term::Regex(regex) => regex.is_match(message),
        };
        if self.required.is_empty() && self.excluded.is_empty() {
            return self.optional.iter().any(has);
        }
        // AWS: "?" is ignored next to terms that include or exclude.
        self.required.iter().all(has) && !self.excluded.iter().any(has)
    }
}
