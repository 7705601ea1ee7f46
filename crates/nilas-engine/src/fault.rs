//! What goes wrong with a function, and the error object its caller gets, to AWS's letter.

use bytes::Bytes;
use nilas_model::RequestId;
use nilas_sandbox::Exit;
use serde_json::json;

/// One way for an invocation to fail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FunctionFault {
    /// The function's own error object, from the handler or from init.
    Reported {
        payload: Bytes,
        error_type: String,
        during_init: bool,
    },
    Timeout {
        timeout_ms: u64,
    },
    Exited(Exit),
    /// The bootstrap is missing or cannot be executed.
    InvalidEntrypoint {
        reason: String,
    },
    ResponseTooLarge {
        bytes_max: usize,
    },
    /// The response broke off, or its streaming trailers say so.
    TruncatedResponse,
    /// The runtime broke its protocol; the environment was ended.
    Violation,
}

impl FunctionFault {
    /// An error object the runtime sent. Its type is taken from the object when no header names it.
    pub(crate) fn reported(payload: Bytes, header: Option<&str>, during_init: bool) -> Self {
        let error_type = header.map_or_else(|| error_type_of(&payload), sanitised);
        let payload = if payload.is_empty() {
            let message = "";
            Bytes::from(json!({"errorType": error_type, "errorMessage": message}).to_string())
        } else {
            payload
        };
        Self::Reported { payload, error_type, during_init }
    }

    /// The body of the answer.
    pub(crate) fn payload(&self, id: RequestId) -> Bytes {
        let value = match self {
            Self::Reported { payload, .. } => return payload.clone(),
            Self::ResponseTooLarge { .. } => {
                json!({"errorMessage": self.reason(), "errorType": self.error_type()})
            }
            _ => json!({
                "errorType": self.error_type(),
                "errorMessage": format!("RequestId: {id} Error: {}", self.reason()),
            }),
        };
        Bytes::from(value.to_string())
    }

    /// As in `Error Type:` of the REPORT line.
    pub(crate) fn error_type(&self) -> &str {
        match self {
            Self::Reported { error_type, .. } => error_type,
            Self::Timeout { .. } => "Sandbox.Timedout",
            Self::Exited(exit) if exit.out_of_memory => "Runtime.OutOfMemory",
            Self::Exited(_) | Self::Violation => "Runtime.ExitError",
            Self::InvalidEntrypoint { .. } => "Runtime.InvalidEntrypoint",
            Self::ResponseTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Self::TruncatedResponse => "Runtime.TruncatedResponse",
        }
    }

    /// What AWS writes into the log before END, if anything.
    pub(crate) fn log_message(&self, id: RequestId, time: &str) -> Option<String> {
        match self {
            Self::Reported { .. } | Self::ResponseTooLarge { .. } | Self::TruncatedResponse => None,
            Self::Timeout { .. } => Some(format!("{time} {id} {}\n\n", self.reason())),
            _ => Some(format!("RequestId: {id} Error: {}\n{}\n", self.reason(), self.error_type())),
        }
    }

    /// Whether REPORT carries a status: AWS gives none for errors the handler itself reported.
    pub(crate) fn is_platform_visible(&self) -> bool {
        !matches!(self, Self::Reported { during_init: false, .. } | Self::ResponseTooLarge { .. })
    }

    pub(crate) fn status(&self) -> &'static str {
        if matches!(self, Self::Timeout { .. }) { "timeout" } else { "error" }
    }

    fn reason(&self) -> String {
        match self {
            Self::Reported { .. } => String::new(),
            Self::Timeout { timeout_ms } => {
                format!(
                    "Task timed out after {}.{:02} seconds",
                    timeout_ms / 1_000,
                    timeout_ms % 1_000 / 10
                )
            }
            Self::Exited(exit) => exit_reason(*exit),
            Self::InvalidEntrypoint { reason } => reason.clone(),
            Self::ResponseTooLarge { bytes_max } => format!(
                "Response payload size exceeded maximum allowed payload size ({bytes_max} bytes)."
            ),
            Self::TruncatedResponse => "Response was truncated".to_owned(),
            Self::Violation => "Runtime exited without providing a reason".to_owned(),
        }
    }
}

fn exit_reason(exit: Exit) -> String {
    match exit {
        // The guard may end a tree before the kernel's own killer does: AWS's words for both are the same.
        Exit { out_of_memory: true, .. } => "Runtime exited with error: signal: killed".to_owned(),
        Exit { signal: Some(signal), .. } => {
            format!("Runtime exited with error: signal: {}", signal_name(signal))
        }
        Exit { code: Some(code), .. } if code != 0 => {
            format!("Runtime exited with error: exit status {code}")
        }
        Exit { .. } => "Runtime exited without providing a reason".to_owned(),
    }
}

/// As Go's `syscall.Signal` spells them, which is what AWS prints.
fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 16] = [
        "",
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
    ];
    let name = usize::try_from(signal).ok().and_then(|signal| NAMES.get(signal));
    name.filter(|name| !name.is_empty())
        .map_or_else(|| format!("signal {signal}"), |name| (*name).to_owned())
}

/// The object's own `errorType`, or AWS's word for none.
fn error_type_of(payload: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "errorType")]
        error_type: Option<String>,
    }
    let typed = serde_json::from_slice::<Typed>(payload).ok().and_then(|typed| typed.error_type);
    typed.map_or_else(|| "Runtime.Unknown".to_owned(), |text| sanitised(&text))
}

/// Text of the function that goes into a platform log line: one line, bounded.
fn sanitised(text: &str) -> String {
    const ERROR_TYPE_CHARS_MAX: usize = 128;
    text.chars().filter(|c| !c.is_control()).take(ERROR_TYPE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use nilas_model::limits;

    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn check(fault: &FunctionFault, expected: &str) {
        let payload = fault.payload(RequestId::parse(ID).unwrap());
        assert_eq!(std::str::from_utf8(&payload).unwrap(), expected.replace("ID", ID));
    }

    fn exited(code: Option<i32>, signal: Option<i32>, out_of_memory: bool) -> FunctionFault {
        FunctionFault::Exited(Exit { code, signal, out_of_memory })
    }

    #[test]
    fn speaks_as_aws_does() {
        check(
            &FunctionFault::Timeout { timeout_ms: 1_000 },
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 1.00 seconds"}"#,
        );
        check(
            &exited(Some(0), None, false),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}"#,
        );
        check(
            &exited(Some(127), None, false),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 127"}"#,
        );
        check(
            &exited(None, Some(11), false),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: segmentation fault"}"#,
        );
        check(
            &exited(None, Some(9), true),
            r#"{"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed"}"#,
        );
        check(
            &FunctionFault::ResponseTooLarge { bytes_max: limits::SYNC_RESPONSE_BYTES_MAX },
            r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#,
        );
        check(
            &FunctionFault::InvalidEntrypoint {
                reason: "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
                    .to_owned(),
            },
            r#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: ID Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}"#,
        );
    }

    #[test]
    fn names_the_type_of_a_reported_error() {
        let check = |payload: &'static str, header, expected: &str| {
            let fault =
                FunctionFault::reported(Bytes::from_static(payload.as_bytes()), header, false);
            assert_eq!(fault.error_type(), expected);
        };
        check(r#"{"errorType":"TypeError","errorMessage":"x"}"#, None, "TypeError");
        check(r#"{"errorType":"TypeError"}"#, Some("Runtime.X"), "Runtime.X");
        check("not json", None, "Runtime.Unknown");
        check(r#"{"errorType":"a\nREPORT"}"#, None, "aREPORT");
    }
}
