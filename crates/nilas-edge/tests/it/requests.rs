//! What single requests come to: who gets in, and what the others are told.

use expect_test::{Expect, expect};
use http::Method;
use nilas_edge::EdgeConfig;
use nilas_model::{AccountId, CredentialIssuer as _, Origin, Principal};
use nilas_wire::sigv4::{ClientKey, Signer};

use crate::server::{Request, Server, status_and_body};

const INVOKE: &str = "/2015-03-31/functions/f%3Alive/invocations?Qualifier=%24LATEST";

fn check(answer: &str, expected: Expect) {
    let (status, body) = status_and_body(answer);
    let body = body.split("<RequestId>").next().unwrap().trim_end();
    expected.assert_eq(&format!("{status} {body}"));
    let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(head.contains("\r\nx-amzn-requestid: "), "{head}");
    assert!(!head.contains("access-control"), "no CORS: {head}");
}

#[tokio::test]
async fn a_signed_request_reaches_its_service() {
    let server = Server::start().await;
    check(
        &server.call(Request::lambda(INVOKE).body("{}")).await,
        expect![
            "200 Lambda Root eu-central-1 POST /2015-03-31/functions/f%3Alive/invocations Qualifier=%24LATEST http {}"
        ],
    );
    check(
        &server.call(Request::new("s3", Method::GET, "/b/a%20b")).await,
        expect!["200 S3 Root eu-central-1 GET /b/a%20b  http"],
    );
    check(
        &server.call(Request::new("sts", Method::POST, "/").body("Action=GetCallerIdentity")).await,
        expect!["200 Sts Root eu-central-1 POST /  http Action=GetCallerIdentity"],
    );
    check(
        &server.call(Request::new("logs", Method::POST, "/").body("{}")).await,
        expect!["200 Logs Root eu-central-1 POST /  http {}"],
    );
}

#[tokio::test]
async fn the_root_key_and_session_credentials_open_any_entrance() {
    for origin in [Origin::Loopback, Origin::Network, Origin::Environment] {
        let server = Server::start_with(EdgeConfig::default(), origin, None).await;
        let root = server.identity.root_key().clone();
        let mut request = Request::lambda(INVOKE);
        request.key = (root.access_key_id, root.secret_access_key, None);
        assert!(server.call(request).await.contains("Lambda Root"));
        let account = AccountId::parse("000000000000").unwrap();
        let role_arn = "arn:aws:iam::000000000000:role/r".to_owned();
        let principal = Principal::Role { role_arn, session: "f".to_owned() };
        let issued = server.identity.issue(&account, &principal, 60_000);
        let mut request = Request::lambda(INVOKE);
        request.key = (issued.access_key_id, issued.secret_access_key, Some(issued.session_token));
        assert!(
            server
                .call(request.clone())
                .await
                .contains("Lambda Role { role_arn: \"arn:aws:iam::000000000000:role/r\"")
        );
        request.key.2 = None;
        assert!(server.call(request).await.contains("UnrecognizedClientException"));
        assert_eq!(
            server.call(Request::lambda(INVOKE)).await.contains("200 OK"),
            origin == Origin::Loopback
        );
    }
}

