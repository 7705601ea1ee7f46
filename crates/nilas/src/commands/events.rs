//! `nilas events`: what waits for functions to run it asynchronously, and to try it now.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{EventsArgs, EventsCommand};
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{table, text_of};

pub(crate) async fn run(cx: &Context, args: &EventsArgs) -> Result<ExitCode, Failure> {
    let client = cx.client()?;
    if let Some(EventsCommand::Retry { request_id }) = &args.command {
        let body = json!({ "FunctionName": args.function, "RequestId": request_id });
        let answer = client.target("nilas", "Nilas.RetryEvents", &body).await?;
        if cx.output.json {
            cx.output.json(&answer)?;
        } else {
            cx.output.note(&format!("{} events are tried now", answer["Retried"]))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let body = json!({ "FunctionName": args.function });
    let answer = client.target("nilas", "Nilas.ListEvents", &body).await?;
    let functions = answer["Functions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if cx.output.json {
        cx.output.json(&answer)?;
    } else if args.function.is_some() {
        let events = functions.iter().filter_map(|function| function["Events"].as_array());
        let rows = events.flatten().map(event_row).collect();
        let header = ["REQUEST ID", "QUALIFIER", "RECEIVED", "NEXT ATTEMPT", "ERRORS", "SETBACKS"];
        cx.output.line(&table(&header, rows))?;
    } else {
        let rows = functions.iter().map(function_row).collect();
        let header = ["FUNCTION", "RUNNING", "DUE", "DELAYED", "OLDEST (S)"];
        cx.output.line(&table(&header, rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn function_row(function: &Value) -> Vec<String> {
    let age_s = function["OldestAgeMilliseconds"].as_u64().unwrap_or_default() / 1_000;
    let columns = ["/FunctionName", "/Running", "/Due", "/Delayed"];
    let mut row: Vec<String> = columns.iter().map(|column| text_of(function, column)).collect();
    row.push(age_s.to_string());
    row
}

fn event_row(event: &Value) -> Vec<String> {
    let next = match event["Running"].as_bool() {
        Some(true) => "running".to_owned(),
        _ => text_of(event, "/NextAttempt"),
    };
    vec![
        text_of(event, "/RequestId"),
        text_of(event, "/Qualifier"),
        text_of(event, "/Received"),
        next,
        text_of(event, "/Errors"),
        text_of(event, "/Setbacks"),
    ]
}
