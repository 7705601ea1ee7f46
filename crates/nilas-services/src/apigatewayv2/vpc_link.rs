//! VPC links: kept and answered. There is no network behind them, so an integration that uses one is answered 503.

use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{bad, conflict, not_found};
use super::members::{self, Members, Shape, Table, text};
use super::record::id;
use super::{Answer, Cx, api, created, no_content, ok, page};

const VPC_LINK: Table = &[
    ("name", Shape::Text),
    ("securityGroupIds", Shape::Texts),
    ("subnetIds", Shape::Texts),
    ("tags", Shape::Object),
];

/// What follows `/v2/vpclinks`.
pub(super) async fn route(cx: &Cx<'_>, verb: &str, rest: &[&str]) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("POST", []) => create(cx).await,
        ("GET", []) => {
            page(cx, cx.apis.vpc_links.list(cx.auth).into_iter().map(Into::into).collect())
        }
        ("GET", [id]) => Ok(ok(get(cx, id)?)),
        ("PATCH", [id]) => {
            let body = members::body(&cx.request.body)?;
            let rename = |link: &mut Members| {
                if let Some(name) = text(&body, "name") {
                    link.insert("name".to_owned(), name.into());
                }
                Ok(())
            };
            Ok(ok(change(cx, id, rename).await?))
        }
        ("DELETE", [id]) => {
            let _writing = cx.apis.write().await;
            get(cx, id)?;
            if cx.apis.uses_vpc_link(cx.auth, id) {
                return Err(conflict("Cannot delete vpc link. Vpc link is in use by integrations"));
            }
            cx.apis.vpc_links.delete(cx.auth, id).await?;
            Ok((http::StatusCode::ACCEPTED, json!({})))
        }
        _ => Err(not_found("No such operation")),
    }
}

fn get(cx: &Cx<'_>, id: &str) -> Result<Members, Fault> {
    let missing = || not_found(format!("Invalid VpcLink identifier specified {id}"));
    cx.apis.vpc_links.get(cx.auth, id).ok_or_else(missing)
}

async fn create(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let mut link = members::take(VPC_LINK, &members::body(&cx.request.body)?)?;
    if text(&link, "name").is_none_or(|name| name.is_empty() || name.len() > 128) {
        return Err(bad("Name must not be empty"));
    }
    if members::texts(&link, "subnetIds").is_empty() {
        return Err(bad("At least one subnet is required"));
    }
    let link_id = id(6);
    link.entry("securityGroupIds").or_insert_with(|| json!([]));
    link.entry("tags").or_insert_with(|| json!({}));
    link.insert("createdDate".to_owned(), cx.apis.now());
    link.insert("vpcLinkId".to_owned(), link_id.as_str().into());
    link.insert("vpcLinkStatus".to_owned(), "AVAILABLE".into());
    link.insert("vpcLinkStatusMessage".to_owned(), "VPC link is ready to route traffic".into());
    link.insert("vpcLinkVersion".to_owned(), "V2".into());
    let _writing = cx.apis.write().await;
    cx.apis.vpc_links.put(cx.auth, &link_id, link.clone()).await?;
    Ok(created(link))
}

async fn change(
    cx: &Cx<'_>,
    id: &str,
    apply: impl FnOnce(&mut Members) -> Result<(), Fault>,
) -> Result<Members, Fault> {
    let _writing = cx.apis.write().await;
    let mut link = get(cx, id)?;
    apply(&mut link)?;
    cx.apis.vpc_links.put(cx.auth, id, link.clone()).await?;
    Ok(link)
}

/// What `/v2/tags/ARN` does with a link.
pub(super) async fn tags(cx: &Cx<'_>, verb: &str, id: &str) -> Result<Answer, Fault> {
    let body = members::body(&cx.request.body)?;
    let apply = |link: &mut Members| api::retag(cx.request, verb, &body, link);
    match verb {
        "GET" => {
            let tags: Value = get(cx, id)?.get("tags").cloned().unwrap_or_else(|| json!({}));
            Ok(ok(json!({ "tags": tags })))
        }
        "POST" => change(cx, id, apply).await.map(|_| created(json!({}))),
        "DELETE" => change(cx, id, apply).await.map(|_| no_content()),
        _ => Err(bad("No such operation")),
    }
}
