//! CreateChangeSet, DescribeChangeSet, ExecuteChangeSet, DeleteChangeSet, ListChangeSets.

use std::collections::BTreeSet;
use std::sync::Arc;

use nilas_wire::time::iso8601_millis;
use nilas_wire::xml::Xml;
use nilas_wire::{ApiResponse, Fault};
use uuid::Uuid;

use super::Cx;
use super::create::{check_room, checked_name, new_stack};
use super::describe::{write_parameters, write_tags, write_texts};
use super::input::{OutputSources, Prepared, draft};
use super::list::{page, token};
use super::update::{before, refuse_other_types, refuse_unless_updatable};
use crate::cloudformation::stack::{
    Batch, Cell, ChangeSet, ChangeSetStatus, Deployment, ExecutionStatus, OnFailure, Operation,
    OperationKind, Phase, ResourceChange, Stack, StackStatus, State, TemplateTexts,
};
use crate::cloudformation::{fault, plan};

/// What clients look for to tell that there is nothing to do.
const NO_CHANGES: &str = "The submitted information didn't contain changes. Submit different information to create a change set.";
const NO_UPDATES: &str = "No updates are to be performed.";
/// Change sets of one stack; AWS names no figure.
const CHANGE_SETS_MAX: usize = 1_000;

pub(super) async fn create(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let stack_name = cx.required("StackName")?;
    let name = checked_set_name(cx)?;
    let creates = creates(cx)?;
    let cell = cx.find(stack_name);
    let state = match &cell {
        None if creates => {
            let stack_name = checked_name(cx)?;
            Arc::new(State { stack: new_stack(cx, &stack_name), resources: Default::default() })
        }
        None => return Err(fault::no_stack_in_brackets(stack_name)),
        Some(cell) => cell.state(),
    };
    check_state(&state, &name, creates, cell.as_deref())?;
    let before_it = before(cx, &state).await?;
    let outputs_before = OutputSources::of(&before_it);
    let draft = draft(cx, before_it).await?;
    let texts = draft.texts.clone();
    let has_macros = !texts.transforms.is_empty();
    let (deployment, settings) = (draft.deployment.clone(), draft.settings.clone());
    let outcome = match draft.finish(cx, &state.stack) {
        Ok(prepared) => compare(cx, &state, creates, &outputs_before, prepared),
        Err(fault) => Err(fault),
    };
    let Outcome { texts, deployment, changes, refused } = match outcome {
        Ok(outcome) => outcome,
        // Macros are applied behind the answer: what is wrong from there on is the change set's failure.
        Err(fault) if has_macros => {
            let refused = Some(fault.message.unwrap_or_default());
            Outcome { texts, deployment, changes: Vec::new(), refused }
        }
        Err(fault) => return Err(fault),
    };
    let failed = refused.is_some();
    let uuid = Uuid::new_v4().to_string();
    let (account, region) = (&state.stack.account, &state.stack.region);
    let set = ChangeSet {
        id: format!("arn:aws:cloudformation:{region}:{account}:changeSet/{name}/{uuid}"),
        name,
        uuid,
        description: cx.form.get("Description").map(str::to_owned),
        created_ms: cx.now_ms(),
        creates,
        status: if failed { ChangeSetStatus::Failed } else { ChangeSetStatus::CreateComplete },
        status_reason: refused,
        execution: if failed { ExecutionStatus::Unavailable } else { ExecutionStatus::Available },
        deployment,
        settings,
        on_failure: cx.form.get("OnStackFailure").map(str::to_owned),
        changes,
        request_token: cx.form.get("ClientToken").map(str::to_owned),
        caller: cx.caller(),
    };
    let (stack_id, set_id) = write(cx, state, set, &texts).await?;
    Ok(cx.answer(|xml| {
        xml.text("Id", &set_id);
        xml.text("StackId", &stack_id);
    }))
}

