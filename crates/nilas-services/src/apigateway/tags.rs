//! Tags of APIs, stages, keys, usage plans and domain names, by ARN.

use nilas_model::limits;
use nilas_wire::{Fault, percent};
use serde_json::{Value, json};

use super::fault::{bad, not_found};
use super::record::ApiRecord;
use super::shape::{self, Members, TEXT_MAP, member};
use super::{Answer, Cx};

/// What an ARN of this account's region names: `arn:aws:apigateway:REGION::/restapis/ID/stages/NAME`.
enum Target<'a> {
    Api(&'a str),
    Stage(&'a str, &'a str),
    Key(&'a str),
    Plan(&'a str),
    Domain(&'a str),
}

impl<'a> Target<'a> {
    fn of(arn: &'a str) -> Result<Self, Fault> {
        let invalid = || bad(format!("Invalid ARN specified in the request: {arn}"));
        let mut fields = arn.splitn(6, ':');
        let resource = match (fields.next(), fields.next(), fields.next(), fields.nth(2)) {
            (Some("arn"), Some(_), Some("apigateway"), Some(resource)) => resource,
            _ => return Err(invalid()),
        };
        let parts: Vec<&str> = resource.trim_start_matches('/').split('/').collect();
        Ok(match parts.as_slice() {
            ["restapis", id] => Self::Api(id),
            ["restapis", id, "stages", stage] => Self::Stage(id, stage),
            ["apikeys", id] => Self::Key(id),
            ["usageplans", id] => Self::Plan(id),
            ["domainnames", name] => Self::Domain(name),
            _ => return Err(invalid()),
        })
    }
}

pub(super) fn get(cx: &Cx<'_>, arn: &str) -> Result<Answer, Fault> {
    let missing = || not_found(format!("Resource not found: {arn}"));
    let members = match Target::of(arn)? {
        Target::Api(id) => cx.apis.get(cx.auth, id)?.api.clone(),
        Target::Stage(id, stage) => {
            let record = cx.apis.get(cx.auth, id)?;
            record.stages.get(stage).cloned().ok_or_else(missing)?
        }
        Target::Key(id) => cx.apis.keys.get(cx.auth, id).ok_or_else(missing)?,
        Target::Plan(id) => cx.apis.plans.get(cx.auth, id).ok_or_else(missing)?,
        Target::Domain(name) => cx.apis.domains.get(cx.auth, name).ok_or_else(missing)?,
    };
    let tags = members.get("tags").cloned().unwrap_or_else(|| json!({}));
    Ok(Answer::ok(json!({ "tags": tags })))
}

pub(super) async fn tag(cx: &Cx<'_>, arn: &str) -> Result<Answer, Fault> {
    let body = shape::take(&[member("tags", TEXT_MAP)], &shape::body(cx.request)?)?;
    let tags = shape::pairs(&body, "tags");
    let apply = |members: &mut Members| {
        let known = members.entry("tags").or_insert_with(|| json!({}));
        if let Some(known) = known.as_object_mut() {
            known
                .extend(tags.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))));
            if known.len() > limits::TAGS_MAX {
                return Err(bad("The number of tags exceeds the limit of 50"));
            }
        }
        Ok(())
    };
    change(cx, arn, apply).await
}

pub(super) async fn untag(cx: &Cx<'_>, arn: &str) -> Result<Answer, Fault> {
    let keys: Vec<String> = percent::query_pairs(&cx.request.query)
        .filter(|(name, _)| name == "tagKeys")
        .map(|(_, key)| key.into_owned())
        .collect();
    let apply = |members: &mut Members| {
        if let Some(known) = members.get_mut("tags").and_then(Value::as_object_mut) {
            known.retain(|key, _| !keys.contains(key));
        }
        Ok(())
    };
    change(cx, arn, apply).await
}

async fn change(
    cx: &Cx<'_>,
    arn: &str,
    apply: impl Fn(&mut Members) -> Result<(), Fault>,
) -> Result<Answer, Fault> {
    let missing = || not_found(format!("Resource not found: {arn}"));
    let (shelf, id) = match Target::of(arn)? {
        Target::Api(id) => {
            cx.apis.change(cx.auth, id, |record: &mut ApiRecord| apply(&mut record.api)).await?;
            return Ok(Answer::no_content());
        }
        Target::Stage(id, stage) => {
            let change =
                |record: &mut ApiRecord| apply(record.stages.get_mut(stage).ok_or_else(missing)?);
            cx.apis.change(cx.auth, id, change).await?;
            return Ok(Answer::no_content());
        }
        Target::Key(id) => (&cx.apis.keys, id),
        Target::Plan(id) => (&cx.apis.plans, id),
        Target::Domain(name) => (&cx.apis.domains, name),
    };
    let _writing = cx.apis.write().await;
    let mut members = shelf.get(cx.auth, id).ok_or_else(missing)?;
    apply(&mut members)?;
    shelf.put(cx.auth, id, members).await?;
    Ok(Answer::no_content())
}
