//! The constraints of the service's model, all broken ones told at once, as AWS tells them.

use nilas_wire::Fault;

use super::fault;

pub(super) const ORDERS: &[&str] = &["LogStreamName", "LastEventTime"];

const NAME_CHARS_MAX: usize = 512;

/// Collects broken constraints.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    pub(super) fn finish(self) -> Result<(), Fault> {
        match self.broken.len() {
            0 => Ok(()),
            1 => Err(fault::invalid_parameter(format!(
                "1 validation error detected: {}",
                self.broken[0]
            ))),
            n => Err(fault::invalid_parameter(format!(
                "{n} validation errors detected: {}",
                self.broken.join("; ")
            ))),
        }
    }

    pub(super) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.broken.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    pub(super) fn group_name(&mut self, member: &str, name: Option<&str>) {
        let Some(name) = name else { return };
        self.length(member, name, 1, NAME_CHARS_MAX);
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_/#".contains(c))
            || name.is_empty()
        {
            self.pattern(member, name, "[\\.\\-_/#A-Za-z0-9]+");
        }
    }

    /// Part of a group's name, which may be empty.
    pub(super) fn group_name_part(&mut self, member: &str, part: Option<&str>) {
        let Some(part) = part else { return };
        self.length(member, part, 0, NAME_CHARS_MAX);
        if !part.chars().all(|c| c.is_ascii_alphanumeric() || ".-_/#".contains(c)) {
            self.pattern(member, part, "[\\.\\-_/#A-Za-z0-9]*");
        }
    }

    pub(super) fn stream_name(&mut self, member: &str, name: Option<&str>) {
        let Some(name) = name else { return };
        self.length(member, name, 1, NAME_CHARS_MAX);
        if name.contains([':', '*']) {
            self.pattern(member, name, "[^:*]*");
        }
    }

    pub(super) fn length(&mut self, member: &str, value: &str, chars_min: usize, chars_max: usize) {
        let chars = value.chars().count();
        if chars < chars_min {
            self.fail(
                member,
                value,
                &format!("Member must have length greater than or equal to {chars_min}"),
            );
        }
        if chars > chars_max {
            self.fail(
                member,
                value,
                &format!("Member must have length less than or equal to {chars_max}"),
            );
        }
    }

    /// A list's length; AWS does not repeat the list.
    pub(super) fn count(
        &mut self,
        member: &str,
        count: Option<usize>,
        count_min: usize,
        count_max: usize,
    ) {
        let Some(count) = count else { return };
        let constraint = if count < count_min {
            format!("Member must have length greater than or equal to {count_min}")
        } else if count > count_max {
            format!("Member must have length less than or equal to {count_max}")
        } else {
            return;
        };
        self.broken.push(format!("Value at '{member}' failed to satisfy constraint: {constraint}"));
    }

    pub(super) fn range(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value < min {
            self.fail(
                member,
                &value,
                &format!("Member must have value greater than or equal to {min}"),
            );
        }
        if value > max {
            self.fail(
                member,
                &value,
                &format!("Member must have value less than or equal to {max}"),
            );
        }
    }

    pub(super) fn time(&mut self, member: &str, value: Option<i64>) {
        self.range(member, value, 0, i64::MAX);
    }

    pub(super) fn one_of(&mut self, member: &str, value: Option<&str>, values: &[&str]) {
        if let Some(value) = value
            && !values.contains(&value)
        {
            self.fail(
                member,
                value,
                &format!("Member must satisfy enum value set: [{}]", values.join(", ")),
            );
        }
    }

    fn pattern(&mut self, member: &str, value: &str, pattern: &str) {
        self.fail(
            member,
            value,
            &format!("Member must satisfy regular expression pattern: {pattern}"),
        );
    }

    fn fail(&mut self, member: &str, value: &(impl std::fmt::Display + ?Sized), constraint: &str) {
        self.broken.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        ));
    }
}

/// A group named by name or by identifier (name or ARN), but not both.
pub(super) fn group_named(
    name: Option<String>,
    identifier: Option<String>,
) -> Result<String, Fault> {
    match (name, identifier) {
        (Some(_), Some(_)) => Err(Fault::validation(
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
        )),
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => Ok(group_of_identifier(&identifier).to_owned()),
        (None, None) => {
            Err(Fault::validation("Either LogGroup name or LogGroup ARN must be specified."))
        }
    }
}

/// `NAME` of `arn:aws:logs:REGION:ACCOUNT:log-group:NAME[:*]`, or the identifier itself. What is in an ARN besides
/// the name does not matter: callers see groups of their own account and region only.
pub(super) fn group_of_identifier(identifier: &str) -> &str {
    match identifier.strip_prefix("arn:").and_then(|arn| arn.split_once(":log-group:")) {
        Some((_, name)) => name.strip_suffix(":*").unwrap_or(name),
        None => identifier,
    }
}

/// A time of a request, checked not to be negative, for the store.
pub(super) fn unsigned(time_ms: i64) -> u64 {
    time_ms.max(0).cast_unsigned()
}
