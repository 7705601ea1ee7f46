//! `nilas rollback`: back to an earlier deployment, or the list of those there are.

use std::process::ExitCode;

use nilas_wire::time;
use serde_json::{Value, json};

use super::deploy::{say, storage};
use crate::cli::RollbackArgs;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::table;
use crate::project;
use crate::stack::{self, Done, StoredDeployment};

#[derive(Debug, thiserror::Error)]
enum RollbackError {
    #[error("no deployment of {stack} is kept")]
    None { stack: String },
    #[error("there is no deployment {timestamp} of {stack}")]
    Unknown { stack: String, timestamp: u64 },
}

pub(crate) async fn run(cx: &Context, args: &RollbackArgs) -> Result<ExitCode, Failure> {
    let (project, client) = project::load(cx, &args.project).await?;
    let storage = storage(cx, &client, &project).await?;
    let deployments = storage.deployments().await?;
    if deployments.is_empty() {
        return Err(Failure::new(RollbackError::None { stack: project.stack }));
    }
    let Some(timestamp) = args.timestamp else {
        list(cx, &deployments)?;
        return Ok(ExitCode::SUCCESS);
    };
    let found = deployments.iter().find(|deployment| deployment.at_ms == timestamp);
    let Some(deployment) = found else {
        let failure = Failure::new(RollbackError::Unknown { stack: project.stack, timestamp });
        return Err(failure.hint("`nilas rollback` without a time stamp lists them"));
    };
    let url = storage.url(deployment);
    let done = stack::update_from(&client, &cx.output, &project.stack, &url).await?;
    let what = match done {
        Done::Unchanged(_) => "is at",
        Done::Created(_) | Done::Updated(_) => "rolled back to",
    };
    say(cx, &format!("Stack {} {what} {}", project.stack, time::iso8601_millis(timestamp)))?;
    Ok(ExitCode::SUCCESS)
}

fn list(cx: &Context, deployments: &[StoredDeployment]) -> Result<(), Failure> {
    if cx.output.json {
        let rows: Vec<Value> =
            deployments.iter().map(|deployment| json!({ "timestamp": deployment.at_ms })).collect();
        return cx.output.json(&rows.into());
    }
    let rows = deployments.iter().map(|deployment| {
        vec![deployment.at_ms.to_string(), time::iso8601_millis(deployment.at_ms)]
    });
    cx.output.line(&table(&["TIMESTAMP", "DEPLOYED"], rows.collect()))
}
