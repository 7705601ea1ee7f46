//! Filter criteria: which messages a function is to see.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html>

use serde_json::{Value, json};

use crate::lambda::error::LambdaError;
use crate::pattern::Pattern;
use crate::sqs::Polled;

/// Patterns, one of which must match; none lets all through.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<Pattern>);

impl Filters {
    pub(super) fn parse(patterns: &[String]) -> Result<Self, LambdaError> {
        let parse = |text: &String| {
            let invalid = |_| LambdaError::invalid("Invalid filter pattern definition.");
            Pattern::parse(text).map_err(invalid)
        };
        Ok(Self(patterns.iter().map(parse).collect::<Result<_, _>>()?))
    }

    pub(super) fn admit(&self, polled: &Polled) -> bool {
        self.0.is_empty() || self.admit_body(&polled.body)
    }

    /// A pattern sees nothing of a message but its body: an object where it is JSON, else a text.
    fn admit_body(&self, body: &str) -> bool {
        let text = json!({ "body": body });
        let parsed = serde_json::from_str::<Value>(body).ok();
        let parsed = parsed.map(|body| json!({ "body": body }));
        // `5` and `"text"` are JSON and plain text alike.
        let is_text = parsed
            .as_ref()
            .is_none_or(|parsed| !parsed["body"].is_object() && !parsed["body"].is_array());
        self.0.iter().any(|pattern| {
            parsed.as_ref().is_some_and(|parsed| pattern.matches(parsed))
                || is_text && pattern.matches(&text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_matched_as_json_or_as_text() {
        let json = r#"{"body": {"RequestCode": ["BBBB"]}}"#;
        let text = r#"{"body": ["BBBB"]}"#;
        for (patterns, body, admitted) in [
            (vec![json], r#"{"RequestCode": "BBBB", "other": 1}"#, true),
            (vec![json], r#"{"RequestCode": "AAAA"}"#, false),
            (vec![json], "BBBB", false),
            (vec![text], "BBBB", true),
            (vec![text], r#""BBBB""#, true),
            (vec![text], r#"{"RequestCode": "BBBB"}"#, false),
            (vec![json, text], "BBBB", true),
            (vec![r#"{"body": {"n": [{"numeric": [">", 100]}]}}"#], r#"{"n": 105}"#, true),
            (vec![r#"{"body": {"n": [{"numeric": [">", 100]}]}}"#], r#"{"n": 5}"#, false),
        ] {
            let owned: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
            let filters = Filters::parse(&owned).expect("they are valid");
            assert_eq!(filters.admit_body(body), admitted, "{patterns:?} {body}");
        }
    }
}
