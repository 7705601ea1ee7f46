//! `nilas remove`: deletes the project's stack and everything stored for it.

use std::process::ExitCode;

use super::deploy::{say, storage};
use super::info::NotDeployed;
use crate::cli::StackArgs;
use crate::commands::Context;
use crate::failure::Failure;
use crate::project;
use crate::stack;

pub(crate) async fn run(cx: &Context, args: &StackArgs) -> Result<ExitCode, Failure> {
    let (project, client) = project::load(cx, &args.project).await?;
    say(cx, &format!("Removing {} from {}", project.stack, client.endpoint()))?;
    let storage = storage(cx, &client, &project).await?;
    if storage.is_of_stack() {
        // A bucket with objects is not deleted.
        storage.clear().await?;
    }
    if !stack::remove(&client, &cx.output, &project.stack).await? {
        return Err(Failure::new(NotDeployed { stack: project.stack }));
    }
    if !storage.is_of_stack() {
        storage.clear().await?;
    }
    say(cx, &format!("Stack {} removed", project.stack))?;
    Ok(ExitCode::SUCCESS)
}
