//! Constraints of single members: every violation of every member goes into one message, in AWS's words.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::error::LambdaError;
use super::patterns::{self, Pattern};

/// Collects violations; `finish` turns them into one `ValidationException`.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    found: Vec<String>,
}

impl Violations {
    pub(crate) fn finish(self) -> Result<(), LambdaError> {
        if self.found.is_empty() { Ok(()) } else { Err(LambdaError::Validation(self.found)) }
    }

    pub(crate) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.found.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// Lengths are in characters.
    pub(crate) fn length(&mut self, member: &str, value: Option<&str>, min: usize, max: usize) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        if length > max {
            self.add(member, value, &length_at_most(max));
        }
        if length < min {
            self.add(member, value, &length_at_least(min));
        }
    }

    pub(crate) fn pattern(&mut self, member: &str, value: Option<&str>, pattern: &Pattern) {
        if let Some(value) = value
            && !pattern.matches(value)
        {
            self.add(member, value, &satisfies(pattern.text));
        }
    }

    pub(crate) fn one_of(&mut self, member: &str, value: Option<&str>, set: &[&str]) {
        if let Some(value) = value
            && !set.contains(&value)
        {
            self.add(member, value, &in_set(set));
        }
    }

    pub(crate) fn range(&mut self, member: &str, value: Option<i64>, min: u32, max: u32) {
        let Some(value) = value else { return };
        if value > i64::from(max) {
            self.add(member, value, &format!("Member must have value less than or equal to {max}"));
        }
        if value < i64::from(min) {
            self.add(
                member,
                value,
                &format!("Member must have value greater than or equal to {min}"),
            );
        }
    }

    pub(crate) fn list_length<T: AsRef<str>>(
        &mut self,
        member: &str,
        values: Option<&[Option<T>]>,
        min: usize,
        max: usize,
    ) {
        let Some(values) = values else { return };
        if values.len() > max {
            self.add(member, show_list(values), &length_at_most(max));
        }
        if values.len() < min {
            self.add(member, show_list(values), &length_at_least(min));
        }
    }

    /// Each item must satisfy all of `constraints`; AWS then quotes the whole list and all of them.
    pub(crate) fn items<T: AsRef<str>>(
        &mut self,
        member: &str,
        values: Option<&[Option<T>]>,
        constraint: &ItemConstraint<'_>,
    ) {
        let Some(values) = values else { return };
        let fits = |value: &Option<T>| {
            value.as_ref().is_some_and(|value| constraint.admits(value.as_ref()))
        };
        if !values.iter().all(fits) {
            self.add(
                member,
                show_list(values),
                &format!("Member must satisfy constraint: [{}]", constraint.text()),
            );
        }
    }

    /// Runtimes are more than AWS's message lists.
    pub(crate) fn runtimes(
        &mut self,
        member: &str,
        values: Option<&[Option<String>]>,
        known: &[&str],
    ) {
        let Some(values) = values else { return };
        let is_known =
            |value: &Option<String>| value.as_deref().is_some_and(|value| known.contains(&value));
        if !values.iter().all(is_known) {
            self.add(
                member,
                show_list(values),
                &format!("Member must satisfy enum value set: {RUNTIMES_SHOWN}"),
            );
        }
    }

    /// Names of environment variables are sensitive: AWS does not repeat them.
    pub(crate) fn environment_names<'a>(
        &mut self,
        member: &str,
        mut names: impl Iterator<Item = &'a str>,
    ) {
        let pattern = &patterns::ENVIRONMENT_NAME;
        if names.any(|name| !pattern.matches(name)) {
            self.found.push(format!(
                "Value at '{member}' failed to satisfy constraint: Map keys must satisfy constraint: [{}]",
                satisfies(pattern.text)
            ));
        }
    }

    pub(crate) fn tags<'a>(
        &mut self,
        member: &str,
        tags: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) {
        let shown = || {
            let pairs: Vec<String> =
                tags.clone().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{{{}}}", pairs.join(", "))
        };
        if tags.clone().any(|(key, _)| !TAG_KEY.admits(key)) {
            self.add(
                member,
                shown(),
                &format!("Map keys must satisfy constraint: [{}]", TAG_KEY.text()),
            );
        }
        if tags.clone().any(|(_, value)| !TAG_VALUE.admits(value)) {
            self.add(
                member,
                shown(),
                &format!("Map value must satisfy constraint: [{}]", TAG_VALUE.text()),
            );
        }
    }

    /// Weights of versions by number; AWS prints the map as Java does.
    pub(crate) fn weights(&mut self, member: &str, weights: &BTreeMap<String, Option<f64>>) {
        let shown = || {
            let weight =
                |weight: &Option<f64>| weight.map_or("null".to_owned(), |w| format!("{w:?}"));
            let pairs: Vec<String> =
                weights.iter().map(|(key, value)| format!("{key}={}", weight(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        };
        if weights.keys().any(|key| !WEIGHTED_VERSION.admits(key)) {
            let constraint = WEIGHTED_VERSION.text();
            self.add(member, shown(), &format!("Map keys must satisfy constraint: [{constraint}]"));
        }
        let legal = |weight: &Option<f64>| weight.is_some_and(|w| (0.0..=1.0).contains(&w));
        if !weights.values().all(legal) {
            self.add(
                member,
                shown(),
                "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have \
                 value greater than or equal to 0.0, Member must not be null]",
            );
        }
    }

    fn add(&mut self, member: &str, value: impl Display, constraint: &str) {
        self.found.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        ));
    }
}

