//! From packages and a template to a stack that is what they say.

use std::time::Duration;

use serde_json::Value;

use super::{Progress, Stack, Storage};
use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::output::Output;

/// Largest template that is sent inside the request, bytes; AWS's limit.
const TEMPLATE_BODY_BYTES_MAX: usize = 51_200;
const POLL: Duration = Duration::from_millis(100);

/// What is to be deployed.
#[derive(Debug)]
pub(crate) struct Deployment<'a> {
    pub(crate) stack: &'a str,
    pub(crate) template: &'a Value,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) tags: &'a [(String, String)],
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Done {
    Created(Stack),
    Updated(Stack),
    /// There was nothing to change.
    Unchanged(Stack),
}

#[derive(Debug, thiserror::Error)]
enum DeployError {
    #[error("the stack {stack} is {status}")]
    Failed { stack: String, status: String },
    #[error("the stack {stack} is busy: {status}")]
    Busy { stack: String, status: String },
    #[error("there is no stack {stack}")]
    Absent { stack: String },
}

impl Done {
    pub(crate) fn stack(&self) -> &Stack {
        match self {
            Self::Created(stack) | Self::Updated(stack) | Self::Unchanged(stack) => stack,
        }
    }
}

/// Creates or updates the stack and waits for the end, showing events meanwhile.
pub(crate) async fn deploy(
    client: &Client,
    output: &Output,
    storage: &Storage<'_>,
    deployment: &Deployment<'_>,
) -> Result<Done, Failure> {
    let url = storage.put_template(deployment.template).await?;
    let text = deployment.template.to_string();
    let source = if text.len() <= TEMPLATE_BODY_BYTES_MAX {
        ("TemplateBody", text.as_str())
    } else {
        ("TemplateURL", url.as_str())
    };
    apply(client, output, deployment.stack, source, deployment).await
}

/// Makes the stack what a stored template says.
pub(crate) async fn update_from(
    client: &Client,
    output: &Output,
    stack: &str,
    url: &str,
) -> Result<Done, Failure> {
    let deployment = Deployment { stack, template: &Value::Null, parameters: &[], tags: &[] };
    apply(client, output, stack, ("TemplateURL", url), &deployment).await
}

async fn apply(
    client: &Client,
    output: &Output,
    name: &str,
    source: (&str, &str),
    deployment: &Deployment<'_>,
) -> Result<Done, Failure> {
    let mut existing = Stack::find(client, name).await?;
    if let Some(stack) = existing.take_if(|stack| is_leftover(&stack.status)) {
        output.note(&format!("removing what is left of a failed creation ({})", stack.status))?;
        delete(client, output, name).await?;
    }
    let action = if existing.is_some() { "UpdateStack" } else { "CreateStack" };
    let members = members(name, source, deployment);
    let members: Vec<(&str, &str)> =
        members.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut progress = Progress::begin(client, output, existing.as_ref().map(|_| name)).await?;
    let asked = client.query("cloudformation", action, &members);
    let answer = progress.during(client, name, asked).await?;
    match answer {
        Err(ClientError::Refused { message, .. })
            if message.contains("No updates are to be performed") =>
        {
            return Ok(Done::Unchanged(existing.unwrap_or_default()));
        }
        answer => answer?,
    };
    let stack = settled(client, name, &mut progress).await?;
    match stack {
        Some(stack) if stack.is_well() => Ok(match existing {
            Some(_) => Done::Updated(stack),
            None => Done::Created(stack),
        }),
        Some(stack) => Err(failed(name, &stack, &progress)),
        None => Err(Failure::new(DeployError::Absent { stack: name.to_owned() })),
    }
}

/// Deletes a stack and waits for the end; answers whether there was one.
pub(crate) async fn remove(client: &Client, output: &Output, name: &str) -> Result<bool, Failure> {
    if Stack::find(client, name).await?.is_none() {
        return Ok(false);
    }
    delete(client, output, name).await?;
    Ok(true)
}

async fn delete(client: &Client, output: &Output, name: &str) -> Result<(), Failure> {
    let mut progress = Progress::begin(client, output, Some(name)).await?;
    let members = [("StackName", name)];
    let asked = client.query("cloudformation", "DeleteStack", &members);
    progress.during(client, name, asked).await??;
    match settled(client, name, &mut progress).await? {
        None => Ok(()),
        Some(stack) if stack.status == "DELETE_COMPLETE" => Ok(()),
        Some(stack) => Err(failed(name, &stack, &progress)),
    }
}

/// Waits until nothing happens to the stack any more; None if it is gone.
async fn settled(
    client: &Client,
    name: &str,
    progress: &mut Progress<'_>,
) -> Result<Option<Stack>, Failure> {
    loop {
        let stack = Stack::find(client, name).await?;
        progress.look(client, name).await?;
        match stack {
            Some(stack) if !stack.is_settled() => tokio::time::sleep(POLL).await,
            stack => return Ok(stack),
        }
    }
}

fn failed(name: &str, stack: &Stack, progress: &Progress<'_>) -> Failure {
    let (name, status) = (name.to_owned(), stack.status.clone());
    if !stack.is_settled() {
        return Failure::new(DeployError::Busy { stack: name, status });
    }
    let mut failure = Failure::new(DeployError::Failed { stack: name, status });
    for event in &progress.failures {
        failure = failure.detail(format!("  {}: {}", event.logical_id, event.reason));
    }
    if progress.failures.is_empty() && !stack.reason.is_empty() {
        failure = failure.detail(format!("  {}", stack.reason));
    }
    failure
}

/// Such a stack cannot be updated: only deleted.
fn is_leftover(status: &str) -> bool {
    matches!(
        status,
        "ROLLBACK_COMPLETE"
            | "ROLLBACK_FAILED"
            | "REVIEW_IN_PROGRESS"
            | "CREATE_FAILED"
            | "DELETE_FAILED"
    )
}

fn members(
    stack: &str,
    source: (&str, &str),
    deployment: &Deployment<'_>,
) -> Vec<(String, String)> {
    let mut members = vec![
        ("StackName".to_owned(), stack.to_owned()),
        (source.0.to_owned(), source.1.to_owned()),
    ];
    let capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];
    for (at, capability) in capabilities.into_iter().enumerate() {
        members.push((format!("Capabilities.member.{}", at + 1), capability.to_owned()));
    }
    for (at, (key, value)) in deployment.parameters.iter().enumerate() {
        let at = format!("Parameters.member.{}", at + 1);
        members.push((format!("{at}.ParameterKey"), key.clone()));
        members.push((format!("{at}.ParameterValue"), value.clone()));
    }
    for (at, (key, value)) in deployment.tags.iter().enumerate() {
        let at = format!("Tags.member.{}", at + 1);
        members.push((format!("{at}.Key"), key.clone()));
        members.push((format!("{at}.Value"), value.clone()));
    }
    members
}
