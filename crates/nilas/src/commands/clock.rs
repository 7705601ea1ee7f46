//! `nilas clock`: shows the server's clock, and moves it where it may be moved.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{ClockArgs, ClockCommand};
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::text_of;

pub(crate) async fn run(cx: &Context, args: &ClockArgs) -> Result<ExitCode, Failure> {
    let client = cx.client()?;
    let clock = match &args.command {
        None => client.target("nilas", "Nilas.GetClock", &json!({})).await?,
        Some(ClockCommand::Advance { by }) => {
            let body = json!({ "Milliseconds": by });
            client.target("nilas", "Nilas.AdvanceClock", &body).await?
        }
    };
    if cx.output.json {
        cx.output.json(&clock)?;
    } else {
        cx.output.line(&as_text(&clock))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(clock: &Value) -> String {
    let now = text_of(clock, "/Now");
    match clock["AheadMilliseconds"].as_u64() {
        Some(0) | None => now,
        Some(ahead_ms) => {
            let (seconds, rest_ms) = (ahead_ms / 1_000, ahead_ms % 1_000);
            format!("{now}, {seconds}.{rest_ms:03} s ahead of the machine's")
        }
    }
}
