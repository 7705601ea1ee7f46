//! What happens to a stack, told as it happens.

use std::collections::HashSet;
use std::time::Duration;

use nilas_wire::xml::Element;

use super::text;
use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::output::Output;

/// Between two looks at a stack's events.
const POLL: Duration = Duration::from_millis(100);

/// One row of DescribeStackEvents.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) logical_id: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: String,
}

/// Shows events nobody has seen yet.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    output: &'a Output,
    seen: HashSet<String>,
    /// The failures among them, oldest first.
    pub(crate) failures: Vec<Event>,
}

impl<'a> Progress<'a> {
    /// Whatever `stack` has been through until now is no news.
    pub(crate) async fn begin(
        client: &Client,
        output: &'a Output,
        stack: Option<&str>,
    ) -> Result<Self, ClientError> {
        let mut progress = Self { output, seen: HashSet::new(), failures: Vec::new() };
        if let Some(stack) = stack {
            progress.seen.extend(newest(client, stack).await?.into_iter().map(|event| event.id));
        }
        Ok(progress)
    }

    /// Shows what is new, oldest first.
    pub(crate) async fn look(&mut self, client: &Client, stack: &str) -> Result<(), Failure> {
        let mut events = match newest(client, stack).await {
            Ok(events) => events,
            // Not there yet, or gone already.
            Err(ClientError::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        events.reverse();
        for event in events {
            if !self.seen.insert(event.id.clone()) {
                continue;
            }
            self.show(&event)?;
            if event.status.ends_with("_FAILED") {
                self.failures.push(event);
            }
        }
        Ok(())
    }

    /// Shows what happens until `done` is there.
    pub(crate) async fn during<T>(
        &mut self,
        client: &Client,
        stack: &str,
        done: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                biased;
                result = &mut done => return Ok(result),
                () = tokio::time::sleep(POLL) => self.look(client, stack).await?,
            }
        }
    }

    fn show(&self, event: &Event) -> Result<(), Failure> {
        if self.output.json {
            return Ok(());
        }
        let Event { logical_id, kind, status, reason, .. } = event;
        let failed = status.ends_with("_FAILED") || status.contains("ROLLBACK");
        // In progress says nothing that the end does not say better, in stacks that take milliseconds.
        if status.ends_with("_IN_PROGRESS") && !failed {
            return Ok(());
        }
        let mark =
            if failed { self.output.red_note(status) } else { self.output.green_note(status) };
        let reason = if reason.is_empty() { String::new() } else { format!("  {reason}") };
        self.output.note(&format!("  {mark}  {logical_id}  {}{reason}", self.output.dim_note(kind)))
    }
}

/// The newest page of events, newest first.
async fn newest(client: &Client, stack: &str) -> Result<Vec<Event>, ClientError> {
    let result =
        client.query("cloudformation", "DescribeStackEvents", &[("StackName", stack)]).await?;
    let list = result.find(&["StackEvents"]).map(|list| list.children.as_slice());
    Ok(list.unwrap_or_default().iter().map(read).collect())
}

fn read(member: &Element) -> Event {
    Event {
        id: text(member, "EventId"),
        logical_id: text(member, "LogicalResourceId"),
        kind: text(member, "ResourceType"),
        status: text(member, "ResourceStatus"),
        reason: text(member, "ResourceStatusReason"),
    }
}
