//! Filter patterns: terms, conditions on JSON, conditions on space-delimited fields.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>

mod fields;
mod json;
mod scan;
mod terms;
mod value;

use fields::Fields;
use json::JsonCondition;
use terms::Terms;

/// Regular expressions of one pattern.
const REGEXES_MAX: usize = 2;

/// A parsed filter pattern.
#[derive(Debug)]
pub(super) struct FilterPattern(Kind);

#[derive(Debug)]
enum Kind {
    Everything,
    Terms(Terms),
    Json(JsonCondition),
    Fields(Fields),
}

/// The pattern does not follow the syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidPattern;

type Result<T> = std::result::Result<T, InvalidPattern>;

impl FilterPattern {
    /// The caller bounds the length of `text`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let kind = match text.chars().next() {
            None => Ok(Kind::Everything),
            Some('{') => json::parse(text).map(Kind::Json),
            Some('[') => fields::parse(text).map(Kind::Fields),
            Some(_) => terms::parse(text).map(Kind::Terms),
        };
        kind.map(Self)
    }

    pub(super) fn matches_everything(&self) -> bool {
        matches!(self.0, Kind::Everything)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::Everything => true,
            Kind::Terms(terms) => terms.matches(message),
            Kind::Json(condition) => condition.matches_text(message),
            Kind::Fields(fields) => fields.matches(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, hits: &[&str], misses: &[&str]) {
        let parsed = FilterPattern::parse(pattern).unwrap_or_else(|_| panic!("{pattern} is valid"));
        for message in hits {
            assert!(parsed.matches(message), "{pattern} hits {message}");
        }
        for message in misses {
            assert!(!parsed.matches(message), "{pattern} misses {message}");
        }
    }

    #[test]
    fn terms() {
        check("", &["anything", ""], &[]);
        check("ERROR", &["[ERROR 400] BAD REQUEST"], &["error"]);
        check("ERROR ARGUMENTS", &["[ERROR 419] MISSING ARGUMENTS"], &["[ERROR 400] BAD REQUEST"]);
        check("?ERROR ?ARGUMENTS", &["ERROR", "ARGUMENTS"], &["WARN"]);
        check("ERROR -ARGUMENTS", &["[ERROR 400] BAD"], &["[ERROR 419] MISSING ARGUMENTS", "OK"]);
        check(
            "\"INTERNAL SERVER ERROR\"",
            &["[ERROR 500] INTERNAL SERVER ERROR"],
            &["INTERNAL ERROR SERVER"],
        );
        check("-\"a b\"", &["a", "b a"], &["x a b"]);
        check("\"say \\\"hi\\\"\"", &["say \"hi\""], &["say hi"]);
        // AWS: next to other terms, optional ones count for nothing.
        check("?ERROR WARN", &["WARN"], &["ERROR"]);
        check("%AUTHORIZED%", &["[ERROR 401] UNAUTHORIZED REQUEST"], &["x"]);
        check("%^[hc]at$%", &["hat", "cat"], &["that"]);
        check(
            "%10\\.10\\.0\\.1{1,2}% ERROR",
            &["ERROR 10.10.0.11"],
            &["10.10.0.1", "ERROR 10a10.0.1"],
        );
    }

    #[test]
    fn json_comparisons() {
        let event = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another"],
            "objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"ThisFlag":true,"n":4.5e1,
            "error_code":404,"a-b":"x","dotted.name":"y"}"#;
        for hit in [
            r#"{ $.eventType = "UpdateTrail" }"#,
            r#"{$.eventType="UpdateTrail"}"#,
            "{ $.eventType = UpdateTrail }",
            "{ $.sourceIPAddress != 123.123.* }",
            "{ $.sourceIPAddress = 111.111.* }",
            r#"{ $.eventType = "Update*" }"#,
            r#"{ $.arrayKey[0] = "value" }"#,
            r#"{ $.arrayKey[*] = "another" }"#,
            "{ $.objectList[1].id = 2 }",
            "{ $.objectList[*].id > 1 }",
            "{ $.SomeObject IS NULL }",
            "{ $.SomeOtherObject NOT EXISTS }",
            "{ $.ThisFlag IS TRUE }",
            "{ $.n = 45 }",
            "{ $.n >= 4.5e1 }",
            "{ $.error_code = 4* }",
            "{ $.eventType = %Trail$% }",
            r#"{ ($.eventType = "No" || $.n > 3) && $.ThisFlag IS TRUE }"#,
            r#"{ $.eventType = "No" && $.n > 3 || $.error_code < 500 }"#,
            "{ $.a-b = x }",
            "{ $.['dotted.name'] = y }",
        ] {
            check(
                hit,
                &[event],
                &["{}", "not json", "[1]"]
                    .map(|miss| if hit.contains("NOT EXISTS") { "x" } else { miss }),
            );
        }
        for miss in [
            r#"{ $.eventType = "updateTrail" }"#,
            "{ $.sourceIPAddress != 111.111.* }",
            "{ $.missing != 1 }",
            "{ $.missing IS NULL }",
            "{ $.ThisFlag IS FALSE }",
            "{ $.ThisFlag NOT EXISTS }",
            "{ $.n < 45 }",
            "{ $.eventType > 1 }",
            "{ $.objectList = a }",
            "{ $.arrayKey[2] = value }",
        ] {
            check(miss, &[], &[event]);
        }
    }

    #[test]
    fn space_delimited_fields() {
        let event = r#"127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;
        for hit in [
            "[ip, server, username, timestamp, request, status_code, bytes]",
            "[ip, server, username, timestamp, request, status_code = 4*, bytes]",
            "[ip=%127\\.0\\.0\\.[1-9]%, server, username, timestamp, request, status_code = 4*, bytes]",
            "[..., request = *.html*, status_code = 4*, bytes]",
            "[ip, ..., bytes > 1000]",
            "[..., status_code = 404 || status_code = 410, bytes]",
            "[..., status_code >= 400 && status_code < 500, bytes != 1]",
            "[ip, server, username = \"frank\", ...]",
            "[..., timestamp = *2000*, request, status, bytes]",
        ] {
            check(hit, &[event], &["", "one two"]);
        }
        for miss in
            ["[a, b]", "[ip, server = Test, ...]", "[..., bytes > 2000]", "[..., bytes < x]"]
        {
            if let Ok(pattern) = FilterPattern::parse(miss) {
                assert!(!pattern.matches(event), "{miss}");
            }
        }
        check("[w1=ERROR, w2]", &["ERROR code"], &["ERROR", "INFO code", "ERROR a code"]);
        check("[w1=ERROR || w1=WARN, ...]", &["ERROR", "WARN a b c"], &["INFO"]);
    }

    #[test]
    fn refuses_bad_syntax() {
        let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(200), ")".repeat(200));
        for text in [
            "\"open",
            "%open",
            "%(a)%",
            "%something!%",
            "%é%",
            "{",
            "{}",
            "{ $.a }",
            "{ $.a = }",
            "{ a = 1 }",
            "{ $.a == 1 }",
            "{ $.a = 1 } x",
            "{ ($.a = 1 }",
            "{ $.a IS MAYBE }",
            "{ $.a = 1 && }",
            "{ $.a[x] = 1 }",
            "[",
            "[a, b",
            "[a=]",
            "[..., a, ...]",
            "[a] x",
            "[a = 1 && b = 2]",
            "-",
            "?",
            "{ $.a > x }",
            &deep,
            "%a{1000}{1000}%",
            "%a% %b% %c%",
        ] {
            assert_eq!(FilterPattern::parse(text).err(), Some(InvalidPattern), "{text}");
        }
    }
}
