//! The HTTP Runtime API of custom runtimes, spoken by hand: order, limits, headers.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use nilas_engine::Invocation;
use nilas_model::{Outcome, RuntimeKind, VersionSnapshot};
use nilas_sandbox::fake::{ControlCall, FakeProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Bench, REQUEST_ID, invocation, text, within};

/// A started custom runtime's process and its connection to the Runtime API.
struct Client {
    process: FakeProcess,
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    body: String,
}

impl Client {
    async fn started(bench: &Bench) -> Self {
        Self { process: within(bench.sandbox.next_started()).await }
    }

    async fn connect(&self) -> TcpStream {
        // The first listener is the AWS endpoint, the second the Runtime API.
        TcpStream::connect(self.process.listeners[1]).await.unwrap()
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> http::Response<bytes::Bytes> {
        within(async {
            let io = TokioIo::new(self.connect().await);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let mut request = http::Request::builder()
                .method(method)
                .uri(format!("/2018-06-01/{path}"))
                .header("host", "127.0.0.1:9001");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Full::new(bytes::Bytes::from(body))).unwrap();
            let response = sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            http::Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
        })
        .await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        self.post_with(path, &[], body.as_bytes().to_vec()).await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        reply(&self.call("POST", path, headers, body).await)
    }

    async fn next(&self) -> http::Response<bytes::Bytes> {
        self.call("GET", "runtime/invocation/next", &[], Vec::new()).await
    }
}

fn reply(response: &http::Response<bytes::Bytes>) -> Reply {
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    Reply { status: response.status().as_u16(), body: body.trim_end().to_owned() }
}

fn refused(status: u16, error_type: &str, message: &str) -> Reply {
    Reply { status, body: format!(r#"{{"errorMessage":"{message}","errorType":"{error_type}"}}"#) }
}

fn out_of_order(from: &str, to: &str) -> Reply {
    let message = format!(
        "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
    );
    refused(403, "InvalidStateTransition", &message)
}

fn ok() -> Reply {
    Reply { status: 202, body: r#"{"status":"OK"}"#.to_owned() }
}

fn custom(bench: &Bench) -> Arc<VersionSnapshot> {
    Arc::new(bench.snapshot(RuntimeKind::Custom))
}

fn path(verb: &str) -> String {
    format!("runtime/invocation/{REQUEST_ID}/{verb}")
}

/// One invocation whose answer `play` gives, after next.
async fn answered(play: impl AsyncFnOnce(&Client)) -> Outcome {
    let bench = Bench::new();
    let answer = bench.invoke(&custom(&bench), invocation("{}"));
    let client = Client::started(&bench).await;
    client.next().await;
    play(&client).await;
    within(answer).await.unwrap().unwrap()
}

#[tokio::test]
async fn serves_invocations_with_every_header() {
    let bench = Bench::new();
    let snapshot = custom(&bench);
    let first = Invocation {
        client_context: Some("{\"client\":{}}".to_owned()),
        cognito_identity: Some("{\"cognitoIdentityId\":\"a\"}".to_owned()),
        trace_id: Some("Root=1-2-3".to_owned()),
        ..invocation("{\"n\":1}")
    };
    let answer = bench.invoke(&snapshot, first);
    let client = Client::started(&bench).await;
    let event = client.next().await;
    let header = |name: &str| event.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(event.status(), 200);
    assert_eq!(event.body(), "{\"n\":1}");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("lambda-runtime-aws-request-id"), REQUEST_ID);
    assert!(header("lambda-runtime-deadline-ms").parse::<u64>().unwrap() > 1_600_000_000_000);
    assert!(header("lambda-runtime-invoked-function-arn").ends_with(":function:hello"));
    assert_eq!(header("lambda-runtime-trace-id"), "Root=1-2-3");
    assert_eq!(header("lambda-runtime-client-context"), "{\"client\":{}}");
    assert_eq!(header("lambda-runtime-cognito-identity"), "{\"cognitoIdentityId\":\"a\"}");
    assert_eq!(client.post(&path("response"), "\"one\"").await, ok());
    assert_eq!(text(&within(answer).await.unwrap().unwrap()), "\"one\"");

    let second = bench.invoke(&snapshot, invocation("2"));
    let event = client.next().await;
    assert_eq!(event.body(), "2");
    assert!(!event.headers().contains_key("lambda-runtime-client-context"));
    assert_eq!(client.post(&path("response"), "\"two\"").await, ok());
    assert_eq!(text(&within(second).await.unwrap().unwrap()), "\"two\"");
    assert_eq!(bench.sandbox.live(), 1);
}

#[tokio::test]
async fn freezes_only_once_the_runtime_waits_in_next() {
    let bench = Bench::new();
    let answer = bench.invoke(&custom(&bench), invocation("1"));
    let client = Client::started(&bench).await;
    client.next().await;
    client.post(&path("response"), "1").await;
    within(answer).await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    assert!(!client.process.calls().contains(&ControlCall::Freeze));
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), client.next()).await;
    assert!(waiting.is_err(), "next answers only with an invocation");
    within(client.process.called(ControlCall::Freeze, 1)).await;
}

