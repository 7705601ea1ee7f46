//! Names and ARNs, parsed once: holding a value of these types is proof that it is well-formed. Clones of one share its
//! text, for an invocation is named half a dozen times.
//!
//! Patterns: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html> and `facts/` recordings.

use std::fmt;
use std::sync::Arc;

/// A 12-digit account number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let valid = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if valid { Ok(Self(text.into())) } else { Err(NameError::Account(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A region, such as `us-east-1`. Any well-formed region is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// `((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})`
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_region(text) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Region(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A function's bare name: `[a-zA-Z0-9-_]+`. Reads also allow dots, which name nothing that exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName(Arc<str>);

impl FunctionName {
    /// The pattern of read operations, which is the widest: CreateFunction checks its own narrower one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let valid = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if valid { Ok(Self(text.into())) } else { Err(NameError::Function(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What comes after the function in an ARN, or in `Qualifier`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qualifier {
    Latest,
    Version(u64),
    /// Any other legal text, `$latest` included: legal, and unknown.
    Alias(String),
}

impl Qualifier {
    /// `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`, at most 128 characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$');
        if text == "$LATEST" {
            return Ok(Self::Latest);
        }
        if text == "$LATEST.PUBLISHED" {
            return Ok(Self::Alias(text.to_owned()));
        }
        if text.is_empty() || text.len() > 128 || !text.bytes().all(legal) {
            return Err(NameError::Qualifier(text.to_owned()));
        }
        match text.parse::<u64>() {
            Ok(number) if !text.starts_with('0') && !text.starts_with('+') => {
                Ok(Self::Version(number))
            }
            _ => Ok(Self::Alias(text.to_owned())),
        }
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Version(number) => write!(f, "{number}"),
            Self::Alias(name) => f.write_str(name),
        }
    }
}

/// A resolved version: never an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    Latest,
    Published(u64),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Published(number) => write!(f, "{number}"),
        }
    }
}

/// A function of one account and region, all its versions together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId {
    pub account: AccountId,
    pub region: Region,
    pub name: FunctionName,
}

impl FunctionId {
    pub fn arn(&self, qualifier: Option<Qualifier>) -> FunctionArn {
        FunctionArn {
            region: self.region.clone(),
            account: self.account.clone(),
            name: self.name.clone(),
            qualifier,
        }
    }

    pub fn version_arn(&self, version: Version) -> FunctionArn {
        self.arn(Some(match version {
            Version::Latest => Qualifier::Latest,
            Version::Published(number) => Qualifier::Version(number),
        }))
    }

    pub fn key(&self, version: Version) -> FunctionKey {
        FunctionKey { function: self.clone(), version }
    }
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionKey {
    pub function: FunctionId,
    pub version: Version,
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionArn {
    pub region: Region,
    pub account: AccountId,
    pub name: FunctionName,
    pub qualifier: Option<Qualifier>,
}

impl fmt::Display for FunctionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, name, qualifier } = self;
        write!(
            f,
            "arn:aws:lambda:{}:{}:function:{}",
            region.as_str(),
            account.as_str(),
            name.as_str()
        )?;
        match qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

/// The `FunctionName` member of a request in any form AWS takes: name, partial ARN or ARN, with or without qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    pub region: Option<Region>,
    pub account: Option<AccountId>,
    pub name: FunctionName,
    pub qualifier: Option<Qualifier>,
}

impl FunctionRef {
    /// `(arn:(aws[a-zA-Z-]*)?:lambda:)?(REGION:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`
    ///
    /// `text` is already percent-decoded.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let malformed = || NameError::Reference(text.to_owned());
        let mut parts: Vec<&str> = text.split(':').collect();
        if parts.len() >= 3 && parts[0] == "arn" && is_partition(parts[1]) && parts[2] == "lambda" {
            parts.drain(..3);
        }
        let mut region = None;
        if parts.len() > 1 && is_region(parts[0]) {
            region = Some(Region::parse(parts.remove(0))?);
        }
        let mut account = None;
        if parts.len() > 1
            && let Ok(id) = AccountId::parse(parts[0])
        {
            account = Some(id);
            parts.remove(0);
        }
        // `function:f` is a function `f`; a lone `function`, or `function:` already eaten, is a name.
        if parts.len() > 1 && parts[0] == "function" {
            parts.remove(0);
        }
        let (name, qualifier) = match parts.as_slice() {
            [name] => (name, None),
            [name, qualifier] => (name, Some(*qualifier)),
            _ => return Err(malformed()),
        };
        let name = FunctionName::parse(name).map_err(|_| malformed())?;
        let qualifier = match qualifier {
            None => None,
            Some("$LATEST") => Some(Qualifier::Latest),
            Some(text) if !text.contains('$') || text == "$LATEST.PUBLISHED" => {
                Some(Qualifier::parse(text).map_err(|_| malformed())?)
            }
            Some(_) => return Err(malformed()),
        };
        Ok(Self { region, account, name, qualifier })
    }
}