/// What has come of looking at a template.
struct Outcome {
    texts: TemplateTexts,
    deployment: Deployment,
    changes: Vec<ResourceChange>,
    /// Why the change set cannot be executed.
    refused: Option<String>,
}

/// What `prepared` would change.
fn compare(
    cx: &Cx<'_>,
    state: &State,
    creates: bool,
    outputs_before: &OutputSources,
    prepared: Prepared,
) -> Result<Outcome, Fault> {
    refuse_other_types(&prepared.target.template, state)?;
    let exports = cx.service.exports(&state.stack);
    let changes = plan::changes(&prepared.target, state, &exports);
    let empty = !creates && changes.is_empty() && outputs_before.are_those_of(&prepared);
    let reason = match prepared.texts.transforms.is_empty() {
        true => NO_CHANGES,
        false => NO_UPDATES,
    };
    let Prepared { texts, deployment, .. } = prepared;
    Ok(Outcome { texts, deployment, changes, refused: empty.then(|| reason.to_owned()) })
}

fn checked_set_name(cx: &Cx<'_>) -> Result<String, Fault> {
    let name = cx.required("ChangeSetName")?;
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if legal {
        return Ok(name.to_owned());
    }
    let pattern = "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*";
    Err(fault::constraint(name, "changeSetName", pattern))
}

/// Whether `ChangeSetType` says that the stack is to be made.
fn creates(cx: &Cx<'_>) -> Result<bool, Fault> {
    match cx.form.get("ChangeSetType") {
        Some("CREATE") => Ok(true),
        None | Some("UPDATE") => Ok(false),
        Some("IMPORT") => Err(fault::not_supported("change sets that import resources")),
        Some(other) => {
            let allowed = "Member must satisfy enum value set: [CREATE, UPDATE, IMPORT]";
            Err(fault::constraint(other, "changeSetType", allowed))
        }
    }
}

/// Whether a change set may be made for the stack as it is.
fn check_state(state: &State, name: &str, creates: bool, cell: Option<&Cell>) -> Result<(), Fault> {
    let Some(cell) = cell else { return Ok(()) };
    let sets = cell.change_sets();
    if sets.iter().any(|set| set.name == name) {
        return Err(fault::already_exists(format!("ChangeSet {name} already exists")));
    }
    if sets.len() >= CHANGE_SETS_MAX {
        let message = format!("ChangeSet limit exceeded for stack {}", state.stack.id);
        return Err(Fault::plain("LimitExceededException", 400, message));
    }
    let review = state.stack.status == StackStatus::ReviewInProgress;
    if creates && !review {
        return Err(fault::validation(format!(
            "Stack [{}] already exists and cannot be created again with the changeSet [{name}].",
            state.stack.name
        )));
    }
    if !creates {
        refuse_unless_updatable(state)?;
    }
    Ok(())
}

/// Writes the change set down, and the stack if it is new.
async fn write(
    cx: &Cx<'_>,
    state: Arc<State>,
    mut set: ChangeSet,
    texts: &TemplateTexts,
) -> Result<(String, String), Fault> {
    let admission = cx.service.admission.lock().await;
    // A stack that was made meanwhile is the one to add to.
    let cell = cx.find(&state.stack.name);
    let mut state =
        cell.as_ref().map_or_else(|| State::clone(&state), |cell| State::clone(&cell.state()));
    if state.stack.operation.is_some() {
        refuse_unless_updatable(&state)?;
    }
    let mut batch = Batch::default();
    set.deployment.template = batch.template(&mut state.stack, texts);
    if cell.is_none() {
        check_room(cx)?;
        let status = StackStatus::ReviewInProgress;
        super::announce(cx, &mut batch, &mut state.stack, status, "User Initiated");
    }
    batch.stack(&state.stack);
    batch.change_set(&state.stack, &set);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    let ids = (state.stack.id.clone(), set.id.clone());
    let cell = match cell {
        Some(cell) => {
            cell.publish(state);
            cell
        }
        None => cx.service.stacks.add(state),
    };
    cell.put_change_set(set);
    drop(admission);
    Ok(ids)
}

