//! `nilas info`: what is deployed of the project.

use std::process::ExitCode;

use super::deploy;
use crate::cli::StackArgs;
use crate::commands::Context;
use crate::failure::Failure;
use crate::project;
use crate::stack::Stack;

#[derive(Debug, thiserror::Error)]
#[error("{stack} is not deployed")]
pub(super) struct NotDeployed {
    pub(super) stack: String,
}

pub(crate) async fn run(cx: &Context, args: &StackArgs) -> Result<ExitCode, Failure> {
    let (project, client) = project::load(cx, &args.project).await?;
    let Some(stack) = Stack::find(&client, &project.stack).await? else {
        let failure = Failure::new(NotDeployed { stack: project.stack });
        return Err(failure.hint("`nilas deploy` deploys it"));
    };
    if cx.output.json {
        cx.output.json(&deploy::as_json(&project, &stack))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.output.line(&format!("stack: {}", project.stack))?;
    cx.output.line(&format!("region: {}", client.region()))?;
    cx.output.line(&format!("status: {}", stack.status))?;
    deploy::show(cx, &client, &project, &stack).await?;
    Ok(ExitCode::SUCCESS)
}
