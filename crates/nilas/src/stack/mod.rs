//! Stacks as the command line works with them: what they are, what happens to them, and deploying to one.

mod deploy;
mod events;
mod storage;

use nilas_wire::xml::Element;

use crate::client::{Client, ClientError};

pub(crate) use deploy::{Deployment, Done, deploy, remove, update_from};
use events::Progress;
pub(crate) use storage::{Storage, StoredDeployment};

/// What DescribeStacks says of one stack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stack {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) outputs: Vec<StackOutput>,
}

#[derive(Debug, Clone)]
pub(crate) struct StackOutput {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// One row of ListStackResources.
#[derive(Debug, Clone)]
pub(crate) struct StackResource {
    pub(crate) logical_id: String,
    pub(crate) physical_id: String,
}

impl Stack {
    /// None if there is no stack of this name.
    pub(crate) async fn find(client: &Client, name: &str) -> Result<Option<Self>, ClientError> {
        let asked = client.query("cloudformation", "DescribeStacks", &[("StackName", name)]).await;
        match asked {
            Ok(result) => Ok(result.find(&["Stacks", "member"]).map(Self::read)),
            Err(ClientError::Refused { code, message })
                if code == "ValidationError" && message.contains("does not exist") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn read(element: &Element) -> Self {
        let outputs = element.find(&["Outputs"]).map(|list| list.children.as_slice());
        let output = |member: &Element| StackOutput {
            key: text(member, "OutputKey"),
            value: text(member, "OutputValue"),
        };
        Self {
            id: text(element, "StackId"),
            status: text(element, "StackStatus"),
            reason: text(element, "StackStatusReason"),
            outputs: outputs.unwrap_or_default().iter().map(output).collect(),
        }
    }

    /// Whether nothing is happening to it any more.
    pub(crate) fn is_settled(&self) -> bool {
        !self.status.ends_with("_IN_PROGRESS") || self.status == "REVIEW_IN_PROGRESS"
    }

    /// Whether the last operation did what it was asked for.
    pub(crate) fn is_well(&self) -> bool {
        matches!(
            self.status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        )
    }
}

/// All resources of a stack.
pub(crate) async fn resources(
    client: &Client,
    stack: &str,
) -> Result<Vec<StackResource>, ClientError> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut members = vec![("StackName", stack)];
        members.extend(token.as_deref().map(|token| ("NextToken", token)));
        let result = client.query("cloudformation", "ListStackResources", &members).await?;
        let list = result.find(&["StackResourceSummaries"]).map(|list| list.children.as_slice());
        found.extend(list.unwrap_or_default().iter().map(|member| StackResource {
            logical_id: text(member, "LogicalResourceId"),
            physical_id: text(member, "PhysicalResourceId"),
        }));
        token = result.text_at(&["NextToken"]).map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}

fn text(element: &Element, name: &str) -> String {
    element.text_at(&[name]).unwrap_or_default().to_owned()
}
