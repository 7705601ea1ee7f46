//! IAM.

pub(super) mod managed_policy;
pub(super) mod policy;
pub(super) mod role;
pub(super) mod role_policy;

use std::collections::BTreeSet;

use nilas_wire::Service;
use nilas_wire::xml::Element;
use serde_json::Value;

use crate::calls::Refusal;
use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Cx;

async fn call(cx: &Cx, action: &str, members: &[(&str, &str)]) -> Result<Element, Refusal> {
    let members: Vec<(String, String)> =
        members.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    cx.calls.query(Service::Iam, &cx.auth, action, &members).await
}

/// The text at `path` below `<ACTIONResult>`.
fn text(answer: &Element, path: &[&str]) -> Result<String, Failure> {
    let result = answer.children.first();
    let found = result.and_then(|result| result.text_at(path));
    found.map(str::to_owned).ok_or_else(|| Failure::no_member(path.last().unwrap_or(&"")))
}

/// A policy document as it is sent: templates have it as an object or as a text.
fn document(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// `Tags.member.N.…` of a creation.
fn tag_members(tags: &[(String, String)]) -> Vec<(String, String)> {
    let mut members = Vec::with_capacity(tags.len() * 2);
    for (at, (key, value)) in tags.iter().enumerate() {
        members.push((format!("Tags.member.{}.Key", at + 1), key.clone()));
        members.push((format!("Tags.member.{}.Value", at + 1), value.clone()));
    }
    members
}

/// What is gone already is removed.
fn gone(done: Result<Element, Refusal>) -> Result<(), Failure> {
    match done.map_err(Failure::from) {
        Err(failure) if failure.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}

/// Those of `before` that `after` has not.
fn removed<'a>(before: &[&'a str], after: &[&str]) -> Vec<&'a str> {
    let after: BTreeSet<&str> = after.iter().copied().collect();
    before.iter().copied().filter(|name| !after.contains(name)).collect()
}
