//! Stacks, resources, events and change sets as the store keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::status::{ChangeSetStatus, ExecutionStatus, ResourceStatus, StackStatus};
use crate::cloudformation::resource::Resource;
use crate::cloudformation::template::Policy;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// The ARN.
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: Option<u64>,
    pub(crate) deleted_ms: Option<u64>,
    pub(crate) status: StackStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) termination_protection: bool,
    pub(crate) policy: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) root_id: Option<String>,
    /// What is deployed; none while it is being made for the first time.
    pub(crate) deployment: Option<Deployment>,
    pub(crate) outputs: Vec<OutputValue>,
    /// Names of other stacks' exports that this one uses.
    pub(crate) imports: BTreeSet<String>,
    /// What is under way.
    pub(crate) operation: Option<Operation>,
    pub(crate) change_set_id: Option<String>,
    /// `ClientRequestToken` of the last operation.
    pub(crate) request_token: Option<String>,
    /// Templates and events that were numbered so far.
    pub(crate) templates: u64,
    pub(crate) events: u64,
}

/// What a stack was last told beside the template.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) capabilities: Vec<String>,
    pub(crate) notification_arns: Vec<String>,
    pub(crate) role_arn: Option<String>,
    pub(crate) disable_rollback: bool,
    pub(crate) timeout_minutes: Option<u64>,
}

/// A template with the values it is deployed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// Its number among the stack's.
    pub(crate) template: u64,
    pub(crate) description: Option<String>,
    /// As given, or by default.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Of those that name a parameter of SSM, what it said.
    pub(crate) from_ssm: BTreeMap<String, String>,
    pub(crate) no_echo: BTreeSet<String>,
    pub(crate) tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TemplateTexts {
    pub(crate) original: String,
    /// JSON, without macros.
    pub(crate) processed: Map<String, Value>,
    /// The macros that were applied.
    pub(crate) transforms: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputValue {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) description: Option<String>,
    pub(crate) export: Option<String>,
}

/// An operation under way: enough to go on with it after a crash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) kind: OperationKind,
    pub(crate) phase: Phase,
    /// What is being deployed.
    pub(crate) target: Option<Deployment>,
    pub(crate) on_failure: OnFailure,
    pub(crate) caller: Caller,
    pub(crate) request_token: Option<String>,
    /// Logical ids that deleting, or rolling back, leaves alone.
    pub(crate) spared: BTreeSet<String>,
    pub(crate) began_ms: u64,
    /// The change set that is executed.
    pub(crate) change_set: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationKind {
    Create,
    Update,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Making and changing what the target template says.
    Forward,
    /// Deleting what it no longer says.
    Cleanup,
    /// Changing back.
    Rollback,
    /// Deleting what the failed update had made.
    RollbackCleanup,
    /// Deleting all.
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    Rollback,
    Delete,
    DoNothing,
}

/// Who asked, and where the request came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Caller {
    /// None is the account's root.
    pub(crate) role: Option<(String, String)>,
    /// Whether it was root who assumed the role, not a function's environment.
    #[serde(default)]
    pub(crate) is_roots: bool,
    pub(crate) access_key_id: String,
    pub(crate) base_url: String,
    pub(crate) local: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StackResource {
    pub(crate) id: String,
    pub(crate) version: Version,
    pub(crate) status: ResourceStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) updated_ms: u64,
    /// What the operation under way has done to it.
    pub(crate) touch: Option<Touch>,
    /// A step of it was begun and has not ended, as far as the store knows.
    pub(crate) started: bool,
    /// What it was before. In the phases that delete: what is left of it to delete.
    pub(crate) former: Option<Box<Version>>,
}

/// One making of a resource.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) kind: String,
    pub(crate) token: String,
    /// Physical id and attributes; none if it was never made.
    pub(crate) made: Option<Resource>,
    /// Functions evaluated; dynamic references not.
    pub(crate) properties: Map<String, Value>,
    pub(crate) depends_on: BTreeSet<String>,
    pub(crate) deletion_policy: Policy,
    pub(crate) update_replace_policy: Policy,
    pub(crate) metadata: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Touch {
    Added,
    Updated,
    /// Nothing but what the template says beside its properties.
    Kept,
    Replaced,
    /// Rolled back from a replacement: `former` is the new one now.
    Swapped,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StackEvent {
    pub(crate) id: String,
    pub(crate) logical_id: String,
    pub(crate) physical_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) time_ms: u64,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) properties: Option<String>,
    pub(crate) request_token: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChangeSet {
    pub(crate) name: String,
    /// The ARN.
    pub(crate) id: String,
    pub(crate) uuid: String,
    pub(crate) description: Option<String>,
    pub(crate) created_ms: u64,
    pub(crate) creates: bool,
    pub(crate) status: ChangeSetStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) execution: ExecutionStatus,
    pub(crate) deployment: Deployment,
    pub(crate) settings: Settings,
    pub(crate) on_failure: Option<String>,
    pub(crate) changes: Vec<ResourceChange>,
    pub(crate) request_token: Option<String>,
    pub(crate) caller: Caller,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceChange {
    /// `Add`, `Modify`, `Remove`
    pub(crate) action: String,
    pub(crate) logical_id: String,
    pub(crate) physical_id: Option<String>,
    pub(crate) kind: String,
    /// `True`, `False`, `Conditional`; of Modify only.
    pub(crate) replacement: Option<String>,
    /// Names of the properties that change, and whether each means a replacement: `Always`, `Never`.
    pub(crate) properties: Vec<(String, String)>,
    /// `Properties`, `Tags`, `Metadata`
    pub(crate) scope: Vec<String>,
}

// === impl StackResource ===

impl StackResource {
    /// Whether a step of it was begun and has not ended.
    pub(crate) fn is_under_way(&self) -> bool {
        self.started || self.status == ResourceStatus::DeleteInProgress
    }

    pub(crate) fn physical_id(&self) -> Option<&str> {
        self.version.made.as_ref().map(|made| made.physical_id.as_str())
    }
}