#[tokio::test]
async fn an_error_passes_with_its_type() {
    let outcome = answered(async |client| {
        let body = br#"{"errorType":"Oops","errorMessage":"no"}"#.to_vec();
        let headers = [("lambda-runtime-function-error-type", "Runtime.Oops")];
        assert_eq!(client.post_with(&path("error"), &headers, body).await, ok());
    })
    .await;
    assert!(outcome.error.is_some());
    assert_eq!(text(&outcome), r#"{"errorType":"Oops","errorMessage":"no"}"#);
}

#[tokio::test]
async fn calls_out_of_order_are_refused_and_change_nothing() {
    let bench = Bench::new();
    let answer = bench.invoke(&custom(&bench), invocation("1"));
    let client = Client::started(&bench).await;
    let invalid_id = refused(400, "InvalidRequestID", "Invalid request ID");
    assert_eq!(client.post(&path("response"), "early").await, invalid_id);
    assert_eq!(client.post("runtime/invocation/nonsense/error", "{}").await, invalid_id);
    client.next().await;
    assert_eq!(client.next().await.body(), "1", "the same event again");
    let other = "runtime/invocation/00000000-0000-4000-8000-000000000002/response";
    assert_eq!(client.post(other, "x").await, invalid_id);
    assert_eq!(client.post("runtime/init/error", "{}").await, out_of_order("Running", "InitError"));
    let mode = [("lambda-runtime-function-response-mode", "sideways")];
    let wrong_mode = refused(400, "InvalidFunctionResponseMode", "Invalid function response mode");
    assert_eq!(client.post_with(&path("response"), &mode, Vec::new()).await, wrong_mode);
    assert_eq!(client.post(&path("response"), "\"right\"").await, ok());
    let sent = "RuntimeResponseSentState";
    assert_eq!(
        client.post(&path("response"), "\"again\"").await,
        out_of_order(sent, "InvocationResponse")
    );
    assert_eq!(
        client.post(&path("error"), "{}").await,
        out_of_order(sent, "InvocationErrorResponse")
    );
    assert_eq!(text(&within(answer).await.unwrap().unwrap()), "\"right\"");
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let bench = Bench::new();
    let _answer = bench.invoke(&custom(&bench), invocation("1"));
    let client = Client::started(&bench).await;
    let check = async |method: &str, path: &str, status: u16, body: &str| {
        let response = client.call(method, path, &[], Vec::new()).await;
        assert_eq!(reply(&response), Reply { status, body: body.to_owned() }, "{method} {path}");
    };
    check("GET", "runtime/nothing", 404, "404 page not found").await;
    check("GET", "runtime/restore/next", 404, "404 page not found").await;
    check("POST", "runtime/restore/error", 404, "404 page not found").await;
    check("POST", "runtime/invocation/next", 405, "").await;
    check("GET", "ping", 200, "pong").await;
}

#[tokio::test]
async fn a_response_over_the_limit_is_refused_and_reported() {
    let outcome = answered(async |client| {
        let body = vec![b'x'; 6_291_557];
        assert_eq!(
            client.post_with(&path("response"), &[], body).await,
            refused(
                413,
                "RequestEntityTooLarge",
                "Exceeded maximum allowed payload size (6291556 bytes)."
            )
        );
    })
    .await;
    assert_eq!(
        text(&outcome),
        r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#
    );
}

#[tokio::test]
async fn streamed_responses_are_collected_and_may_end_in_an_error() {
    let head = format!(
        "POST /2018-06-01/{} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\n\
         Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n",
        path("response")
    );
    let play = |end: &'static str| {
        let head = head.clone();
        answered(async move |client| {
            let mut stream = client.connect().await;
            stream
                .write_all(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n{end}\r\n").as_bytes())
                .await
                .unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 202");
        })
    };
    assert_eq!(text(&play("").await), "abcde");
    // base64 of {"errorType":"X"}
    let trailers = "Lambda-Runtime-Function-Error-Type: X\r\n\
                    Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJYIn0=\r\n";
    let outcome = play(trailers).await;
    assert!(outcome.error.is_some());
    assert_eq!(text(&outcome), r#"{"errorType":"X"}"#);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error() {
    let outcome = answered(async |client| {
        let mut stream = client.connect().await;
        let head = format!(
            "POST /2018-06-01/{} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
            path("response")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    })
    .await;
    assert_eq!(
        text(&outcome),
        r#"{"errorType":"Runtime.TruncatedResponse","errorMessage":"RequestId: ID Error: Response was truncated"}"#
    );
}

#[tokio::test]
async fn an_init_error_is_answered_after_the_second_try() {
    let bench = Bench::new();
    let answer = bench.invoke(&custom(&bench), invocation("1"));
    for _ in 0..2 {
        let client = Client::started(&bench).await;
        let headers = [("lambda-runtime-function-error-type", "Runtime.NoSuchHandler")];
        let body = br#"{"errorType":"NoSuchHandler","errorMessage":"none"}"#.to_vec();
        assert_eq!(client.post_with("runtime/init/error", &headers, body).await, ok());
        within(client.process.called(ControlCall::Kill, 1)).await;
    }
    let outcome = within(answer).await.unwrap().unwrap();
    assert_eq!(text(&outcome), r#"{"errorType":"NoSuchHandler","errorMessage":"none"}"#);
    assert!(bench.log(6).await.contains("Error Type: Runtime.NoSuchHandler"));
}

#[tokio::test]
async fn garbage_and_idle_connections_do_not_stop_the_runtime() {
    let outcome = answered(async |client| {
        let mut idle = Vec::new();
        for _ in 0..60 {
            idle.push(client.connect().await);
        }
        let mut garbage = client.connect().await;
        garbage.write_all(b"\x16\x03\x01 not http at all\r\n\r\n").await.unwrap();
        let mut huge = client.connect().await;
        let flood = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 200_000]].concat();
        drop(huge.write_all(&flood).await);
        assert_eq!(client.post(&path("response"), "\"fine\"").await, ok());
    })
    .await;
    assert_eq!(text(&outcome), "\"fine\"");
}
