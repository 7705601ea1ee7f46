//! DeleteParameter and DeleteParameters.

use nilas_wire::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cx, fault};

const NAMES_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct One {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Several {
    names: Vec<String>,
}

pub(super) async fn one(cx: Cx<'_>, input: One) -> Result<Value, Fault> {
    let _writing = cx.shelf.writing().await;
    match cx.remove(&input.name).await? {
        true => Ok(json!({})),
        false => Err(fault::not_found()),
    }
}

pub(super) async fn several(cx: Cx<'_>, input: Several) -> Result<Value, Fault> {
    super::read::check_names(&input.names, NAMES_MAX)?;
    let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
    let _writing = cx.shelf.writing().await;
    for name in input.names {
        match cx.remove(&name).await? {
            true => deleted.push(name),
            false => invalid.push(name),
        }
    }
    Ok(json!({ "DeletedParameters": deleted, "InvalidParameters": invalid }))
}