#[tokio::test]
async fn a_web_page_cannot_use_the_known_pair() {
    let server = Server::start().await;
    let refused = [
        Request::lambda(INVOKE).header("host", "evil.example:4566"),
        Request::lambda(INVOKE).header("origin", "https://evil.example"),
        Request::lambda(INVOKE).header("sec-fetch-site", "cross-site"),
    ];
    for request in refused {
        let answer = server.call(request).await;
        assert!(answer.contains("UnrecognizedClientException"), "{answer}");
    }
    check(&server.raw("OPTIONS /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\nconnection: close\r\n\r\n").await, expect![[r#"403 {"message":"Missing Authentication Token"}"#]]);
}

#[tokio::test]
async fn refusals_are_awss() {
    let server = Server::start().await;
    check(
        &server
            .raw("GET /2015-03-31/functions HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .await,
        expect![[r#"403 {"message":"Missing Authentication Token"}"#]],
    );
    let mut wrong = Request::lambda(INVOKE);
    wrong.key.1 = "wrong".to_owned();
    check(
        &server.call(wrong).await,
        expect![[
            r#"403 {"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#
        ]],
    );
    let mut unknown = Request::new("logs", Method::POST, "/");
    unknown.key.0 = "AKIAIOSFODNN7EXAMPLE".to_owned();
    check(
        &server.call(unknown.clone()).await,
        expect![[
            r#"400 {"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#
        ]],
    );
    unknown.service = "sts";
    check(
        &server.call(unknown.clone()).await,
        expect![[r#"
        403 <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <Error>
            <Type>Sender</Type>
            <Code>InvalidClientTokenId</Code>
            <Message>The security token included in the request is invalid.</Message>
          </Error>"#]],
    );
    unknown.service = "s3";
    check(
        &server.call(unknown).await,
        expect![[r#"
        403 <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist in our records.</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId>"#]],
    );
}

#[tokio::test]
async fn the_clients_clock_matters() {
    let server = Server::start_at(1_440_938_160_000).await;
    let mut request = Request::lambda(INVOKE);
    request.ahead_s = -301;
    check(
        &server.call(request.clone()).await,
        expect![[
            r#"403 {"message":"Signature expired: 20150830T123059Z is now earlier than 20150830T123100Z (20150830T123600Z - 5 min.)"}"#
        ]],
    );
    request.ahead_s = 301;
    check(
        &server.call(request.clone()).await,
        expect![[
            r#"403 {"message":"Signature not yet current: 20150830T124101Z is still later than 20150830T124100Z (20150830T123600Z + 5 min.)"}"#
        ]],
    );
    request.ahead_s = 300;
    assert!(server.call(request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn unknown_services_are_refused_in_their_shape() {
    let server = Server::start().await;
    let target = Request::new("dynamodb", Method::POST, "/")
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .header("content-type", "application/x-amz-json-1.0");
    check(
        &server.call(target).await,
        expect![[
            r#"400 {"__type":"UnknownOperationException","message":"nilas does not have the service 'dynamodb'."}"#
        ]],
    );
    let form = Request::new("redshift", Method::POST, "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    check(
        &server.call(form.body("Action=DescribeClusters")).await,
        expect![[r#"
        400 <ErrorResponse>
          <Error>
            <Type>Sender</Type>
            <Code>InvalidAction</Code>
            <Message>nilas does not have the service 'redshift'.</Message>
          </Error>"#]],
    );
    check(
        &server.call(Request::new("appsync", Method::GET, "/v1/apis")).await,
        expect![[r#"404 {"message":"nilas does not have the service 'appsync'."}"#]],
    );
    check(
        &server.raw("GET /nothing HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await,
        expect![[r#"403 {"message":"Missing Authentication Token"}"#]],
    );
}

#[tokio::test]
async fn presigned_urls_work_until_they_expire() {
    let signed_ms = 1_440_938_160_000;
    let key = ClientKey { access_key_id: "test", secret_access_key: "test", session_token: None };
    let signer = Signer { key, region: "us-east-1", service: "s3", now_ms: signed_ms };
    for (later_s, expected) in [
        (60, expect!["200 S3 Root us-east-1 GET /b/k QUERY http"]),
        (
            61,
            expect![[r#"
        403 <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires><Expires>2015-08-30T12:37:00Z</Expires><ServerTime>2015-08-30T12:37:01Z</ServerTime>"#]],
        ),
    ] {
        let server = Server::start_at(signed_ms + later_s * 1_000).await;
        let host = server.address.to_string();
        let query = signer.presign(&Method::GET, &host, "/b/k", "versionId=1", 60).unwrap();
        let answer = server
            .raw(format!("GET /b/k?{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
            .await;
        check(&answer.replace(&query, "QUERY"), expected);
    }
}

#[tokio::test]
async fn health_needs_no_key() {
    let server = Server::start().await;
    for path in ["/health", "/_localstack/health", "/"] {
        let answer = server
            .raw(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = server
        .raw("GET /_localstack/health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.contains(r#""lambda":"running""#), "{answer}");
    let head = server.raw("HEAD /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let (_, body) = status_and_body(&head);
    assert!(
        head.contains("content-length: ") && !head.contains("content-length: 0") && body.is_empty(),
        "{head}"
    );
    // Signed, it is the operation of a service: S3's ListBuckets is `GET /`.
    let list = server.call(Request::new("s3", Method::GET, "/")).await;
    assert!(list.contains("S3 Root"), "{list}");
}

#[tokio::test]
async fn a_panic_is_one_error_and_no_more() {
    let server = Server::start().await;
    check(
        &server.call(Request::lambda("/2015-03-31/panic")).await,
        expect![[r#"500 {"message":"An error occurred and the request cannot be processed."}"#]],
    );
    assert!(server.call(Request::lambda(INVOKE)).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn users_apis_are_open_to_everybody_and_told_who_signed() {
    let server = Server::start().await;
    let raw = async |target: &str, host: &str| {
        let page = "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n";
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{page}connection: close\r\n\r\n");
        server.raw(request).await
    };
    check(
        &raw("/dev/a%20b?x=1", "abc.execute-api.us-east-1.localhost:4566").await,
        expect![[
            r#"200 Api { id: "abc", place: Path("/dev/a%20b") } 127.0.0.1 HTTP/1.1 0 Missing Authentication Token"#
        ]],
    );
    check(
        &raw("/x", "api.example.com").await,
        expect![[
            r#"200 Domain { host: "api.example.com", path: "/x" } 127.0.0.1 HTTP/1.1 0 Missing Authentication Token"#
        ]],
    );
    check(
        &raw("/x", "other.example.com").await,
        expect![[r#"403 {"message":"Missing Authentication Token"}"#]],
    );
    let signed = |service| Request::new(service, Method::POST, "/_aws/execute-api/abc/dev");
    check(
        &server.call(signed("execute-api").body("four")).await,
        expect![[r#"200 Api { id: "abc", place: Path("/dev") } 127.0.0.1 HTTP/1.1 4 Root"#]],
    );
    let mut wrong = signed("execute-api");
    wrong.key.0 = "nobody".to_owned();
    check(
        &server.call(wrong).await,
        expect![[
            r#"200 Api { id: "abc", place: Path("/dev") } 127.0.0.1 HTTP/1.1 0 The security token included in the request is invalid."#
        ]],
    );
    let s3 = server.call(signed("s3")).await;
    assert!(s3.contains("S3 Root"), "{s3}");
}

#[tokio::test]
async fn a_users_api_takes_ten_megabytes() {
    let server = Server::start().await;
    let request = |bytes| {
        Request::new("execute-api", Method::POST, "/_aws/execute-api/abc/dev")
            .body(vec![b'x'; bytes])
    };
    let largest = server.call(request(10_485_760)).await;
    assert!(largest.contains("10485760 Root"), "{largest}");
    check(
        &server.call(request(10_485_761)).await,
        expect![[r#"413 {"message":"Request Too Long"}"#]],
    );
}