/// The change set `set`, which is a name with the stack's beside it, or an ARN.
pub(super) fn found(
    cx: &Cx<'_>,
    stack: Option<&str>,
    set: &str,
) -> Result<(Arc<Cell>, Arc<ChangeSet>), Fault> {
    let is_arn = set.starts_with("arn:");
    let cells = match stack.filter(|name| !name.is_empty()) {
        Some(name) => vec![cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?],
        None if is_arn => cx.service.stacks.all(),
        None => {
            return Err(fault::validation(
                "StackName must be specified if ChangeSetName is not specified as an ARN.",
            ));
        }
    };
    cells
        .into_iter()
        .find_map(|cell| {
            let mut sets = cell.change_sets().into_iter();
            let found =
                sets.find(|known| if is_arn { known.id == set } else { known.name == set })?;
            Some((cell, found))
        })
        .ok_or_else(|| fault::no_change_set(set))
}

pub(super) fn describe(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("ChangeSetName")?;
    let (cell, set) = found(cx, cx.form.get("StackName"), name)?;
    let state = cell.state();
    let (changes, next) = page(set.changes.clone(), cx)?;
    Ok(cx.answer(|xml| {
        xml.text("ChangeSetName", &set.name);
        xml.text("ChangeSetId", &set.id);
        xml.text("StackId", &state.stack.id);
        xml.text("StackName", &state.stack.name);
        xml.optional("Description", set.description.as_deref());
        write_parameters(xml, &set.deployment);
        xml.text("CreationTime", &iso8601_millis(set.created_ms));
        xml.text("ExecutionStatus", set.execution.as_str());
        xml.text("Status", set.status.as_str());
        xml.optional("StatusReason", set.status_reason.as_deref());
        write_texts(xml, "NotificationARNs", &set.settings.notification_arns);
        xml.element("RollbackConfiguration", |_| {});
        write_texts(xml, "Capabilities", &set.settings.capabilities);
        write_tags(xml, &set.deployment.tags);
        xml.members("Changes", changes, |xml, change| {
            xml.text("Type", "Resource");
            xml.element("ResourceChange", |xml| write_change(xml, &change));
        });
        token(xml, next);
        xml.text("IncludeNestedStacks", "false");
        xml.optional("OnStackFailure", set.on_failure.as_deref());
    }))
}

fn write_change(xml: &mut Xml, change: &ResourceChange) {
    xml.text("Action", &change.action);
    xml.text("LogicalResourceId", &change.logical_id);
    xml.optional("PhysicalResourceId", change.physical_id.as_deref());
    xml.text("ResourceType", &change.kind);
    xml.optional("Replacement", change.replacement.as_deref());
    write_texts(xml, "Scope", &change.scope);
    xml.members("Details", &change.properties, |xml, (name, recreation)| {
        xml.element("Target", |xml| {
            xml.text("Attribute", "Properties");
            xml.text("Name", name);
            xml.text("RequiresRecreation", recreation);
        });
        xml.text("Evaluation", "Static");
        xml.text("ChangeSource", "DirectModification");
    });
}

