//! DeleteStack, UpdateTerminationProtection.

use std::collections::BTreeSet;
use std::sync::Arc;

use nilas_wire::{ApiResponse, Fault};
use uuid::Uuid;

use super::Cx;
use crate::cloudformation::fault;
use crate::cloudformation::stack::{
    Batch, Cell, OnFailure, Operation, OperationKind, Phase, StackStatus, State,
};

pub(super) async fn delete(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    // One that is not there is deleted.
    let Some(cell) = cx.find(name) else { return Ok(cx.answer_empty()) };
    if cell.state().stack.deleted_ms.is_some() {
        return Ok(cx.answer_empty());
    }
    if cell.state().stack.status == StackStatus::CreateInProgress {
        // What is under way is rolled back first.
        cell.cancel.send_replace(true);
        cell.settled().await;
    }
    let admission = cx.service.admission.lock().await;
    let began = begin(cx, &cell).await?;
    drop(admission);
    if began {
        cx.service.run(&cell).await;
    }
    Ok(cx.answer_empty())
}

/// Writes down that the stack is to be deleted. Answers whether anything is left to do.
async fn begin(cx: &Cx<'_>, cell: &Arc<Cell>) -> Result<bool, Fault> {
    let mut state = State::clone(&cell.state());
    let stack = &mut state.stack;
    if stack.termination_protection {
        return Err(fault::validation(format!(
            "Stack [{}] cannot be deleted while TerminationProtection is enabled",
            stack.name
        )));
    }
    if stack.status == StackStatus::DeleteInProgress || stack.deleted_ms.is_some() {
        return Ok(false);
    }
    if stack.operation.is_some() {
        return Err(fault::validation(format!(
            "Stack [{}] cannot be deleted while in status {}",
            stack.id,
            stack.status.as_str()
        )));
    }
    let spared: BTreeSet<String> =
        cx.form.strings("RetainResources").into_iter().map(str::to_owned).collect();
    if !spared.is_empty() && stack.status != StackStatus::DeleteFailed {
        return Err(fault::validation(
            "Invalid operation on stack. Specify RetainResources only when the stack is in the DELETE_FAILED state.",
        ));
    }
    let token = cx.form.get("ClientRequestToken").map(str::to_owned);
    stack.operation = Some(Operation {
        id: Uuid::new_v4().to_string(),
        kind: OperationKind::Delete,
        phase: Phase::Delete,
        target: None,
        on_failure: OnFailure::DoNothing,
        caller: cx.caller(),
        request_token: token,
        spared,
        began_ms: cx.now_ms(),
        change_set: None,
    });
    let mut batch = Batch::default();
    for set in cell.change_sets() {
        batch.drop_change_set(stack, &set);
        cell.drop_change_set(&set.uuid);
    }
    super::announce(cx, &mut batch, stack, StackStatus::DeleteInProgress, "User Initiated");
    batch.stack(stack);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    cell.publish(state);
    Ok(true)
}

pub(super) async fn protect(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let enabled = cx.required("EnableTerminationProtection")? == "true";
    let cell = cx.found(name)?;
    super::change_stack(cx, &cell, |stack| stack.termination_protection = enabled).await?;
    let state = cell.state();
    Ok(cx.answer(|xml| xml.text("StackId", &state.stack.id)))
}
