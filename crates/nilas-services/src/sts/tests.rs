//! What STS answers, to whom.

use bytes::Bytes;
use expect_test::{Expect, expect};
use http::{HeaderMap, Method};
use nilas_model::{
    AccountId, AuthContext, CredentialIssuer, Origin, Principal, Region, RequestId,
    SessionCredentials,
};
use nilas_wire::ApiRequest;

use super::Sts;
use crate::calls::Calls;

#[derive(Debug)]
struct Issuer;

impl CredentialIssuer for Issuer {
    fn issue(&self, _: &AccountId, principal: &Principal, ttl_ms: u64) -> SessionCredentials {
        SessionCredentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: format!("{principal:?}"),
            expires_epoch_ms: 1_800_000_000_000 + ttl_ms,
        }
    }
}

async fn check(principal: Principal, body: &'static str, expected: Expect) {
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
        source_ip: [127, 0, 0, 1].into(),
    };
    let sts = Sts::new(Calls::default(), std::sync::Arc::new(Issuer));
    let response = sts.handle(&auth, &request).await;
    let body = String::from_utf8(response.body.to_vec()).unwrap();
    expected.assert_eq(&format!("{}\n{body}", response.status.as_u16()));
}

const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn tells_root_who_it_is() {
    check(
        Principal::Root,
        IDENTITY,
        expect![[r#"
            200
            <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId><Account>000000000000</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#]],
    )
    .await;
}

#[tokio::test]
async fn tells_a_function_which_role_it_has() {
    let role_arn = "arn:aws:iam::000000000000:role/service-role/f-role".to_owned();
    check(
        Principal::Role { role_arn, session: "f&<1>".to_owned() },
        IDENTITY,
        expect![[r#"
            200
            <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::000000000000:assumed-role/f-role/f&amp;&lt;1&gt;</Arn><UserId>AROAY4QIJBFZDQFYOOYWJ:f&amp;&lt;1&gt;</UserId><Account>000000000000</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#]],
    )
    .await;
}

#[tokio::test]
async fn says_what_it_does_not_do() {
    check(
        Principal::Root,
        "Action=GetFederationToken&Version=2011-06-15",
        expect![[r#"
            501
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Receiver</Type>
                <Code>NotImplemented</Code>
                <Message>nilas does not support the STS operation GetFederationToken.</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
    )
    .await;
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
    )
    .await;
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
    )
    .await;
}

#[tokio::test]
async fn root_gets_a_session_of_an_hour_at_most() {
    check(Principal::Root, "Action=GetSessionToken&DurationSeconds=7200", expect![[r#"
        200
        <GetSessionTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetSessionTokenResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>Root</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration></Credentials></GetSessionTokenResult><ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId></ResponseMetadata></GetSessionTokenResponse>"#]]).await;
    check(Principal::Root, "Action=GetSessionToken&DurationSeconds=1", expect![[r#"
        400
        <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <Error>
            <Type>Sender</Type>
            <Code>ValidationError</Code>
            <Message>1 validation error detected: Value '1' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900</Message>
          </Error>
          <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
        </ErrorResponse>
    "#]]).await;
    let role_arn = "arn:aws:iam::000000000000:role/r".to_owned();
    let assumed = Principal::AssumedRole { role_arn, session: "s".to_owned() };
    check(
        assumed,
        "Action=GetSessionToken",
        expect![[r#"
        403
        <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <Error>
            <Type>Sender</Type>
            <Code>AccessDenied</Code>
            <Message>Cannot call GetSessionToken with session credentials</Message>
          </Error>
          <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
        </ErrorResponse>
    "#]],
    )
    .await;
}

#[tokio::test]
async fn assume_role_says_what_is_wrong() {
    let role = "Action=AssumeRole&RoleArn=arn:aws:iam::111111111111:role/r";
    for (members, expected) in [
        (
            "&RoleSessionName=a",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ValidationError</Code>
                <Message>1 validation error detected: Value 'a' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
        (
            "&RoleSessionName=a%20b",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ValidationError</Code>
                <Message>1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
        (
            "",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ValidationError</Code>
                <Message>1 validation error detected: Value null at 'roleSessionName' failed to satisfy constraint: Member must not be null</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
        (
            "&RoleSessionName=ab&DurationSeconds=43201",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ValidationError</Code>
                <Message>1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
        (
            "&RoleSessionName=ab&Policy=x",
            expect![[r#"
            400
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>MalformedPolicyDocument</Code>
                <Message>Syntax errors in policy.</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
        (
            "&RoleSessionName=ab",
            expect![[r#"
            403
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>AccessDenied</Code>
                <Message>User: arn:aws:iam::000000000000:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111111111111:role/r</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        ),
    ] {
        check(Principal::Root, format!("{role}{members}").leak(), expected).await;
    }
}
