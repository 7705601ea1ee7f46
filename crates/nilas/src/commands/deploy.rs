//! `nilas deploy`: from the project in the directory to a stack, and the URLs to call.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::DeployArgs;
use crate::client::{Client, ClientError};
use crate::commands::Context;
use crate::failure::Failure;
use crate::project::{self, Made, Project, Stored};
use crate::stack::{self, Deployment, Done, Stack, Storage};

pub(crate) async fn run(cx: &Context, args: &DeployArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let (project, client) = project::load(cx, &args.project).await?;
    warn(cx, &project.warnings)?;
    say(cx, &format!("Deploying {} to {}", project.stack, client.endpoint()))?;
    let storage = storage(cx, &client, &project).await?;
    let done = push(cx, &client, &storage, &project).await?;
    summarize(cx, &client, &project, &done, began).await?;
    // After the answer: it frees space, and nobody waits for it.
    storage.tidy().await?;
    Ok(ExitCode::SUCCESS)
}

/// Where the project's deployments are.
pub(super) async fn storage<'a>(
    cx: &Context,
    client: &'a Client,
    project: &Project,
) -> Result<Storage<'a>, ClientError> {
    Storage::of(client, cx.account(), &project.stack, project.bucket.as_deref()).await
}

/// Stores what is new of the project's packages and makes the stack what the project says.
pub(super) async fn push(
    cx: &Context,
    client: &Client,
    storage: &Storage<'_>,
    project: &Project,
) -> Result<Done, Failure> {
    storage.prepare().await?;
    let mut stored = Vec::with_capacity(project.packages.len());
    for package in &project.packages {
        if storage.put_artifact(&package.sha256, package.zip.clone()).await? {
            let size = human_size(package.zip.len());
            say(
                cx,
                &format!("  {}  {} ({size})", cx.output.green_note("UPLOADED"), package.label),
            )?;
        }
        stored.push(Stored {
            bucket: storage.bucket.clone(),
            key: storage.artifact_key(&package.sha256),
            sha256: package.sha256.clone(),
        });
    }
    let Made { template, warnings } = project.template(&stored, storage.is_of_stack())?;
    warn(cx, &warnings)?;
    let deployment = Deployment {
        stack: &project.stack,
        template: &template,
        parameters: &project.parameters,
        tags: &project.tags,
    };
    stack::deploy(client, &cx.output, storage, &deployment).await
}

async fn summarize(
    cx: &Context,
    client: &Client,
    project: &Project,
    done: &Done,
    began: Instant,
) -> Result<(), Failure> {
    if cx.output.json {
        return cx.output.json(&as_json(project, done.stack()));
    }
    let what = match done {
        Done::Created(_) => "created",
        Done::Updated(_) => "updated",
        Done::Unchanged(_) => "unchanged",
    };
    let took = began.elapsed().as_secs_f64();
    cx.output.note(&format!("Stack {} {what} in {took:.2} s", project.stack))?;
    show(cx, client, project, done.stack()).await
}

/// URLs and functions, as `deploy` and `info` print them.
pub(super) async fn show(
    cx: &Context,
    client: &Client,
    project: &Project,
    stack: &Stack,
) -> Result<(), Failure> {
    let endpoints = project.endpoints(&stack.outputs);
    if !endpoints.is_empty() {
        cx.output.line("endpoints:")?;
    }
    for endpoint in endpoints {
        cx.output.line(&format!("  {endpoint}"))?;
    }
    if !project.functions.is_empty() {
        cx.output.line("functions:")?;
    }
    for function in &project.functions {
        let name = project.function_name(client, &function.key).await?;
        let size = function.package.map(|at| human_size(project.packages[at].zip.len()));
        let size = size.map(|size| format!(" ({size})")).unwrap_or_default();
        cx.output.line(&format!("  {}: {name}{size}", function.key))?;
    }
    let outputs: Vec<_> =
        stack.outputs.iter().filter(|output| !project.is_internal(&output.key)).collect();
    if !outputs.is_empty() {
        cx.output.line("outputs:")?;
    }
    for output in outputs {
        cx.output.line(&format!("  {}: {}", output.key, output.value))?;
    }
    Ok(())
}

/// The same for machines.
pub(super) fn as_json(project: &Project, stack: &Stack) -> Value {
    let outputs: serde_json::Map<String, Value> = stack
        .outputs
        .iter()
        .map(|output| (output.key.clone(), output.value.as_str().into()))
        .collect();
    let functions: Vec<Value> = project
        .functions
        .iter()
        .map(|function| json!({ "key": function.key, "logicalId": function.logical_id, "name": function.name }))
        .collect();
    json!({
        "stack": project.stack,
        "stackId": stack.id,
        "status": stack.status,
        "endpoints": project.endpoints(&stack.outputs),
        "functions": functions,
        "outputs": outputs,
    })
}

/// What the project's file has that nobody reads, and the like.
pub(super) fn warn(cx: &Context, warnings: &[String]) -> Result<(), Failure> {
    let label = cx.output.yellow_note("warning:");
    warnings.iter().try_for_each(|warning| cx.output.note(&format!("{label} {warning}")))
}

/// A line about what goes on, for people only.
pub(super) fn say(cx: &Context, text: &str) -> Result<(), Failure> {
    if cx.output.json { Ok(()) } else { cx.output.note(text) }
}

pub(super) fn human_size(bytes: usize) -> String {
    let kib = bytes as f64 / 1024.0;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{kib:.1} KiB"),
        _ => format!("{:.1} MiB", kib / 1024.0),
    }
}
