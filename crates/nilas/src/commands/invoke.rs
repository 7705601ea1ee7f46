//! `nilas invoke`: one invocation; the answer goes to stdout, everything else to stderr.

use std::io::Read;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use nilas_model::limits::SYNC_PAYLOAD_BYTES_MAX;
use nilas_wire::percent;
use serde_json::Value;

use crate::cli::InvokeArgs;
use crate::client::{Call, Client};
use crate::commands::Context;
use crate::commands::local::Local;
use crate::failure::Failure;
use crate::output::text_of;
use crate::project;

#[derive(Debug, thiserror::Error)]
enum PayloadError {
    #[error("cannot read the payload from {place}")]
    Read { place: String, source: std::io::Error },
    #[error("the payload is no JSON")]
    Json { source: serde_json::Error },
    #[error("the payload has more than {SYNC_PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
}

/// The function ran and failed: its own words.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
struct FunctionFailed {
    kind: String,
    message: String,
}

pub(crate) async fn run(cx: &Context, args: &InvokeArgs) -> Result<ExitCode, Failure> {
    let source = match &args.path {
        Some(path) => format!("@{}", path.display()),
        None => args.data.clone(),
    };
    let payload = payload(&source).map_err(|error| match error {
        PayloadError::Json { .. } => Failure::new(error)
            .hint("a payload is JSON such as '{\"key\": 1}', @FILE, or - for standard input"),
        _ => Failure::new(error),
    })?;
    match (args.name.as_deref(), args.function.as_deref()) {
        (Some("local"), Some(key)) => {
            let local = Local::start(cx, &args.project, key).await?;
            let answered = call(cx, &local.client, &local.name, args, payload).await;
            local.end().await?;
            answered
        }
        (Some(name), None) => call(cx, &cx.client()?, name, args, payload).await,
        (_, key) => {
            let key = key.unwrap_or_default();
            let (name, client) = project::function_name(cx, &args.project, key).await?;
            call(cx, &client, &name, args, payload).await
        }
    }
}

async fn call(
    cx: &Context,
    client: &Client,
    name: &str,
    args: &InvokeArgs,
    payload: Bytes,
) -> Result<ExitCode, Failure> {
    let mut target = format!("/2015-03-31/functions/{}/invocations", percent::encode(name));
    if let Some(qualifier) = &args.qualifier {
        target.push_str("?Qualifier=");
        target.push_str(&percent::encode(qualifier));
    }
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if args.asynchronous {
        headers.push(("x-amz-invocation-type", "Event".to_owned()));
    } else if args.log {
        headers.push(("x-amz-log-type", "Tail".to_owned()));
    }
    let call = Call { service: "lambda", method: Method::POST, target, headers, body: payload };
    let answer = client.call(call).await?;
    if args.log {
        show_log(cx, &answer.headers)?;
    }
    if answer.headers.contains_key("x-amz-function-error") {
        return Err(function_failure(&answer.body, name));
    }
    if args.asynchronous {
        cx.output.note("accepted")?;
    } else {
        cx.output.foreign_bytes(&answer.body)?;
        cx.output.bytes(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the event and checks that it is JSON, so that the message names the payload and not the function.
fn payload(argument: &str) -> Result<Bytes, PayloadError> {
    let read = |place: &str, source: &mut dyn Read| {
        let mut bytes = Vec::new();
        let mut limited = source.take(SYNC_PAYLOAD_BYTES_MAX as u64 + 1);
        let place = place.to_owned();
        limited.read_to_end(&mut bytes).map_err(|source| PayloadError::Read { place, source })?;
        Ok(bytes)
    };
    let bytes = if argument == "-" {
        read("standard input", &mut std::io::stdin().lock())?
    } else if let Some(path) = argument.strip_prefix('@') {
        let opened = std::fs::File::open(path);
        let mut file =
            opened.map_err(|source| PayloadError::Read { place: path.to_owned(), source })?;
        read(path, &mut file)?
    } else {
        argument.as_bytes().to_vec()
    };
    if bytes.len() > SYNC_PAYLOAD_BYTES_MAX {
        return Err(PayloadError::TooLarge);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
        .map_err(|source| PayloadError::Json { source })?;
    Ok(bytes.into())
}

fn show_log(cx: &Context, headers: &HeaderMap) -> Result<(), Failure> {
    let encoded = headers.get("x-amz-log-result").map(|value| value.as_bytes());
    let tail = encoded.and_then(|value| STANDARD.decode(value).ok());
    match tail {
        Some(tail) => cx.output.foreign_note(String::from_utf8_lossy(&tail).trim_end()),
        None => Ok(()),
    }
}

/// Prints the error object as AWS's tools would give it, then says it again for people.
fn function_failure(body: &Bytes, name: &str) -> Failure {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = text_of(&error, "/errorType");
    let kind = if kind.is_empty() { "the function failed".to_owned() } else { kind };
    let message = match text_of(&error, "/errorMessage") {
        message if message.is_empty() => String::from_utf8_lossy(body).into_owned(),
        message => message,
    };
    let mut failure = Failure::new(FunctionFailed { kind, message });
    let trace = error.get("trace").or_else(|| error.get("stackTrace")).and_then(Value::as_array);
    // Node repeats the message as the trace's first line.
    for line in
        trace.into_iter().flatten().filter_map(Value::as_str).filter(|line| line.starts_with(' '))
    {
        failure = failure.detail(line.trim_end());
    }
    failure.hint(format!("`nilas logs {name}` shows what it printed"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_payload_is_json_from_an_argument_or_a_file() {
        assert_eq!(payload("{\"a\": 1}").unwrap(), "{\"a\": 1}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        assert_eq!(payload(&format!("@{}", file.path().display())).unwrap(), "[1]");
        assert!(matches!(payload("{a: 1}"), Err(PayloadError::Json { .. })));
        assert!(matches!(payload("@/nonexistent"), Err(PayloadError::Read { .. })));
    }

    #[test]
    fn a_failed_function_speaks_for_itself() {
        let body = br#"{"errorType":"TypeError","errorMessage":"x is not a function","trace":["TypeError: x is not a function","    at handler (/var/task/index.js:2:3)"]}"#;
        let mut out = Vec::new();
        function_failure(&Bytes::from_static(body), "hello").show(&mut out, false).unwrap();
        expect![[r"
            error: TypeError: x is not a function
                at handler (/var/task/index.js:2:3)
            hint: `nilas logs hello` shows what it printed
        "]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