/// The id of one invocation, a UUID, also in `x-amzn-RequestId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }

    /// Its 32 digits without the hyphens.
    pub fn hex(&self) -> String {
        self.0.as_simple().to_string()
    }

    /// The id's own randomness as a number, uniform in 0..1 and always the same for one id: what is drawn for an
    /// invocation, such as the version of a weighted alias, stays drawn when it is tried again.
    pub fn fraction(&self) -> f64 {
        // The last 62 bits of a version 4 UUID are random; a float holds 32 of them exactly.
        const DRAWS: f64 = 4_294_967_296.0;
        let [.., a, b, c, d] = *self.0.as_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / DRAWS
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The id of one environment: 32 hex digits, as in log stream names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentId(u128);

impl EnvironmentId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    /// For simulators: ids that count up.
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("not an account id: {0}")]
    Account(String),
    #[error("not a region: {0}")]
    Region(String),
    #[error("not a function name: {0}")]
    Function(String),
    #[error("not a qualifier: {0}")]
    Qualifier(String),
    #[error("not a function name or ARN: {0}")]
    Reference(String),
}

fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
}

fn is_region(text: &str) -> bool {
    let text = text.strip_prefix("eusc-").unwrap_or(text);
    let mut parts = text.split('-');
    let mut next = || parts.next();
    let (country, middle, place, number) = match [next(), next(), next(), next(), next()] {
        [Some(country), Some(place), Some(number), None, _] => (country, None, place, number),
        [Some(country), middle, Some(place), Some(number), None] => {
            (country, middle, place, number)
        }
        _ => return false,
    };
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    let middle_fits =
        middle.is_none_or(|m| m == "gov" || (m.starts_with("iso") && m.len() <= 4 && lower(m)));
    country.len() == 2
        && lower(country)
        && middle_fits
        && !place.is_empty()
        && lower(place)
        && number.len() == 1
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `region account name qualifier`, with `-` for what the text leaves out; None for a refusal.
    fn check(text: &str, expected: Option<&str>) {
        let seen = FunctionRef::parse(text).ok().map(|r| {
            let qualifier = r.qualifier.map_or_else(|| "-".to_owned(), |q| q.to_string());
            let region = r.region.as_ref().map_or("-", Region::as_str);
            let account = r.account.as_ref().map_or("-", AccountId::as_str);
            format!("{region} {account} {} {qualifier}", r.name.as_str())
        });
        assert_eq!(seen.as_deref(), expected, "{text}");
    }

    #[test]
    fn takes_every_form_of_function_name() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        check("f", Some("- - f -"));
        check("1_hello_world", Some("- - 1_hello_world -"));
        check("f:live", Some("- - f live"));
        check("f:7", Some("- - f 7"));
        check("f:$LATEST", Some("- - f $LATEST"));
        check("function:f:3", Some("- - f 3"));
        check("000000000000:function:f", Some("- 000000000000 f -"));
        check(arn, Some("us-east-1 000000000000 f -"));
        check(&format!("{arn}:live"), Some("us-east-1 000000000000 f live"));
        let other_partition = "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:function:f";
        check(other_partition, Some("us-gov-west-1 000000000000 f -"));
        check("function", Some("- - function -"));
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        for text in
            ["", ":", "f:", "a b", "f:a:b:c:d", "arn:aws:s3:::bucket/x", "f/g", "f:$latest", "é"]
        {
            check(text, None);
        }
    }

    #[test]
    fn the_fraction_of_a_request_id_is_uniform() {
        let fraction = |text: &str| RequestId::parse(text).unwrap().fraction();
        assert_eq!(fraction("00000000-0000-4000-8000-000000000000"), 0.0);
        assert_eq!(fraction("00000000-0000-4000-8000-000080000000"), 0.5);
        assert!(fraction("ffffffff-ffff-4fff-bfff-ffffffffffff") < 1.0);
        let below = (0..1_000).filter(|_| RequestId::random().fraction() < 0.25).count();
        assert!((150..350).contains(&below), "{below}");
    }

    #[test]
    fn a_qualifier_in_its_own_parameter_may_hold_a_dollar() {
        assert_eq!(Qualifier::parse("$latest"), Ok(Qualifier::Alias("$latest".to_owned())));
        assert_eq!(Qualifier::parse("007"), Ok(Qualifier::Alias("007".to_owned())));
        assert!(Qualifier::parse("a b").is_err());
        assert!(Qualifier::parse(&"a".repeat(129)).is_err());
    }
}
