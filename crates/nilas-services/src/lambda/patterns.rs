//! AWS's patterns, each compiled from the text that its violation quotes, so that the two cannot differ.

use std::sync::LazyLock;

use regex::Regex;

/// A pattern that has to match a whole value, as Java's `matches` does.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// AWS's spelling.
    pub text: &'static str,
    regex: LazyLock<Regex, Compile>,
}

type Compile = fn() -> Regex;

impl Pattern {
    pub(crate) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

/// The last literal, if there are two: the same language without what `regex` does not know.
macro_rules! last {
    ($text:literal) => {
        $text
    };
    ($text:literal $equivalent:literal) => {
        $equivalent
    };
}

macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $text:literal $(or $equivalent:literal)?;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: Pattern = Pattern {
                text: $text,
                regex: LazyLock::new(|| {
                    Regex::new(concat!(r"\A(?:", last!($text $($equivalent)?), r")\z")).expect("the pattern compiles: a test compiles all of them")
                }),
            };
        )*
        #[cfg(test)]
        static ALL: &[&Pattern] = &[$(&$name),*];
    };
}

patterns! {
    /// `functionName` of reads, Invoke and DeleteFunction.
    FUNCTION_REFERENCE = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
    /// `functionName` of operations that write.
    FUNCTION_NAME = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
    QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";
    /// Anything but digits alone, which would be a version.
    ALIAS = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)" or r"[0-9]*[a-zA-Z-_][a-zA-Z0-9-_]*";
    ALIAS_VERSION = r"(\$LATEST(\.PUBLISHED)?|[0-9]+)";
    PROVISIONED_QUALIFIER = r"(|[a-zA-Z0-9$_-]+)";
    PUBLISHED_VERSION = r"[0-9]+";
    ROLE = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
    HANDLER = r"[^\s]+";
    /// Key and resource ARNs, which may be empty.
    ARN_OR_EMPTY = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
    ARN = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    STATEMENT = r"([a-zA-Z0-9-_]+)";
    STATEMENT_TO_REMOVE = r"([a-zA-Z0-9-_.]+)";
    ACTION = r"(lambda:[*]|lambda:[a-zA-Z]+|[*])";
    PRINCIPAL = r"[^\s]+";
    ACCOUNT = r"\d{12}";
    /// `eventSourceToken`
    TOKEN = r"[a-zA-Z0-9._\-]+";
    ORGANIZATION = r"o-[a-z0-9]{10,32}";
    /// An alias, not a version.
    URL_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)" or r"[0-9]*[a-zA-Z-_][a-zA-Z0-9-_]*";
    /// `$` alone in an alternative is Java's way to say that it may be empty.
    DESTINATION_ARN = r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    ANY = r".*";
    SUBNET = r"subnet-[0-9a-z]*";
    SECURITY_GROUP = r"sg-[0-9a-zA-Z]*";
    ENVIRONMENT_NAME = r"[a-zA-Z]([a-zA-Z0-9_])+";
    LAYER_VERSION = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)";
    LAYER = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";
    LAYER_ACTION = r"lambda:GetLayerVersion";
    LAYER_PRINCIPAL = r"\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root";
    LOG_GROUP = r"[\.\-_/#A-Za-z0-9]+";
    MASTER_REGION = r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}";
    TAG_TEXT = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";
    TAGGABLE_RESOURCE = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}|capacity-provider:[a-zA-Z0-9-_]+)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_is_anchored() {
        for pattern in ALL {
            assert!(!pattern.matches(" x\n"), "{}", pattern.text);
        }
    }

    #[test]
    fn matches_whole_values_only() {
        assert!(
            QUALIFIER.matches("$LATEST")
                && QUALIFIER.matches("$latest")
                && !QUALIFIER.matches("a b")
        );
        assert!(
            ROLE.matches("arn:aws:iam::000000000000:role/r")
                && !ROLE.matches("xarn:aws:iam::000000000000:role/r")
        );
        assert!(
            ARN_OR_EMPTY.matches("")
                && ARN_OR_EMPTY.matches("arn:aws:sqs:us-east-1:000000000000:q")
        );
        for (alias, legal) in
            [("live", true), ("1a", true), ("a1", true), ("-", true), ("12", false), ("a.b", false)]
        {
            assert_eq!(ALIAS.matches(alias), legal, "{alias}");
        }
        assert!(!ENVIRONMENT_NAME.matches("A") && ENVIRONMENT_NAME.matches("AB"));
        assert!(TAG_TEXT.matches("größe a/b") && !TAG_TEXT.matches("a#b"));
    }
}
