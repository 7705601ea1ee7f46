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
use crate::project;

/// Between two looks for new lines.
pub(super) const POLL: Duration = Duration::from_millis(300);
/// How far behind the newest line the next look starts: environments write at the same time, and a line may land
/// after one with a later time.
const OVERLAP_MS: u64 = 5_000;

pub(crate) async fn run(cx: &Context, args: &LogsArgs) -> Result<ExitCode, Failure> {
    let (name, client) = match (&args.name, &args.function) {
        (Some(name), _) => (name.clone(), cx.client()?),
        (None, key) => {
            let key = key.as_deref().unwrap_or_default();
            project::function_name(cx, &args.project, key).await?
        }
    };
    let from_ms = SystemClock::new().epoch_ms().saturating_sub(args.since);
    let mut tail = Tail::of(&name, from_ms, args.filter.clone());
    loop {
        match tail.next(&client).await {
            Ok(events) => events.iter().try_for_each(|event| print_event(cx, event))?,
            // A function that has not run has no log yet; whoever follows waits for it.
            Err(error) if is_absent(&error) && args.tail => {}
            Err(error) => return Err(no_log(error, &name)),
        }
        if !args.tail {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The events of one log group, each once.
#[derive(Debug)]
pub(super) struct Tail {
    group: String,
    filter: Option<String>,
    from_ms: u64,
    shown: Shown,
}

/// Events already given out that a later look will see again.
#[derive(Debug, Default)]
struct Shown {
    newest_ms: u64,
    ids: HashSet<(u64, String)>,
}

impl Tail {
    /// `name` is a function's, or a log group's if it starts with a slash.
    pub(super) fn of(name: &str, from_ms: u64, filter: Option<String>) -> Self {
        let group =
            if name.starts_with('/') { name.to_owned() } else { format!("/aws/lambda/{name}") };
        Self { group, filter, from_ms, shown: Shown::default() }
    }

    /// What has come since the last look.
    pub(super) async fn next(&mut self, client: &Client) -> Result<Vec<Value>, ClientError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = json!({ "logGroupName": self.group, "startTime": self.from_ms });
            if let Some(filter) = &self.filter {
                request["filterPattern"] = filter.as_str().into();
            }
            if let Some(token) = &token {
                request["nextToken"] = token.as_str().into();
            }
            let mut answer = client.logs("FilterLogEvents", &request).await?;
            if let Some(Value::Array(events)) = answer.get_mut("events").map(Value::take) {
                found.extend(events.into_iter().filter(|event| self.shown.is_new(event)));
            }
            token = answer["nextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                self.from_ms = self.from_ms.max(self.shown.forget_old());
                return Ok(found);
            }
        }
    }
}

impl Shown {
    fn is_new(&mut self, event: &Value) -> bool {
        let timestamp_ms = event["timestamp"].as_u64().unwrap_or_default();
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        self.ids.insert((timestamp_ms, text_of(event, "/eventId")))
    }

    /// Answers where the next look may start.
    fn forget_old(&mut self) -> u64 {
        let oldest_ms = self.newest_ms.saturating_sub(OVERLAP_MS);
        self.ids.retain(|(timestamp_ms, _)| *timestamp_ms >= oldest_ms);
        oldest_ms
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

pub(super) fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { code, .. } if code == "ResourceNotFoundException")
}

fn no_log(error: ClientError, name: &str) -> Failure {
    if is_absent(&error) {
        return Failure::new(error)
            .hint(format!("a log begins with the first invocation: `nilas invoke {name}`"));
    }
    error.into()
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
