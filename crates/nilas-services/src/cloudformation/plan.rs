//! What a deployment would change, as far as can be told without doing it: the `Changes` of a change set.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::engine::{Exports, Planned};
use super::properties::Properties;
use super::resource::ResourceType;
use super::stack::{ResourceChange, ResourceStatus, StackResource, State};
use super::target::Target;
use super::template::{Declared, UNKNOWN};
use super::types;

/// The changes that turn `state` into `target`, in the order of the template; removals last.
pub(super) fn changes(target: &Target, state: &State, exports: &Exports) -> Vec<ResourceChange> {
    let deployed = state.stack.deployment.as_ref();
    let tags_differ = deployed.is_some_and(|deployed| deployed.tags != target.tags);
    // Of these, names and attributes stay as they are.
    let mut stable: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<(String, Option<ResourceChange>)> = Vec::new();
    let mut waiting: Vec<&Declared> = target.resources().collect();
    while !waiting.is_empty() {
        let names: BTreeSet<&str> = waiting.iter().map(|declared| declared.id.as_str()).collect();
        let (ready, rest): (Vec<&Declared>, Vec<&Declared>) =
            waiting.iter().partition(|declared| {
                declared.depends_on.iter().all(|id| !names.contains(id.as_str()))
            });
        if ready.is_empty() {
            break;
        }
        for declared in ready {
            let existing = state.resources.get(&declared.id).filter(|existing| is_there(existing));
            let change = match existing {
                None => Some(added(declared)),
                Some(existing) => {
                    let stays = |id: &str| stable.contains(id);
                    let lookup =
                        Planned { unchanged: &stays, resources: &state.resources, exports };
                    let new = target.properties(declared, &lookup).unwrap_or_default();
                    modified(declared, existing, &new, tags_differ)
                }
            };
            let replacement = change.as_ref().map(|change| change.replacement.as_deref());
            if matches!(replacement, None | Some(Some("False"))) {
                stable.insert(declared.id.clone());
            }
            found.push((declared.id.clone(), change));
        }
        waiting = rest;
    }
    let kept: BTreeSet<&str> = target.resources().map(|declared| declared.id.as_str()).collect();
    let order = |id: &str| target.template.resources.iter().position(|it| it.id == id);
    found.sort_by_key(|(id, _)| order(id));
    let removed = state.resources.values().filter(|resource| !kept.contains(resource.id.as_str()));
    let removed =
        removed.filter(|resource| is_there(resource)).map(|resource| removed_one(resource));
    found.into_iter().filter_map(|(_, change)| change).chain(removed).collect()
}

fn is_there(resource: &StackResource) -> bool {
    let gone = matches!(
        resource.status,
        ResourceStatus::DeleteComplete
            | ResourceStatus::DeleteSkipped
            | ResourceStatus::CreateFailed
    );
    !gone && resource.version.made.is_some()
}

fn added(declared: &Declared) -> ResourceChange {
    ResourceChange {
        action: "Add".to_owned(),
        logical_id: declared.id.clone(),
        physical_id: None,
        kind: declared.kind.clone(),
        replacement: None,
        properties: Vec::new(),
        scope: Vec::new(),
    }
}

fn removed_one(resource: &StackResource) -> ResourceChange {
    ResourceChange {
        action: "Remove".to_owned(),
        logical_id: resource.id.clone(),
        physical_id: resource.physical_id().map(str::to_owned),
        kind: resource.version.kind.clone(),
        replacement: None,
        properties: Vec::new(),
        scope: Vec::new(),
    }
}

fn modified(
    declared: &Declared,
    existing: &StackResource,
    new: &Map<String, Value>,
    tags_differ: bool,
) -> Option<ResourceChange> {
    let kind = types::find(&declared.kind)?;
    let new = Properties::check(kind, new).unwrap_or_else(|_| new.clone().into());
    let old = Properties::from(existing.version.properties.clone());
    let mut properties = Vec::new();
    let mut replacement = "False";
    let names: BTreeSet<&String> = old.members().keys().chain(new.members().keys()).collect();
    for name in names.into_iter().filter(|name| new.differs(&old, name)) {
        let replaces = kind.property(name).is_some_and(|property| property.replaces);
        let recreation = if replaces { "Always" } else { "Never" };
        properties.push((name.clone(), recreation.to_owned()));
        if replaces && replacement != "True" {
            let unknown = new.get(name).is_some_and(|value| value.to_string().contains(UNKNOWN));
            replacement = if unknown { "Conditional" } else { "True" };
        }
    }
    if existing.version.kind != declared.kind {
        replacement = "True";
    }
    let mut scope = Vec::new();
    if !properties.is_empty() {
        scope.push("Properties".to_owned());
    }
    if tags_differ && takes_tags(kind) {
        scope.push("Tags".to_owned());
    }
    let failed = existing.status == ResourceStatus::UpdateFailed;
    (!scope.is_empty() || failed || replacement == "True").then(|| ResourceChange {
        action: "Modify".to_owned(),
        logical_id: declared.id.clone(),
        physical_id: existing.physical_id().map(str::to_owned),
        kind: declared.kind.clone(),
        replacement: Some(replacement.to_owned()),
        properties,
        scope,
    })
}

fn takes_tags(kind: &ResourceType) -> bool {
    kind.property("Tags").is_some_and(|tags| !tags.inert)
}