/// The runtimes that AWS's messages list.
pub(crate) const RUNTIMES_SHOWN: &str = "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, \
     nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, \
     nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2]";

/// What each item of a list, or each key or value of a map, must satisfy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ItemConstraint<'a> {
    OneOf(&'a [&'a str]),
    Pattern { min: usize, max: usize, pattern: &'static Pattern },
}

pub(crate) const TAG_KEY: ItemConstraint<'static> =
    ItemConstraint::Pattern { min: 1, max: 128, pattern: &patterns::TAG_TEXT };
const WEIGHTED_VERSION: ItemConstraint<'static> =
    ItemConstraint::Pattern { min: 1, max: 1_024, pattern: &patterns::PUBLISHED_VERSION };
const TAG_VALUE: ItemConstraint<'static> =
    ItemConstraint::Pattern { min: 0, max: 256, pattern: &patterns::TAG_TEXT };

impl ItemConstraint<'_> {
    fn admits(&self, value: &str) -> bool {
        let length = value.chars().count();
        match self {
            Self::OneOf(set) => set.contains(&value),
            Self::Pattern { min, max, pattern } => {
                (*min..=*max).contains(&length) && pattern.matches(value)
            }
        }
    }

    fn text(&self) -> String {
        let bounded = |min: usize, max: usize, pattern: &str| {
            format!(
                "{}, {}, {}, Member must not be null",
                length_at_most(max),
                length_at_least(min),
                satisfies(pattern)
            )
        };
        match self {
            Self::OneOf(set) => format!("{}, Member must not be null", in_set(set)),
            Self::Pattern { min, max, pattern } => bounded(*min, *max, pattern.text),
        }
    }
}

/// As Java prints a list: `[x86_64, arm64]`.
fn show_list<T: AsRef<str>>(values: &[Option<T>]) -> String {
    let shown: Vec<&str> =
        values.iter().map(|value| value.as_ref().map_or("null", AsRef::as_ref)).collect();
    format!("[{}]", shown.join(", "))
}

fn length_at_most(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn length_at_least(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn satisfies(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn in_set(set: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", set.join(", "))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(fill: impl FnOnce(&mut Violations), expected: Expect) {
        let mut violations = Violations::default();
        fill(&mut violations);
        expected.assert_eq(
            &violations.finish().map_or_else(|err| err.to_string(), |()| "fine".to_owned()),
        );
    }

    #[test]
    fn speaks_as_aws_does() {
        check(|_| {}, expect!["fine"]);
        check(
            |v| v.required::<String>("role", None),
            expect![
                "1 validation error detected: Value null at 'role' failed to satisfy constraint: Member must not be null"
            ],
        );
        check(
            |v| {
                v.range("timeout", Some(0), 1, 900);
                v.range("memorySize", Some(20_000), 128, 10_240);
            },
            expect![
                "2 validation errors detected: Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '20000' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240"
            ],
        );
        check(
            |v| v.list_length("architectures", Some(&[Some("x86_64"), Some("arm64")]), 1, 1),
            expect![
                "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1"
            ],
        );
        check(
            |v| {
                v.items(
                    "architectures",
                    Some(&[Some("X86_64")]),
                    &ItemConstraint::OneOf(&["x86_64", "arm64"]),
                )
            },
            expect![
                "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
            ],
        );
        check(
            |v| v.environment_names("environment.variables", ["GOOD", "A"].into_iter()),
            expect![
                "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
            ],
        );
        check(
            |v| v.tags("tags", [("a#", "v")].into_iter()),
            expect![
                "1 validation error detected: Value '{a#=v}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*), Member must not be null]"
            ],
        );
    }
}
