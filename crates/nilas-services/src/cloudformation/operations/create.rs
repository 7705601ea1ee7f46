//! CreateStack.

use std::collections::BTreeSet;
use std::sync::Arc;

use nilas_model::limits::STACKS_MAX;
use nilas_wire::{ApiResponse, Fault};
use uuid::Uuid;

use super::Cx;
use super::input::{Before, Prepared, prepare};
use crate::cloudformation::fault;
use crate::cloudformation::stack::{
    Batch, Cell, OnFailure, Operation, OperationKind, Phase, Settings, Stack, StackStatus, State,
};

const NAME_CHARS_MAX: usize = 128;

pub(super) async fn create(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = checked_name(cx)?;
    let token = cx.form.get("ClientRequestToken");
    if let Some(cell) = cx.find(&name) {
        let state = cell.state();
        // The same request once more, of a client that missed the answer.
        if token.is_some() && state.stack.request_token.as_deref() == token {
            return Ok(answer(cx, &state.stack.id));
        }
        return Err(fault::already_exists(format!("Stack [{name}] already exists")));
    }
    let on_failure = on_failure(cx)?;
    let mut stack = new_stack(cx, &name);
    if let Some(parent) = token.and_then(|token| parent(cx, token)) {
        stack.root_id = Some(parent.stack.root_id.as_ref().unwrap_or(&parent.stack.id).clone());
        stack.parent_id = Some(parent.stack.id.clone());
    }
    let prepared = prepare(cx, &stack, Before::default()).await?;
    stack.termination_protection = cx.form.get("EnableTerminationProtection") == Some("true");
    stack.policy = cx.form.get("StackPolicyBody").map(str::to_owned);
    let cell = begin(cx, stack, prepared, on_failure).await?;
    cx.service.run(&cell).await;
    Ok(answer(cx, &cell.state().stack.id))
}

fn answer(cx: &Cx<'_>, id: &str) -> ApiResponse {
    cx.answer(|xml| xml.text("StackId", id))
}

pub(super) fn checked_name(cx: &Cx<'_>) -> Result<String, Fault> {
    let name = cx.required("StackName")?;
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !legal {
        return Err(fault::constraint(
            name,
            "stackName",
            "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        ));
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(fault::constraint(
            name,
            "stackName",
            &format!("Member must have length less than or equal to {NAME_CHARS_MAX}"),
        ));
    }
    Ok(name.to_owned())
}

fn on_failure(cx: &Cx<'_>) -> Result<OnFailure, Fault> {
    let disabled = cx.form.get("DisableRollback") == Some("true");
    match cx.form.get("OnFailure") {
        Some(_) if cx.form.get("DisableRollback").is_some() => Err(fault::validation(
            "You can specify either DisableRollback or OnFailure, but not both.",
        )),
        None if disabled => Ok(OnFailure::DoNothing),
        None | Some("ROLLBACK") => Ok(OnFailure::Rollback),
        Some("DELETE") => Ok(OnFailure::Delete),
        Some("DO_NOTHING") => Ok(OnFailure::DoNothing),
        Some(other) => Err(fault::constraint(
            other,
            "onFailure",
            "Member must satisfy enum value set: [ROLLBACK, DELETE, DO_NOTHING]",
        )),
    }
}

/// The stack that is making this one as a resource of its own: it asks with the token of that very making.
fn parent(cx: &Cx<'_>, token: &str) -> Option<Arc<State>> {
    cx.stacks().into_iter().find(|state| {
        state.stack.operation.is_some()
            && state.resources.values().any(|resource| {
                let version = &resource.version;
                version.kind == "AWS::CloudFormation::Stack"
                    && version.made.is_none()
                    && version.token == token
            })
    })
}

/// A stack that has nothing yet.
pub(super) fn new_stack(cx: &Cx<'_>, name: &str) -> Stack {
    let (account, region) = (cx.auth.account.as_str(), cx.auth.region.as_str());
    let uuid = Uuid::new_v4().to_string();
    Stack {
        name: name.to_owned(),
        id: format!("arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid}"),
        uuid,
        account: account.to_owned(),
        region: region.to_owned(),
        created_ms: cx.now_ms(),
        updated_ms: None,
        deleted_ms: None,
        status: StackStatus::ReviewInProgress,
        status_reason: None,
        settings: Settings::default(),
        termination_protection: false,
        policy: None,
        parent_id: None,
        root_id: None,
        deployment: None,
        outputs: Vec::new(),
        imports: BTreeSet::new(),
        operation: None,
        change_set_id: None,
        request_token: None,
        templates: 0,
        events: 0,
    }
}

/// Writes the stack down, its creation under way.
async fn begin(
    cx: &Cx<'_>,
    mut stack: Stack,
    prepared: Prepared,
    on_failure: OnFailure,
) -> Result<Arc<Cell>, Fault> {
    let admission = cx.service.admission.lock().await;
    if cx.find(&stack.name).is_some() {
        return Err(fault::already_exists(format!("Stack [{}] already exists", stack.name)));
    }
    check_room(cx)?;
    let Prepared { texts, mut deployment, settings, .. } = prepared;
    let mut batch = Batch::default();
    deployment.template = batch.template(&mut stack, &texts);
    stack.settings = settings;
    let token = cx.form.get("ClientRequestToken").map(str::to_owned);
    stack.request_token.clone_from(&token);
    stack.operation = Some(Operation {
        id: Uuid::new_v4().to_string(),
        kind: OperationKind::Create,
        phase: Phase::Forward,
        target: Some(deployment),
        on_failure,
        caller: cx.caller(),
        request_token: token,
        spared: BTreeSet::new(),
        began_ms: cx.now_ms(),
        change_set: None,
    });
    super::announce(cx, &mut batch, &mut stack, StackStatus::CreateInProgress, "User Initiated");
    batch.stack(&stack);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    let cell = cx.service.stacks.add(State { stack, resources: Default::default() });
    drop(admission);
    Ok(cell)
}

pub(super) fn check_room(cx: &Cx<'_>) -> Result<(), Fault> {
    let there = cx.stacks().iter().filter(|state| state.stack.deleted_ms.is_none()).count();
    if there < STACKS_MAX {
        return Ok(());
    }
    let message = format!("Limit for stack has been exceeded ({STACKS_MAX})");
    Err(Fault::plain("LimitExceededException", 400, message))
}
