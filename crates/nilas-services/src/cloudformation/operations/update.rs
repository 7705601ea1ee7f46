//! UpdateStack, CancelUpdateStack, ContinueUpdateRollback, RollbackStack.

use std::collections::BTreeSet;
use std::sync::Arc;

use nilas_wire::{ApiResponse, Fault};
use uuid::Uuid;

use super::Cx;
use super::input::{Before, OutputSources, Prepared, prepare};
use crate::cloudformation::fault;
use crate::cloudformation::plan;
use crate::cloudformation::stack::{
    Batch, Cell, OnFailure, Operation, OperationKind, Phase, StackStatus, State,
};
use crate::cloudformation::template::Template;

pub(super) const NO_UPDATES: &str = "No updates are to be performed.";

pub(super) async fn update(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let state = cell.state();
    let token = cx.form.get("ClientRequestToken");
    if token.is_some() && state.stack.request_token.as_deref() == token {
        return Ok(answer(cx, &cell));
    }
    refuse_unless_updatable(&state)?;
    let before = before(cx, &state).await?;
    let outputs_before = OutputSources::of(&before);
    let prepared = prepare(cx, &state.stack, before).await?;
    refuse_other_types(&prepared.target.template, &state)?;
    let exports = cx.service.exports(&state.stack);
    let changes = plan::changes(&prepared.target, &state, &exports);
    let same = changes.is_empty() && outputs_before.are_those_of(&prepared);
    if same && state.stack.status.as_str().ends_with("_COMPLETE") {
        return Err(fault::validation(NO_UPDATES));
    }
    let on_failure = match prepared.settings.disable_rollback {
        true => OnFailure::DoNothing,
        false => OnFailure::Rollback,
    };
    begin(cx, &cell, prepared, on_failure).await?;
    cx.service.run(&cell).await;
    Ok(answer(cx, &cell))
}

fn answer(cx: &Cx<'_>, cell: &Cell) -> ApiResponse {
    let state = cell.state();
    cx.answer(|xml| xml.text("StackId", &state.stack.id))
}

/// What the stack has, for a request to build on.
pub(super) async fn before(cx: &Cx<'_>, state: &State) -> Result<Before, Fault> {
    let Some(deployment) = state.stack.deployment.clone() else {
        return Ok(Before { settings: state.stack.settings.clone(), ..Before::default() });
    };
    let texts = cx.service.stacks.template(&state.stack.uuid, deployment.template).await;
    let texts = texts.map_err(fault::of_store)?;
    Ok(Before { texts, deployment, settings: state.stack.settings.clone() })
}

pub(super) fn refuse_unless_updatable(state: &State) -> Result<(), Fault> {
    let stack = &state.stack;
    if stack.status.takes_updates() && stack.operation.is_none() {
        return Ok(());
    }
    Err(fault::validation(format!(
        "Stack:{} is in {} state and can not be updated.",
        stack.id,
        stack.status.as_str()
    )))
}

/// A resource's type stays.
pub(super) fn refuse_other_types(template: &Template, state: &State) -> Result<(), Fault> {
    let changed: Vec<&str> = template
        .resources
        .iter()
        .filter(|declared| {
            let existing = state.resources.get(&declared.id);
            existing.is_some_and(|existing| existing.version.kind != declared.kind)
        })
        .map(|declared| declared.id.as_str())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(fault::validation(format!(
        "Update of resource type is not permitted. The new template modifies resource type of the following resources: [{}]",
        changed.join(", ")
    )))
}

async fn begin(
    cx: &Cx<'_>,
    cell: &Arc<Cell>,
    prepared: Prepared,
    on_failure: OnFailure,
) -> Result<(), Fault> {
    let admission = cx.service.admission.lock().await;
    let mut state = State::clone(&cell.state());
    refuse_unless_updatable(&state)?;
    let Prepared { texts, mut deployment, settings, .. } = prepared;
    let mut batch = Batch::default();
    deployment.template = batch.template(&mut state.stack, &texts);
    let stack = &mut state.stack;
    stack.settings = settings;
    stack.updated_ms = Some(cx.now_ms());
    let token = cx.form.get("ClientRequestToken").map(str::to_owned);
    stack.request_token.clone_from(&token);
    stack.operation = Some(Operation {
        id: Uuid::new_v4().to_string(),
        kind: OperationKind::Update,
        phase: Phase::Forward,
        target: Some(deployment),
        on_failure,
        caller: cx.caller(),
        request_token: token,
        spared: BTreeSet::new(),
        began_ms: cx.now_ms(),
        change_set: None,
    });
    super::announce(cx, &mut batch, stack, StackStatus::UpdateInProgress, "User Initiated");
    batch.stack(stack);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    cell.publish(state);
    drop(admission);
    Ok(())
}

pub(super) fn cancel(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let state = cell.state();
    if state.stack.status != StackStatus::UpdateInProgress {
        return Err(fault::validation(format!(
            "CancelUpdateStack cannot be called from current stack status: {}",
            state.stack.status.as_str()
        )));
    }
    cell.cancel.send_replace(true);
    Ok(cx.answer_empty())
}

pub(super) async fn continue_rollback(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let spared: BTreeSet<String> =
        cx.form.strings("ResourcesToSkip").into_iter().map(str::to_owned).collect();
    let state = cell.state();
    let unfit = spared.iter().find(|id| {
        let resource = state.resources.get(*id);
        resource.is_none_or(|it| it.status.as_str() != "UPDATE_FAILED")
    });
    if let Some(unfit) = unfit {
        return Err(fault::validation(format!(
            "Resources [{unfit}] cannot be skipped: they are not in the UPDATE_FAILED state."
        )));
    }
    go_back(cx, &cell, &[StackStatus::UpdateRollbackFailed], spared).await?;
    Ok(cx.answer(|_| {}))
}

/// RollbackStack: back from a deployment that failed with rolling back disabled.
pub(super) async fn rollback(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let from = [StackStatus::UpdateFailed, StackStatus::CreateFailed];
    go_back(cx, &cell, &from, BTreeSet::new()).await?;
    Ok(answer(cx, &cell))
}

async fn go_back(
    cx: &Cx<'_>,
    cell: &Arc<Cell>,
    from: &[StackStatus],
    spared: BTreeSet<String>,
) -> Result<(), Fault> {
    let admission = cx.service.admission.lock().await;
    let mut state = State::clone(&cell.state());
    let stack = &mut state.stack;
    if !from.contains(&stack.status) {
        return Err(fault::validation(format!(
            "Stack:{} is in {} state and can not be rolled back.",
            stack.id,
            stack.status.as_str()
        )));
    }
    let creates = stack.status == StackStatus::CreateFailed;
    stack.operation = Some(Operation {
        id: Uuid::new_v4().to_string(),
        kind: if creates { OperationKind::Create } else { OperationKind::Update },
        phase: if creates { Phase::Delete } else { Phase::Rollback },
        target: None,
        on_failure: OnFailure::Rollback,
        caller: cx.caller(),
        request_token: cx.form.get("ClientRequestToken").map(str::to_owned),
        spared,
        began_ms: cx.now_ms(),
        change_set: None,
    });
    let status = match creates {
        true => StackStatus::RollbackInProgress,
        false => StackStatus::UpdateRollbackInProgress,
    };
    let mut batch = Batch::default();
    super::announce(cx, &mut batch, stack, status, "User Initiated");
    batch.stack(stack);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    cell.publish(state);
    drop(admission);
    cx.service.run(cell).await;
    Ok(())
}
