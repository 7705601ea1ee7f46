//! The account's settings of API Gateway in a region.

use nilas_wire::Fault;
use serde_json::json;

use super::shape::{self, Members};
use super::{Answer, Cx, tables};

const ID: &str = "account";

pub(super) fn get(cx: &Cx<'_>) -> Answer {
    Answer::ok(shown(cx.apis.accounts.get(cx.auth, ID).unwrap_or_default()))
}

fn shown(mut account: Members) -> Members {
    account.insert(
        "throttleSettings".to_owned(),
        json!({ "burstLimit": 5_000, "rateLimit": 10_000.0 }),
    );
    account.insert("features".to_owned(), json!(["UsagePlans"]));
    account.insert("apiKeyVersion".to_owned(), "4".into());
    account
}

pub(super) async fn update(cx: &Cx<'_>) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let _writing = cx.apis.write().await;
    let mut account = cx.apis.accounts.get(cx.auth, ID).unwrap_or_default();
    shape::patch(tables::ACCOUNT, &mut account, &patches)?;
    cx.apis.accounts.put(cx.auth, ID, account.clone()).await?;
    Ok(Answer::ok(shown(account)))
}
