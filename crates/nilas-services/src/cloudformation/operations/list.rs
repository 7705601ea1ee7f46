//! ListStacks, ListStackResources, and the pages of all lists.

use nilas_wire::time::iso8601_millis;
use nilas_wire::xml::Xml;
use nilas_wire::{ApiResponse, Fault};

use super::Cx;
use crate::cloudformation::fault;

/// Entries of one page.
const PAGE: usize = 100;

/// The page that `NextToken` asks for, and the token of the one after it.
pub(super) fn page<T>(items: Vec<T>, cx: &Cx<'_>) -> Result<(Vec<T>, Option<usize>), Fault> {
    let from = match cx.form.get("NextToken").filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => {
            token.parse::<usize>().map_err(|_| fault::validation("The NextToken is not valid."))?
        }
    };
    let total = items.len();
    let page: Vec<T> = items.into_iter().skip(from).take(PAGE).collect();
    let next = from.saturating_add(page.len());
    Ok((page, (next < total).then_some(next)))
}

pub(super) fn token(xml: &mut Xml, next: Option<usize>) {
    xml.optional("NextToken", next.map(|next| next.to_string()).as_deref());
}

pub(super) fn stacks(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let wanted = cx.form.strings("StackStatusFilter");
    let mut stacks = cx.stacks();
    stacks.retain(|state| wanted.is_empty() || wanted.contains(&state.stack.status.as_str()));
    let (stacks, next) = page(stacks, cx)?;
    Ok(cx.answer(|xml| {
        xml.members("StackSummaries", stacks, |xml, state| {
            let stack = &state.stack;
            xml.text("StackId", &stack.id);
            xml.text("StackName", &stack.name);
            let description = super::describe::description(stack);
            xml.optional("TemplateDescription", description.as_deref());
            xml.text("CreationTime", &iso8601_millis(stack.created_ms));
            xml.optional("LastUpdatedTime", stack.updated_ms.map(iso8601_millis).as_deref());
            xml.optional("DeletionTime", stack.deleted_ms.map(iso8601_millis).as_deref());
            xml.text("StackStatus", stack.status.as_str());
            xml.optional("StackStatusReason", stack.status_reason.as_deref());
            xml.optional("ParentId", stack.parent_id.as_deref());
            xml.optional("RootId", stack.root_id.as_deref());
            xml.element("DriftInformation", |xml| xml.text("StackDriftStatus", "NOT_CHECKED"));
        });
        token(xml, next);
    }))
}

pub(super) fn resources(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let cell = cx.found(cx.required("StackName")?)?;
    let state = cell.state();
    let (resources, next) = page(state.resources.values().cloned().collect(), cx)?;
    Ok(cx.answer(|xml| {
        xml.members("StackResourceSummaries", resources, |xml, resource| {
            xml.text("LogicalResourceId", &resource.id);
            xml.optional("PhysicalResourceId", resource.physical_id());
            xml.text("ResourceType", &resource.version.kind);
            xml.text("LastUpdatedTimestamp", &iso8601_millis(resource.updated_ms));
            xml.text("ResourceStatus", resource.status.as_str());
            xml.optional("ResourceStatusReason", resource.status_reason.as_deref());
            super::describe::not_drifted(xml);
        });
        token(xml, next);
    }))
}
