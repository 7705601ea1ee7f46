//! Resources, the tree of an API's paths.

use nilas_model::limits;
use nilas_wire::{Fault, percent};

use super::fault::{bad, conflict, limit, not_found};
use super::list::page;
use super::record::{ApiRecord, Definition, Resource};
use super::shape::{self, Shape, member, text};
use super::{Answer, Cx};

pub(super) fn no_resource() -> Fault {
    not_found("Invalid Resource identifier specified")
}

fn embeds_methods(cx: &Cx<'_>) -> bool {
    percent::query_pairs(&cx.request.query)
        .any(|(name, value)| name == "embed" && value.split(',').any(|part| part == "methods"))
}

pub(super) fn list(cx: &Cx<'_>, api: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    let embed = embeds_methods(cx);
    let shown = record.definition.resources.values().map(|resource| resource.shown(embed));
    page(cx, shown.collect())
}

pub(super) fn get(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    let resource = record.definition.resources.get(id).ok_or_else(no_resource)?;
    Ok(Answer::ok(resource.shown(embeds_methods(cx))))
}

pub(super) async fn create(cx: &Cx<'_>, api: &str, parent: &str) -> Result<Answer, Fault> {
    let body = shape::take(&[member("pathPart", Shape::Text)], &shape::body(cx.request)?)?;
    let part = text(&body, "pathPart").unwrap_or_default();
    let change = |record: &mut ApiRecord| {
        let definition = &mut record.definition;
        check_place(definition, parent, part)?;
        let id = definition.add(parent, part);
        Ok(definition.resources[&id].shown(false))
    };
    Ok(Answer::created(cx.apis.change(cx.auth, api, change).await?))
}

/// Whether `part` may be a child of `parent`.
pub(super) fn check_place(definition: &Definition, parent: &str, part: &str) -> Result<(), Fault> {
    let above = definition
        .resources
        .get(parent)
        .ok_or_else(|| not_found("Invalid Resource identifier specified"))?;
    if !is_path_part(part) {
        return Err(bad(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end",
        ));
    }
    if above.path_part.as_deref().is_some_and(|part| part.ends_with("+}")) {
        return Err(bad(format!(
            "Cannot create a child of a resource with a greedy path variable: {}",
            above.path_part.as_deref().unwrap_or_default()
        )));
    }
    if definition.resources.len() >= limits::API_RESOURCES_MAX {
        return Err(limit("Maximum number of resources for this API has been reached"));
    }
    for sibling in definition.resources.values() {
        if sibling.parent.as_deref() != Some(parent) {
            continue;
        }
        let known = sibling.path_part.as_deref().unwrap_or_default();
        if known == part {
            return Err(conflict(format!(
                "Another resource with the same parent already has this name: {part}"
            )));
        }
        let is_variable = |part: &str| part.starts_with('{') && !part.ends_with("+}");
        if is_variable(known) && is_variable(part) {
            return Err(bad(format!(
                "A sibling ({known}) of this resource already has a variable path part -- only one unique variable path part is allowed"
            )));
        }
    }
    Ok(())
}

/// `a-zA-Z0-9._-:`, or a name in braces, perhaps with a plus.
fn is_path_part(part: &str) -> bool {
    let legal = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'$' | b'~')
            })
    };
    match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => legal(name.strip_suffix('+').unwrap_or(name)),
        None => legal(part),
    }
}

pub(super) async fn update(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let change = |record: &mut ApiRecord| {
        let definition = &mut record.definition;
        let mut moved = definition.resources.get(id).cloned().ok_or_else(no_resource)?;
        for patch in &patches {
            match (patch.op.as_str(), patch.path.as_str()) {
                ("replace", "/pathPart") => moved.path_part = Some(patch.value()?.to_owned()),
                ("replace", "/parentId") => moved.parent = Some(patch.value()?.to_owned()),
                _ => {
                    let known = [member("pathPart", Shape::Text), member("parentId", Shape::Text)];
                    return Err(patch.refused(&known));
                }
            }
        }
        rehang(definition, moved)?;
        Ok(definition.resources[id].shown(false))
    };
    Ok(Answer::ok(cx.apis.change(cx.auth, api, change).await?))
}

/// Puts `moved` where its parent and part say, with all below it.
fn rehang(definition: &mut Definition, moved: Resource) -> Result<(), Fault> {
    let (Some(parent), Some(part)) = (moved.parent.clone(), moved.path_part.clone()) else {
        return Err(bad("Cannot update the root resource"));
    };
    let below = definition.subtree(&moved.id);
    if below.contains(&parent) {
        return Err(bad("Cannot move a resource below itself"));
    }
    let id = moved.id.clone();
    definition.resources.remove(&id);
    check_place(definition, &parent, &part)?;
    definition.resources.insert(id, moved);
    for id in below {
        let path = path_of(definition, &id);
        if let Some(resource) = definition.resources.get_mut(&id) {
            resource.path = path;
        }
    }
    Ok(())
}

fn path_of(definition: &Definition, id: &str) -> String {
    let mut parts = Vec::new();
    let mut at = definition.resources.get(id);
    while let Some(resource) = at {
        parts.extend(resource.path_part.as_deref());
        at = resource.parent.as_ref().and_then(|parent| definition.resources.get(parent));
    }
    parts.reverse();
    format!("/{}", parts.join("/"))
}

pub(super) async fn delete(cx: &Cx<'_>, api: &str, id: &str) -> Result<Answer, Fault> {
    let change = |record: &mut ApiRecord| {
        let definition = &mut record.definition;
        let resource = definition.resources.get(id).ok_or_else(no_resource)?;
        if resource.parent.is_none() {
            return Err(bad("Cannot delete the root resource"));
        }
        for id in definition.subtree(id) {
            definition.resources.remove(&id);
        }
        Ok(())
    };
    cx.apis.change(cx.auth, api, change).await?;
    Ok(Answer::accepted())
}
