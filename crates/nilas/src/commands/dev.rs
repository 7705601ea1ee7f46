//! `nilas dev`: deploys, and deploys again at every change, while invocations and logs are shown as they happen.

use std::process::ExitCode;
use std::time::Instant;

use nilas_model::{Clock, SystemClock};
use serde_json::Value;

use super::deploy::{push, show, storage, warn};
use super::logs::{self, Tail};
use crate::cli::DevArgs;
use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::text_of;
use crate::project::{self, Project};
use crate::stack::Done;
use crate::watch::Watcher;

/// Foreground colours that are told apart on dark and on light.
const COLORS: [&str; 6] = ["36", "35", "34", "33", "32", "31"];

pub(crate) async fn run(cx: &Context, args: &DevArgs) -> Result<ExitCode, Failure> {
    let mut session = Session::start(cx, args).await?;
    let mut watcher = Watcher::of(&session.project.dir)?;
    if watcher.is_partial {
        cx.output.note("the project has more directories than are watched")?;
    }
    cx.output.note("Watching for changes. Ctrl-C ends; what is deployed stays.")?;
    let mut looks = tokio::time::interval(logs::POLL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = watcher.changed() => {
                changed?;
                if let Err(failure) = session.redeploy(cx, args).await {
                    // The next change may mend it.
                    failure.show(&mut std::io::stderr().lock(), cx.output.error_color)?;
                }
            }
            _ = looks.tick() => session.show_logs(cx).await?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// What is deployed, and how far its logs have been shown.
#[derive(Debug)]
struct Session {
    client: Client,
    project: Project,
    tails: Vec<FunctionTail>,
}

#[derive(Debug)]
struct FunctionTail {
    key: String,
    tail: Tail,
}

impl Session {
    async fn start(cx: &Context, args: &DevArgs) -> Result<Self, Failure> {
        let began = Instant::now();
        let (project, client) = project::load(cx, &args.project).await?;
        warn(cx, &project.warnings)?;
        let mut session = Self { client, project, tails: Vec::new() };
        let from_ms = SystemClock::new().epoch_ms();
        let done = session.push(cx, began).await?;
        show(cx, &session.client, &session.project, done.stack()).await?;
        session.follow(from_ms).await?;
        Ok(session)
    }

    async fn redeploy(&mut self, cx: &Context, args: &DevArgs) -> Result<(), Failure> {
        let began = Instant::now();
        let from_ms = SystemClock::new().epoch_ms();
        (self.project, self.client) = project::load(cx, &args.project).await?;
        self.push(cx, began).await?;
        self.follow(from_ms).await
    }

    async fn push(&self, cx: &Context, began: Instant) -> Result<Done, Failure> {
        let storage = storage(cx, &self.client, &self.project).await?;
        let done = push(cx, &self.client, &storage, &self.project).await?;
        let what = match done {
            Done::Created(_) | Done::Updated(_) => "deployed",
            Done::Unchanged(_) => "unchanged",
        };
        let took = began.elapsed().as_secs_f64();
        cx.output.note(&format!("{} {what} in {took:.2} s", self.project.stack))?;
        storage.tidy().await?;
        Ok(done)
    }

    /// Follows functions that are new, from `from_ms` on, and those that were there as before.
    async fn follow(&mut self, from_ms: u64) -> Result<(), Failure> {
        let functions = &self.project.functions;
        self.tails.retain(|known| functions.iter().any(|function| function.key == known.key));
        for function in functions {
            if self.tails.iter().all(|known| known.key != function.key) {
                let name = self.project.function_name(&self.client, &function.key).await?;
                let tail = Tail::of(&name, from_ms, None);
                self.tails.push(FunctionTail { key: function.key.clone(), tail });
            }
        }
        Ok(())
    }

    async fn show_logs(&mut self, cx: &Context) -> Result<(), Failure> {
        let width = self.tails.iter().map(|tail| tail.key.len()).max().unwrap_or_default();
        for (at, FunctionTail { key, tail }) in self.tails.iter_mut().enumerate() {
            let events = match tail.next(&self.client).await {
                Ok(events) => events,
                Err(error) if logs::is_absent(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let label = cx.output.color(COLORS[at % COLORS.len()], &format!("{key:<width$}"));
            for event in events {
                print_event(cx, &label, &event)?;
            }
        }
        Ok(())
    }
}

/// START and END say nothing that REPORT does not, and REPORT is told in short.
fn print_event(cx: &Context, label: &str, event: &Value) -> Result<(), Failure> {
    let message = text_of(event, "/message");
    let message = message.trim_end();
    if cx.output.json {
        return cx.output.line(&event.to_string());
    }
    if message.starts_with("START RequestId: ") || message.starts_with("END RequestId: ") {
        return Ok(());
    }
    if let Some(report) = message.strip_prefix("REPORT RequestId: ") {
        return cx.output.line(&format!("{label}  {}", cx.output.dim(&in_short(report))));
    }
    for line in cx.output.foreign(message).lines() {
        cx.output.line(&format!("{label}  {line}"))?;
    }
    Ok(())
}

/// `3.21 ms, 38 MB, init 4.10 ms` of a REPORT line's rest.
fn in_short(report: &str) -> String {
    let field = |name: &str| {
        let found = report.split('\t').find_map(|field| field.trim().strip_prefix(name));
        found.map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    let id = report.split('\t').next().unwrap_or_default();
    let parts = [
        field("Duration"),
        field("Max Memory Used"),
        field("Init Duration").map(|init| format!("init {init}")),
        field("Restore Duration").map(|restore| format!("restore {restore}")),
        field("Status").map(|status| format!("status {status}")),
        Some(id.to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_short() {
        let report = "8f5f\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 38 MB\tInit Duration: 4.10 ms\t";
        assert_eq!(in_short(report), "1.50 ms, 38 MB, init 4.10 ms, 8f5f");
    }
}
