//! `nilas logs`: what a function printed, oldest first.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use nilas_model::{Clock, SystemClock};
use nilas_wire::time;
use serde_json::{Value, json};

use crate::cli::LogsArgs;
use crate::client::{Client, ClientError};
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::text_of;

/// Between two looks for new lines.
const POLL: Duration = Duration::from_millis(300);
/// How far behind the newest line the next look starts: environments write at the same time, and a line may land
/// after one with a later time.
const OVERLAP_MS: u64 = 5_000;

pub(crate) async fn run(cx: &Context, args: &LogsArgs) -> Result<ExitCode, Failure> {
    let group = if args.name.starts_with('/') {
        args.name.clone()
    } else {
        format!("/aws/lambda/{}", args.name)
    };
    let client = cx.client()?;
    let mut from_ms = SystemClock::new().epoch_ms().saturating_sub(args.since);
    let mut shown = Shown::default();
    loop {
        match print_from(cx, &client, &group, args.filter.as_deref(), from_ms, &mut shown).await {
            Ok(()) => {}
            // A function that has not run has no log yet; whoever follows waits for it.
            Err(PrintError::Client(ClientError::Refused { code, .. }))
                if code == "ResourceNotFoundException" && args.follow => {}
            Err(PrintError::Client(error)) => return Err(no_log(error, &args.name)),
            Err(PrintError::Output(failure)) => return Err(failure),
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        from_ms = from_ms.max(shown.newest_ms.saturating_sub(OVERLAP_MS));
        tokio::time::sleep(POLL).await;
    }
}

/// Events already printed that a later look will see again.
#[derive(Debug, Default)]
struct Shown {
    newest_ms: u64,
    ids: HashSet<(u64, String)>,
}

#[derive(Debug)]
enum PrintError {
    Client(ClientError),
    Output(Failure),
}

async fn print_from(
    cx: &Context,
    client: &Client,
    group: &str,
    filter: Option<&str>,
    from_ms: u64,
    shown: &mut Shown,
) -> Result<(), PrintError> {
    let mut token: Option<String> = None;
    loop {
        let mut request = json!({ "logGroupName": group, "startTime": from_ms });
        if let Some(filter) = filter {
            request["filterPattern"] = filter.into();
        }
        if let Some(token) = &token {
            request["nextToken"] = token.as_str().into();
        }
        let answer = client.logs("FilterLogEvents", &request).await.map_err(PrintError::Client)?;
        for event in answer["events"].as_array().into_iter().flatten() {
            if shown.is_new(event) {
                print_event(cx, event).map_err(PrintError::Output)?;
            }
        }
        token = answer["nextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            shown.ids.retain(|(timestamp_ms, _)| *timestamp_ms + OVERLAP_MS >= shown.newest_ms);
            return Ok(());
        }
    }
}

impl Shown {
    fn is_new(&mut self, event: &Value) -> bool {
        let timestamp_ms = event["timestamp"].as_u64().unwrap_or_default();
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        self.ids.insert((timestamp_ms, text_of(event, "/eventId")))
    }
}

fn print_event(cx: &Context, event: &Value) -> Result<(), Failure> {
    if cx.output.json {
        return cx.output.line(&event.to_string());
    }
    let timestamp = time::iso8601_millis(event["timestamp"].as_u64().unwrap_or_default());
    let message = text_of(event, "/message");
    cx.output.line(&format!(
        "{} {}",
        cx.output.dim(&timestamp),
        cx.output.foreign(message.trim_end())
    ))
}

fn no_log(error: ClientError, name: &str) -> Failure {
    match &error {
        ClientError::Refused { code, .. } if code == "ResourceNotFoundException" => {
            Failure::new(error)
                .hint(format!("a log begins with the first invocation: `nilas invoke {name}`"))
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_seen_twice_is_shown_once() {
        let mut shown = Shown::default();
        let event = |id: &str, timestamp: u64| json!({ "eventId": id, "timestamp": timestamp });
        assert!(shown.is_new(&event("1", 10)));
        assert!(shown.is_new(&event("2", 5)));
        assert!(!shown.is_new(&event("1", 10)));
        assert_eq!(shown.newest_ms, 10);
    }
}
