//! Security Token Service (query protocol): who am I, and credentials that end.

mod assume;

use std::sync::Arc;

use nilas_model::{AuthContext, CredentialIssuer, Principal};
use nilas_wire::query::{self, Form};
use nilas_wire::xml::Xml;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service, encode_fault};
use sha2::{Digest, Sha256};

use crate::calls::Calls;

const VERSION: &str = "2011-06-15";
const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// Operations that AWS has and nilas does not.
const NOT_KEPT: &[&str] = &[
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetFederationToken",
];

/// Answers who calls, and gives sessions of the roles that IAM has.
#[derive(Debug)]
pub(crate) struct Sts {
    calls: Calls,
    credentials: Arc<dyn CredentialIssuer>,
}

impl Sts {
    pub(crate) fn new(calls: Calls, credentials: Arc<dyn CredentialIssuer>) -> Self {
        Self { calls, credentials }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let form = Form::of(request);
        let action = form.get("Action").unwrap_or_default();
        let answer = match action {
            "GetCallerIdentity" => Ok(self.caller_identity(auth).await),
            "AssumeRole" => assume::assume_role(self, auth, &form).await,
            "GetSessionToken" => assume::session_token(self, auth, &form),
            action => Err(refuse(action)),
        };
        let id = &request.request_id;
        match answer {
            Ok(result) => query::answer(action, XMLNS, id, |xml| xml.append(&result)),
            Err(fault) => encode_fault(Service::Sts.protocol(), &fault, id),
        }
    }

    async fn caller_identity(&self, auth: &AuthContext) -> Xml {
        let account = auth.account.as_str();
        let user_id = match &auth.principal {
            Principal::Root | Principal::Anonymous => caller_id(auth),
            Principal::Role { role_arn, session }
            | Principal::AssumedRole { role_arn, session } => {
                let id = assume::role_id(self, auth, role_arn).await;
                id.map_or_else(|| caller_id(auth), |id| format!("{id}:{session}"))
            }
        };
        let mut xml = Xml::new();
        xml.text("Arn", &caller_arn(auth));
        xml.text("UserId", &user_id);
        xml.text("Account", account);
        xml
    }
}

fn refuse(action: &str) -> Fault {
    if action.is_empty() {
        return Fault::plain("MissingAction", 400, "Could not find operation in the request.");
    }
    if NOT_KEPT.contains(&action) {
        let message = format!("nilas does not support the STS operation {action}.");
        return Fault::plain("NotImplemented", 501, message);
    }
    let message = format!("Could not find operation {action} for version {VERSION}");
    Fault::plain("InvalidAction", 400, message)
}

/// What `request` asks for beyond who its caller is, which anybody may ask: the operation, and on what.
pub(crate) fn asked(request: &ApiRequest) -> Option<(String, String)> {
    let form = Form::of(request);
    let action = form.get("Action").filter(|action| *action != "GetCallerIdentity")?;
    Some((action.to_owned(), form.get("RoleArn").unwrap_or("*").to_owned()))
}

/// `UserId` of who calls, as far as it is known without IAM.
pub(crate) fn caller_id(auth: &AuthContext) -> String {
    match &auth.principal {
        Principal::Root => auth.account.as_str().to_owned(),
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Role { role_arn, session } | Principal::AssumedRole { role_arn, session } => {
            format!("{}:{session}", role_id(role_arn))
        }
    }
}

/// Who calls, as AWS's answers name him.
pub(crate) fn caller_arn(auth: &AuthContext) -> String {
    let account = auth.account.as_str();
    match &auth.principal {
        Principal::Root => format!("arn:aws:iam::{account}:root"),
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Role { role_arn, session } | Principal::AssumedRole { role_arn, session } => {
            let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
            format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
        }
    }
}

/// The unique id of a role that IAM does not have, in AWS's form: always the same for one role.
fn role_id(role_arn: &str) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(role_arn);
    let digits = digest.iter().take(17).map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    format!("AROA{}", digits.collect::<String>())
}

/// `2025-01-31T12:00:00Z`
fn date(epoch_ms: u64) -> String {
    let seconds = i64::try_from(epoch_ms / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |date| date.to_string())
}

#[cfg(test)]
mod tests;
