//! Which messages of a batch have succeeded, by what the function has answered.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>

use std::collections::HashSet;

use nilas_model::Outcome;
use serde_json::Value;

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    AllSucceeded,
    AllFailed,
    /// Positions of those that have succeeded.
    Some(Vec<usize>),
}

/// `ids` are the message ids of the batch, in its order.
pub(super) fn verdict(outcome: &Outcome, reports_failures: bool, ids: &[&str]) -> Verdict {
    if outcome.error.is_some() {
        return Verdict::AllFailed;
    }
    if !reports_failures {
        return Verdict::AllSucceeded;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(&outcome.payload) else {
        return Verdict::AllFailed;
    };
    match failed(&answer, ids) {
        None => Verdict::AllFailed,
        Some(failed) if failed.is_empty() => Verdict::AllSucceeded,
        Some(failed) => {
            let succeeded = (0..ids.len()).filter(|at| !failed.contains(ids[*at]));
            Verdict::Some(succeeded.collect())
        }
    }
}

/// The ids that were reported; None if the report makes no sense, which fails the whole batch.
fn failed<'a>(answer: &'a Value, ids: &[&str]) -> Option<HashSet<&'a str>> {
    let none = HashSet::new;
    let members = match answer {
        Value::Null => return Some(none()),
        Value::Object(members) => members,
        _ => return None,
    };
    let failures = match members.get("batchItemFailures") {
        None | Some(Value::Null) => return Some(none()),
        Some(Value::Array(failures)) => failures,
        Some(_) => return None,
    };
    let known: HashSet<&str> = ids.iter().copied().collect();
    let id = |failure: &'a Value| {
        let id = failure.get("itemIdentifier")?.as_str()?;
        known.contains(id).then_some(id)
    };
    failures.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use nilas_model::{FunctionErrorKind, Report};

    use super::*;

    fn outcome(payload: &str, error: Option<FunctionErrorKind>) -> Outcome {
        let payload = payload.to_owned().into();
        Outcome { payload, error, log_tail: None, report: Report::default() }
    }

    fn check(payload: &str, expected: Verdict) {
        let outcome = outcome(payload, None);
        assert_eq!(verdict(&outcome, true, &["a", "b", "c"]), expected, "{payload}");
    }

    #[test]
    fn reports_are_read_as_documented() {
        for payload in [
            "{}",
            "null",
            r#"{"batchItemFailures": []}"#,
            r#"{"batchItemFailures": null}"#,
            r#"{"other": 1}"#,
        ] {
            check(payload, Verdict::AllSucceeded);
        }
        for payload in [
            "not JSON",
            "\"text\"",
            r#"{"batchItemFailures": "a"}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
            r#"{"batchItemFailures": [{"wrongKey": "a"}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "unknown"}]}"#,
        ] {
            check(payload, Verdict::AllFailed);
        }
        check(r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#, Verdict::Some(vec![0, 2]));
    }

    #[test]
    fn an_error_fails_all_and_nothing_is_read_that_is_not_a_report() {
        let report = r#"{"batchItemFailures": [{"itemIdentifier": "a"}]}"#;
        assert_eq!(verdict(&outcome(report, None), false, &["a"]), Verdict::AllSucceeded);
        let failed = outcome("{}", Some(FunctionErrorKind::Unhandled));
        assert_eq!(verdict(&failed, true, &["a"]), Verdict::AllFailed);
    }
}
