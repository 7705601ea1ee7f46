//! Security Token Service (query protocol): who am I.

use std::borrow::Cow;

use http::StatusCode;
use nilas_model::{AuthContext, Principal};
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service, encode_fault, percent};
use sha2::{Digest, Sha256};

const VERSION: &str = "2011-06-15";
/// Operations that AWS has and nilas does not have yet.
const OPERATIONS_TO_COME: &[&str] = &[
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetFederationToken",
    "GetSessionToken",
];

/// Answers one request, errors included.
pub(crate) fn handle(auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
    match action(request).as_deref() {
        Some("GetCallerIdentity") => get_caller_identity(auth, request),
        action => encode_fault(Service::Sts.protocol(), &refuse(action), &request.request_id),
    }
}

/// `Action` out of the form in the body, or out of the query string of a GET.
fn action(request: &ApiRequest) -> Option<String> {
    let form = std::str::from_utf8(&request.body).unwrap_or_default();
    let action = percent::query_value(form, "Action")
        .or_else(|| percent::query_value(&request.query, "Action"));
    action.map(Cow::into_owned)
}

fn refuse(action: Option<&str>) -> Fault {
    match action {
        None => Fault::plain("MissingAction", 400, "Could not find operation in the request."),
        Some(action) if OPERATIONS_TO_COME.contains(&action) => Fault::plain(
            "NotImplemented",
            501,
            format!("nilas does not support the STS operation {action} yet."),
        ),
        Some(action) => Fault::plain(
            "InvalidAction",
            400,
            format!("Could not find operation {action} for version {VERSION}"),
        ),
    }
}

fn get_caller_identity(auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
    let account = auth.account.as_str();
    let user_id = caller_id(auth);
    // Roles and sessions are named by callers.
    let (arn, user_id) = (escape(&caller_arn(auth)), escape(&user_id));
    let request_id = request.request_id;
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>{user_id}</UserId>
    <Account>{account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"
    );
    ApiResponse::with_body(StatusCode::OK, "text/xml", body)
}

/// `UserId` of who calls.
pub(crate) fn caller_id(auth: &AuthContext) -> String {
    match &auth.principal {
        Principal::Root => auth.account.as_str().to_owned(),
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Role { role_arn, session } => format!("{}:{session}", role_id(role_arn)),
    }
}

/// Who calls, as AWS's answers name him.
pub(crate) fn caller_arn(auth: &AuthContext) -> String {
    let account = auth.account.as_str();
    match &auth.principal {
        Principal::Root => format!("arn:aws:iam::{account}:root"),
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Role { role_arn, session } => {
            let role = role_arn.rsplit('/').next().unwrap_or(role_arn);
            format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
        }
    }
}

/// A role's unique id, in AWS's form: always the same for one role.
fn role_id(role_arn: &str) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(role_arn);
    let digits = digest.iter().take(17).map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    format!("AROA{}", digits.collect::<String>())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use http::{HeaderMap, Method};
    use nilas_model::{AccountId, Origin, Region, RequestId};

    use super::*;

    fn check(principal: Principal, body: &'static str, expected: Expect) {
        let auth = AuthContext {
            account: AccountId::parse("000000000000").unwrap(),
            region: Region::parse("us-east-1").unwrap(),
            principal,
            access_key_id: "test".to_owned(),
            origin: Origin::Loopback,
        };
        let request = ApiRequest {
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            request_id: RequestId::parse("7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2").unwrap(),
            local: ([127, 0, 0, 1], 4566).into(),
        };
        let response = handle(&auth, &request);
        let body = String::from_utf8(response.body.to_vec()).unwrap();
        expected.assert_eq(&format!("{}\n{body}", response.status.as_u16()));
    }

    const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

    #[test]
    fn tells_root_who_it_is() {
        check(
            Principal::Root,
            IDENTITY,
            expect![[r#"
            200
            <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <GetCallerIdentityResult>
                <Arn>arn:aws:iam::000000000000:root</Arn>
                <UserId>000000000000</UserId>
                <Account>000000000000</Account>
              </GetCallerIdentityResult>
              <ResponseMetadata>
                <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
              </ResponseMetadata>
            </GetCallerIdentityResponse>
        "#]],
        );
    }

    #[test]
    fn tells_a_function_which_role_it_has() {
        let role_arn = "arn:aws:iam::000000000000:role/service-role/f-role".to_owned();
        check(
            Principal::Role { role_arn, session: "f&<1>".to_owned() },
            IDENTITY,
            expect![[r#"
            200
            <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <GetCallerIdentityResult>
                <Arn>arn:aws:sts::000000000000:assumed-role/f-role/f&amp;&lt;1&gt;</Arn>
                <UserId>AROAY4QIJBFZDQFYOOYWJ:f&amp;&lt;1&gt;</UserId>
                <Account>000000000000</Account>
              </GetCallerIdentityResult>
              <ResponseMetadata>
                <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
              </ResponseMetadata>
            </GetCallerIdentityResponse>
        "#]],
        );
    }

    #[test]
    fn says_what_it_does_not_do() {
        check(
            Principal::Root,
            "Action=AssumeRole&Version=2011-06-15",
            expect![[r#"
            501
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Receiver</Type>
                <Code>NotImplemented</Code>
                <Message>nilas does not support the STS operation AssumeRole yet.</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        );
        check(
            Principal::Root,
            "Action=Dance",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>InvalidAction</Code>
                <Message>Could not find operation Dance for version 2011-06-15</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        );
        check(
            Principal::Root,
            "",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>MissingAction</Code>
                <Message>Could not find operation in the request.</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        );
    }
}
