//! DescribeStacks, DescribeStackEvents, DescribeStackResource, DescribeStackResources, DescribeAccountLimits.

use nilas_model::limits::STACKS_MAX;
use nilas_wire::time::iso8601_millis;
use nilas_wire::xml::Xml;
use nilas_wire::{ApiResponse, Fault};

use super::Cx;
use super::list::{page, token};
use crate::cloudformation::fault;
use crate::cloudformation::stack::{Deployment, Stack, StackResource, State};

/// Events of one page.
const EVENTS: usize = 100;

pub(super) fn stacks(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let stacks = match cx.form.get("StackName").filter(|name| !name.is_empty()) {
        Some(name) => vec![cx.found(name)?.state()],
        None => {
            let mut all = cx.stacks();
            all.retain(|state| state.stack.deleted_ms.is_none());
            all
        }
    };
    let (stacks, next) = page(stacks, cx)?;
    Ok(cx.answer(|xml| {
        xml.members("Stacks", stacks, |xml, state| write_stack(xml, &state.stack));
        token(xml, next);
    }))
}

/// What is deployed, or being deployed for the first time.
fn deployment(stack: &Stack) -> Option<&Deployment> {
    let target = stack.operation.as_ref().and_then(|operation| operation.target.as_ref());
    stack.deployment.as_ref().or(target)
}

pub(super) fn description(stack: &Stack) -> Option<String> {
    deployment(stack)?.description.clone()
}

fn write_stack(xml: &mut Xml, stack: &Stack) {
    xml.text("StackId", &stack.id);
    xml.text("StackName", &stack.name);
    xml.optional("ChangeSetId", stack.change_set_id.as_deref());
    xml.optional("Description", description(stack).as_deref());
    if let Some(deployment) = deployment(stack) {
        write_parameters(xml, deployment);
    }
    xml.text("CreationTime", &iso8601_millis(stack.created_ms));
    xml.optional("DeletionTime", stack.deleted_ms.map(iso8601_millis).as_deref());
    xml.optional("LastUpdatedTime", stack.updated_ms.map(iso8601_millis).as_deref());
    xml.element("RollbackConfiguration", |_| {});
    xml.text("StackStatus", stack.status.as_str());
    xml.optional("StackStatusReason", stack.status_reason.as_deref());
    let settings = &stack.settings;
    xml.text("DisableRollback", if settings.disable_rollback { "true" } else { "false" });
    write_texts(xml, "NotificationARNs", &settings.notification_arns);
    let minutes = settings.timeout_minutes.map(|minutes| minutes.to_string());
    xml.optional("TimeoutInMinutes", minutes.as_deref());
    write_texts(xml, "Capabilities", &settings.capabilities);
    xml.members("Outputs", &stack.outputs, |xml, output| {
        xml.text("OutputKey", &output.key);
        xml.text("OutputValue", &output.value);
        xml.optional("Description", output.description.as_deref());
        xml.optional("ExportName", output.export.as_deref());
    });
    xml.optional("RoleARN", settings.role_arn.as_deref());
    write_tags(xml, deployment(stack).map_or(&[], |deployment| &deployment.tags));
    let protected = if stack.termination_protection { "true" } else { "false" };
    xml.text("EnableTerminationProtection", protected);
    xml.optional("ParentId", stack.parent_id.as_deref());
    xml.optional("RootId", stack.root_id.as_deref());
    xml.element("DriftInformation", |xml| xml.text("StackDriftStatus", "NOT_CHECKED"));
}

pub(super) fn write_texts(xml: &mut Xml, name: &str, texts: &[String]) {
    xml.open(name);
    texts.iter().for_each(|text| xml.text("member", text));
    xml.close(name);
}

