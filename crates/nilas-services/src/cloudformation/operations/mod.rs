//! The operations of the API: a file a family.

mod change_set;
mod create;
mod delete;
mod describe;
mod exports;
mod input;
mod list;
mod policy;
mod template;
mod update;

use std::sync::Arc;

use nilas_model::{AuthContext, Principal};
use nilas_wire::query::{Form, answer, answer_empty};
use nilas_wire::xml::Xml;
use nilas_wire::{ApiRequest, ApiResponse, Fault};

use uuid::Uuid;

use super::stack::{Batch, Caller, Cell, Stack, StackEvent, StackStatus, State};
use super::{CloudFormation, fault};

pub(super) const XMLNS: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";
const VERSION: &str = "2010-05-15";

/// What an operation gets.
pub(super) struct Cx<'a> {
    pub(super) service: &'a Arc<CloudFormation>,
    pub(super) auth: &'a AuthContext,
    pub(super) request: &'a ApiRequest,
    pub(super) form: &'a Form,
}

/// Operations that AWS has and nilas does not.
const NOT_SUPPORTED: &[&str] = &[
    "ActivateOrganizationsAccess",
    "ActivateType",
    "BatchDescribeTypeConfigurations",
    "CreateGeneratedTemplate",
    "CreateStackInstances",
    "CreateStackRefactor",
    "CreateStackSet",
    "DeactivateOrganizationsAccess",
    "DeactivateType",
    "DeleteGeneratedTemplate",
    "DeleteStackInstances",
    "DeleteStackSet",
    "DeregisterType",
    "DescribeChangeSetHooks",
    "DescribeEvents",
    "DescribeGeneratedTemplate",
    "DescribeOrganizationsAccess",
    "DescribePublisher",
    "DescribeResourceScan",
    "DescribeStackDriftDetectionStatus",
    "DescribeStackInstance",
    "DescribeStackRefactor",
    "DescribeStackResourceDrifts",
    "DescribeStackSet",
    "DescribeStackSetOperation",
    "DescribeType",
    "DescribeTypeRegistration",
    "DetectStackDrift",
    "DetectStackResourceDrift",
    "DetectStackSetDrift",
    "EstimateTemplateCost",
    "ExecuteStackRefactor",
    "GetGeneratedTemplate",
    "GetHookResult",
    "ImportStacksToStackSet",
    "ListGeneratedTemplates",
    "ListHookResults",
    "ListResourceScanRelatedResources",
    "ListResourceScanResources",
    "ListResourceScans",
    "ListStackInstanceResourceDrifts",
    "ListStackInstances",
    "ListStackRefactorActions",
    "ListStackRefactors",
    "ListStackSetAutoDeploymentTargets",
    "ListStackSetOperationResults",
    "ListStackSetOperations",
    "ListStackSets",
    "ListTypeRegistrations",
    "ListTypeVersions",
    "ListTypes",
    "PublishType",
    "RecordHandlerProgress",
    "RegisterPublisher",
    "RegisterType",
    "SetTypeConfiguration",
    "SetTypeDefaultVersion",
    "SignalResource",
    "StartResourceScan",
    "StopStackSetOperation",
    "TestType",
    "UpdateGeneratedTemplate",
    "UpdateStackInstances",
    "UpdateStackSet",
];

pub(super) async fn run(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let action = cx.form.get("Action").unwrap_or_default();
    match action {
        "CancelUpdateStack" => update::cancel(cx),
        "ContinueUpdateRollback" => Box::pin(update::continue_rollback(cx)).await,
        "CreateChangeSet" => Box::pin(change_set::create(cx)).await,
        "CreateStack" => Box::pin(create::create(cx)).await,
        "DeleteChangeSet" => Box::pin(change_set::delete(cx)).await,
        "DeleteStack" => Box::pin(delete::delete(cx)).await,
        "DescribeAccountLimits" => Ok(describe::account_limits(cx)),
        "DescribeChangeSet" => change_set::describe(cx),
        "DescribeStackEvents" => describe::events(cx).await,
        "DescribeStackResource" => describe::resource(cx),
        "DescribeStackResources" => describe::resources(cx),
        "DescribeStacks" => describe::stacks(cx),
        "ExecuteChangeSet" => Box::pin(change_set::execute(cx)).await,
        "GetStackPolicy" => policy::get(cx),
        "GetTemplate" => template::get(cx).await,
        "GetTemplateSummary" => Box::pin(template::summary(cx)).await,
        "ListChangeSets" => change_set::list(cx),
        "ListExports" => exports::list(cx),
        "ListImports" => exports::imports(cx),
        "ListStackResources" => list::resources(cx),
        "ListStacks" => list::stacks(cx),
        "RollbackStack" => Box::pin(update::rollback(cx)).await,
        "SetStackPolicy" => policy::set(cx).await,
        "UpdateStack" => Box::pin(update::update(cx)).await,
        "UpdateTerminationProtection" => delete::protect(cx).await,
        "ValidateTemplate" => Box::pin(template::validate(cx)).await,
        "" => Err(Fault::plain("MissingAction", 400, "Could not find operation in the request.")),
        action if NOT_SUPPORTED.contains(&action) => {
            Err(fault::not_supported(&format!("the CloudFormation operation {action}")))
        }
        action => {
            let message = format!("Could not find operation {action} for version {VERSION}");
            Err(Fault::plain("InvalidAction", 400, message))
        }
    }
}