pub(super) async fn execute(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("ChangeSetName")?;
    let admission = cx.service.admission.lock().await;
    let (cell, set) = found(cx, cx.form.get("StackName"), name)?;
    let token = cx.form.get("ClientRequestToken");
    let mut state = State::clone(&cell.state());
    let stack = &mut state.stack;
    if token.is_some() && stack.request_token.as_deref() == token {
        return Ok(cx.answer(|_| {}));
    }
    if set.execution != ExecutionStatus::Available {
        let message = format!(
            "ChangeSet [{}] cannot be executed in its current execution status of [{}]",
            set.id,
            set.execution.as_str()
        );
        return Err(Fault::plain("InvalidChangeSetStatus", 400, message));
    }
    if !set.creates {
        refuse_unless_updatable(&cell.state())?;
    } else if stack.operation.is_some() {
        return Err(fault::validation(format!(
            "Stack:{} is in {} state and can not be updated.",
            stack.id,
            stack.status.as_str()
        )));
    }
    let mut batch = Batch::default();
    let status = operate(cx, stack, &set);
    super::announce(cx, &mut batch, stack, status, "User Initiated");
    batch.stack(stack);
    // The others were made for a stack that is another now.
    let (mine, others): (Vec<_>, Vec<_>) =
        cell.change_sets().into_iter().partition(|known| known.uuid == set.uuid);
    for known in &mine {
        let done = ChangeSet { execution: ExecutionStatus::Complete, ..ChangeSet::clone(known) };
        batch.change_set(stack, &done);
        cell.put_change_set(done);
    }
    for other in &others {
        batch.drop_change_set(stack, other);
        cell.drop_change_set(&other.uuid);
    }
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    cell.publish(state);
    drop(admission);
    cx.service.run(&cell).await;
    Ok(cx.answer(|_| {}))
}

/// Gives the stack the operation that `set` says. Answers the status it begins with.
fn operate(cx: &Cx<'_>, stack: &mut Stack, set: &ChangeSet) -> StackStatus {
    let disabled = cx.form.get("DisableRollback") == Some("true");
    let on_failure = match set.on_failure.as_deref() {
        _ if disabled => OnFailure::DoNothing,
        Some("DELETE") if set.creates => OnFailure::Delete,
        Some("DO_NOTHING") => OnFailure::DoNothing,
        _ => OnFailure::Rollback,
    };
    let token = cx.form.get("ClientRequestToken").map(str::to_owned);
    stack.settings = set.settings.clone();
    stack.settings.disable_rollback = disabled;
    stack.change_set_id = Some(set.id.clone());
    stack.request_token.clone_from(&token);
    if !set.creates {
        stack.updated_ms = Some(cx.now_ms());
    }
    stack.operation = Some(Operation {
        id: Uuid::new_v4().to_string(),
        kind: if set.creates { OperationKind::Create } else { OperationKind::Update },
        phase: Phase::Forward,
        target: Some(set.deployment.clone()),
        on_failure,
        caller: cx.caller(),
        request_token: token,
        spared: BTreeSet::new(),
        began_ms: cx.now_ms(),
        change_set: Some(set.uuid.clone()),
    });
    match set.creates {
        true => StackStatus::CreateInProgress,
        false => StackStatus::UpdateInProgress,
    }
}

pub(super) async fn delete(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("ChangeSetName")?;
    let admission = cx.service.admission.lock().await;
    match found(cx, cx.form.get("StackName"), name) {
        Ok((cell, set)) => {
            let state = cell.state();
            let mut batch = Batch::default();
            batch.drop_change_set(&state.stack, &set);
            cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
            cell.drop_change_set(&set.uuid);
        }
        // One that is not there is deleted.
        Err(fault) if fault.code == "ChangeSetNotFound" => {}
        Err(fault) => return Err(fault),
    }
    drop(admission);
    Ok(cx.answer(|_| {}))
}

pub(super) fn list(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("StackName")?;
    let cell = cx.find(name).ok_or_else(|| fault::no_stack_in_brackets(name))?;
    let state = cell.state();
    let (sets, next) = page(cell.change_sets(), cx)?;
    Ok(cx.answer(|xml| {
        xml.members("Summaries", sets, |xml, set| {
            xml.text("StackId", &state.stack.id);
            xml.text("StackName", &state.stack.name);
            xml.text("ChangeSetId", &set.id);
            xml.text("ChangeSetName", &set.name);
            xml.text("ExecutionStatus", set.execution.as_str());
            xml.text("Status", set.status.as_str());
            xml.optional("StatusReason", set.status_reason.as_deref());
            xml.text("CreationTime", &iso8601_millis(set.created_ms));
            xml.optional("Description", set.description.as_deref());
            xml.text("IncludeNestedStacks", "false");
        });
        token(xml, next);
    }))
}