pub(super) fn write_tags(xml: &mut Xml, tags: &[(String, String)]) {
    xml.members("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

pub(super) fn write_parameters(xml: &mut Xml, deployment: &Deployment) {
    xml.members("Parameters", &deployment.parameters, |xml, (key, value)| {
        xml.text("ParameterKey", key);
        let hidden = deployment.no_echo.contains(key);
        xml.text("ParameterValue", if hidden { "****" } else { value });
        xml.optional("ResolvedValue", deployment.from_ssm.get(key).map(String::as_str));
    });
}

pub(super) async fn events(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let state = cell.state();
    let after = cx.form.get("NextToken").filter(|token| !token.is_empty());
    let found = cx.service.stacks.events(&state.stack.uuid, after, EVENTS).await;
    let found = found.map_err(fault::of_store)?;
    let next = (found.len() == EVENTS).then(|| found.last().map(|(key, _)| key.clone())).flatten();
    Ok(cx.answer(|xml| {
        xml.members("StackEvents", found, |xml, (_, event)| {
            xml.text("StackId", &state.stack.id);
            xml.text("EventId", &event.id);
            xml.text("StackName", &state.stack.name);
            xml.text("LogicalResourceId", &event.logical_id);
            xml.text("PhysicalResourceId", event.physical_id.as_deref().unwrap_or_default());
            xml.text("ResourceType", &event.kind);
            xml.text("Timestamp", &iso8601_millis(event.time_ms));
            xml.text("ResourceStatus", &event.status);
            xml.optional("ResourceStatusReason", event.reason.as_deref());
            xml.optional("ResourceProperties", event.properties.as_deref());
            xml.optional("ClientRequestToken", event.request_token.as_deref());
        });
        xml.optional("NextToken", next.as_deref());
    }))
}

pub(super) fn resource(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let id = cx.required("LogicalResourceId")?;
    let not_there = || fault::validation(format!("Stack '{name}' does not exist"));
    let state = cx.find(name).ok_or_else(not_there)?.state();
    let resource = state.resources.get(id).ok_or_else(|| {
        fault::validation(format!("Resource {id} does not exist for stack {name}"))
    })?;
    Ok(cx.answer(|xml| {
        xml.element("StackResourceDetail", |xml| {
            write_resource(xml, &state, resource, "LastUpdatedTimestamp");
            let metadata = resource.version.metadata.as_ref().map(ToString::to_string);
            xml.text("Metadata", metadata.as_deref().unwrap_or("{}"));
        });
    }))
}

pub(super) fn resources(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let wanted = cx.form.get("LogicalResourceId").filter(|id| !id.is_empty());
    let physical = cx.form.get("PhysicalResourceId").filter(|id| !id.is_empty());
    let state = match (cx.form.get("StackName").filter(|name| !name.is_empty()), physical) {
        (Some(name), _) => cx.found(name)?.state(),
        (None, Some(physical)) => {
            let mut stacks = cx.stacks().into_iter();
            let owner = stacks.find(|state| {
                state.stack.deleted_ms.is_none()
                    && state.resources.values().any(|it| it.physical_id() == Some(physical))
            });
            owner
                .ok_or_else(|| fault::validation(format!("Stack for {physical} does not exist")))?
        }
        (None, None) => {
            return Err(fault::validation(
                "Either StackName or PhysicalResourceId must be specified.",
            ));
        }
    };
    let found: Vec<_> = state
        .resources
        .values()
        .filter(|resource| wanted.is_none_or(|id| resource.id == id))
        .take(EVENTS)
        .collect();
    if let (Some(id), true) = (wanted, found.is_empty()) {
        let name = &state.stack.name;
        return Err(fault::validation(format!("Resource {id} does not exist for stack {name}")));
    }
    Ok(cx.answer(|xml| {
        xml.members("StackResources", found, |xml, resource| {
            write_resource(xml, &state, resource, "Timestamp");
        });
    }))
}

fn write_resource(xml: &mut Xml, state: &State, resource: &StackResource, time: &str) {
    xml.text("StackName", &state.stack.name);
    xml.text("StackId", &state.stack.id);
    xml.text("LogicalResourceId", &resource.id);
    xml.optional("PhysicalResourceId", resource.physical_id());
    xml.text("ResourceType", &resource.version.kind);
    xml.text(time, &iso8601_millis(resource.updated_ms));
    xml.text("ResourceStatus", resource.status.as_str());
    xml.optional("ResourceStatusReason", resource.status_reason.as_deref());
    not_drifted(xml);
}

pub(super) fn not_drifted(xml: &mut Xml) {
    xml.element("DriftInformation", |xml| xml.text("StackResourceDriftStatus", "NOT_CHECKED"));
}

pub(super) fn account_limits(cx: &Cx<'_>) -> ApiResponse {
    let limits = [("StackLimit", STACKS_MAX), ("StackOutputsLimit", 200)];
    cx.answer(|xml| {
        xml.members("AccountLimits", limits, |xml, (name, value)| {
            xml.text("Name", name);
            xml.text("Value", &value.to_string());
        });
    })
}