// === impl Cx ===

impl Cx<'_> {
    fn answer(&self, result: impl FnOnce(&mut Xml)) -> ApiResponse {
        let action = self.form.get("Action").unwrap_or_default();
        answer(action, XMLNS, &self.request.request_id, result)
    }

    fn answer_empty(&self) -> ApiResponse {
        let action = self.form.get("Action").unwrap_or_default();
        answer_empty(action, XMLNS, &self.request.request_id)
    }

    fn required(&self, member: &'static str) -> Result<&str, Fault> {
        let lower = format!("{}{}", member[..1].to_lowercase(), &member[1..]);
        self.form.get(member).filter(|text| !text.is_empty()).ok_or_else(|| fault::missing(&lower))
    }

    /// The stack called `name` that is there, or with this ARN, there or deleted.
    fn find(&self, name: &str) -> Option<Arc<Cell>> {
        let cells = self.service.stacks.all();
        cells.into_iter().find(|cell| {
            let state = cell.state();
            let stack = &state.stack;
            let ours = stack.account == self.auth.account.as_str()
                && stack.region == self.auth.region.as_str();
            let named = stack.name == name && stack.deleted_ms.is_none();
            ours && (named || stack.id == name)
        })
    }

    fn found(&self, name: &str) -> Result<Arc<Cell>, Fault> {
        self.find(name).ok_or_else(|| fault::no_stack(name))
    }

    /// Those of this account and region, the newest first.
    fn stacks(&self) -> Vec<Arc<State>> {
        let states = self.service.stacks.all().into_iter().map(|cell| cell.state());
        let ours = |state: &Arc<State>| {
            let stack: &Stack = &state.stack;
            stack.account == self.auth.account.as_str() && stack.region == self.auth.region.as_str()
        };
        let mut states: Vec<Arc<State>> = states.filter(ours).collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.stack.created_ms));
        states
    }

    fn caller(&self) -> Caller {
        let (role, is_roots) = match &self.auth.principal {
            // Nobody without a signature comes as far as this.
            Principal::Root | Principal::Anonymous => (None, false),
            Principal::Role { role_arn, session } => {
                (Some((role_arn.clone(), session.clone())), false)
            }
            Principal::AssumedRole { role_arn, session } => {
                (Some((role_arn.clone(), session.clone())), true)
            }
        };
        Caller {
            role,
            is_roots,
            access_key_id: self.auth.access_key_id.clone(),
            base_url: self.request.base_url(),
            local: self.request.local,
        }
    }

    fn now_ms(&self) -> u64 {
        self.service.clock.epoch_ms()
    }
}

/// The stack's status and its event, of an operation that begins.
fn announce(cx: &Cx<'_>, batch: &mut Batch, stack: &mut Stack, status: StackStatus, reason: &str) {
    stack.status = status;
    stack.status_reason = Some(reason.to_owned());
    let operation = stack.operation.as_ref();
    let event = StackEvent {
        id: Uuid::new_v4().to_string(),
        logical_id: stack.name.clone(),
        physical_id: Some(stack.id.clone()),
        kind: "AWS::CloudFormation::Stack".to_owned(),
        time_ms: cx.now_ms(),
        status: status.as_str().to_owned(),
        reason: Some(reason.to_owned()),
        properties: None,
        request_token: operation.and_then(|operation| operation.request_token.clone()),
    };
    batch.event(stack, &event);
}

/// Changes something of a stack beside its deployment. Refused while an operation is under way, which holds a copy.
async fn change_stack(
    cx: &Cx<'_>,
    cell: &Arc<Cell>,
    change: impl FnOnce(&mut Stack),
) -> Result<(), Fault> {
    let admission = cx.service.admission.lock().await;
    let mut state = State::clone(&cell.state());
    if state.stack.operation.is_some() {
        let (id, status) = (&state.stack.id, state.stack.status.as_str());
        return Err(fault::validation(format!(
            "Stack:{id} is in {status} state and can not be updated."
        )));
    }
    change(&mut state.stack);
    let mut batch = Batch::default();
    batch.stack(&state.stack);
    cx.service.stacks.commit(batch).await.map_err(fault::of_store)?;
    cell.publish(state);
    drop(admission);
    Ok(())
}
