//! One step of one resource, and all that are under way.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio::task::{Id, JoinSet};

use crate::cloudformation::dynamic;
use crate::cloudformation::failure::{Failure, HandlerErrorCode};
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Resource, ResourceType};

/// What is done to a resource. Properties are as the template's functions make them, dynamic references in them.
#[derive(Debug)]
pub(super) enum Action {
    Create { new: Map<String, Value> },
    Update { resource: Resource, old: Map<String, Value>, new: Map<String, Value> },
    Delete { resource: Resource, old: Map<String, Value> },
}

/// Steps under way, each with the logical id of its resource.
#[derive(Debug, Default)]
pub(super) struct Steps {
    tasks: JoinSet<Result<Resource, Failure>>,
    ids: BTreeMap<Id, String>,
}

// === impl Steps ===

impl Steps {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether a step of the resource `id` is under way.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.values().any(|known| known == id)
    }

    pub(super) fn begin(&mut self, id: &str, cx: Cx, kind: &'static ResourceType, action: Action) {
        let task = self.tasks.spawn(run(cx, kind, action));
        self.ids.insert(task.id(), id.to_owned());
    }

    /// Those that have ended, one at least; none if none is under way.
    pub(super) async fn ended(&mut self) -> Vec<(String, Result<Resource, Failure>)> {
        let mut ended = Vec::new();
        let mut next = self.tasks.join_next_with_id().await;
        while let Some(joined) = next {
            let (task, result) = match joined {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "a resource's step panicked");
                    let failure =
                        Failure::handler(HandlerErrorCode::InternalFailure, "Internal Failure");
                    (error.id(), Err(failure))
                }
            };
            let id = self.ids.remove(&task).expect("every task was begun with an id");
            ended.push((id, result));
            next = self.tasks.try_join_next_with_id();
        }
        ended
    }
}

async fn run(cx: Cx, kind: &'static ResourceType, action: Action) -> Result<Resource, Failure> {
    match action {
        Action::Create { new } => {
            let new = prepared(&cx, kind, &new).await?;
            (kind.create)(&cx, &new).await
        }
        Action::Update { resource, old, new } => {
            // What it was is only compared with: should a secret be gone, the new properties count.
            let old = prepared(&cx, kind, &old).await.unwrap_or_else(|_| old.into());
            let new = prepared(&cx, kind, &new).await?;
            (kind.update)(&cx, Change { resource: &resource, old: &old, new: &new }).await
        }
        Action::Delete { resource, old } => {
            let old = prepared(&cx, kind, &old).await.unwrap_or_else(|_| old.into());
            match (kind.delete)(&cx, &resource, &old).await {
                Err(failure) if !failure.is_not_found() => Err(failure),
                Ok(()) | Err(_) => Ok(resource),
            }
        }
    }
}

/// Dynamic references resolved, scalars converted.
async fn prepared(
    cx: &Cx,
    kind: &ResourceType,
    properties: &Map<String, Value>,
) -> Result<Properties, Failure> {
    let resolved = dynamic::resolve(cx, properties).await?;
    Properties::check(kind, &resolved).map_err(|faults| invalid(&cx.logical_id, &faults))
}

/// What AWS says of properties that do not fit their type.
pub(super) fn invalid(id: &str, faults: &[String]) -> Failure {
    let reason = format!(
        "Properties validation failed for resource {id} with message:\n{}",
        faults.join("\n")
    );
    Failure::plain(HandlerErrorCode::InvalidRequest, reason)
}
