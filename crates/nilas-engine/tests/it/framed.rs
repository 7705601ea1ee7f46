//! The framed protocol of our bootstraps.

use std::sync::Arc;

use nilas_model::FunctionErrorKind;
use nilas_sandbox::Exit;

use crate::harness::{Bench, Runtime, frame, invocation, text, within};

#[tokio::test]
async fn answers_and_reuses_the_environment() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let first = bench.invoke(&snapshot, invocation("{\"n\":1}"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    let (header, event) = runtime.next().await;
    assert_eq!(event, "{\"n\":1}");
    assert_eq!(header["requestId"], crate::harness::REQUEST_ID);
    assert!(header["deadlineMs"].as_u64().unwrap() > 1_600_000_000_000);
    assert!(header.get("traceId").is_none());
    runtime.respond("\"one\"").await;
    let outcome = within(first).await.unwrap().unwrap();
    assert_eq!(text(&outcome), "\"one\"");
    assert_eq!(outcome.error, None);
    assert!(outcome.report.init_us.is_some());

    let second = bench.invoke(&snapshot, invocation("2"));
    assert_eq!(runtime.next().await.1, "2");
    runtime.respond("\"two\"").await;
    let outcome = within(second).await.unwrap().unwrap();
    assert_eq!(text(&outcome), "\"two\"");
    assert_eq!(outcome.report.init_us, None);
    assert_eq!(bench.sandbox.live(), 1);
}

#[tokio::test]
async fn a_handler_error_is_unhandled_and_the_environment_goes_on() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let error = r#"{"errorType":"Error","errorMessage":"no","trace":[]}"#;
    let first = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.fail(error).await;
    let outcome = within(first).await.unwrap().unwrap();
    assert_eq!(outcome.error, Some(FunctionErrorKind::Unhandled));
    assert_eq!(text(&outcome), error);
    let second = bench.invoke(&snapshot, invocation("2"));
    runtime.next().await;
    runtime.respond("null").await;
    assert_eq!(text(&within(second).await.unwrap().unwrap()), "null");
}

#[tokio::test]
async fn a_large_event_and_a_large_response_pass() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let mut big = invocation("");
    big.payload = bytes::Bytes::from(vec![b' '; 6_000_000]);
    let answer = bench.invoke(&snapshot, big);
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    assert_eq!(runtime.next().await.1.len(), 6_000_000);
    runtime.respond(&"x".repeat(6_291_556)).await;
    assert_eq!(within(answer).await.unwrap().unwrap().payload.len(), 6_291_556);
}

#[tokio::test]
async fn a_response_over_the_limit_is_an_error_and_the_environment_goes_on() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let first = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond(&"x".repeat(6_291_557)).await;
    let outcome = within(first).await.unwrap().unwrap();
    assert_eq!(
        text(&outcome),
        r#"{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}"#
    );
    let second = bench.invoke(&snapshot, invocation("2"));
    runtime.next().await;
    runtime.respond("2").await;
    assert_eq!(text(&within(second).await.unwrap().unwrap()), "2");
}

/// After `READY` and the first event the runtime writes `bytes`; the caller gets an exit error, and the next
/// invocation a fresh environment that works.
async fn check_violation(bytes: &[u8]) {
    let bench = Bench::new();
    let snapshot = bench.node();
    let first = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.write(bytes).await;
    let outcome = within(first).await.unwrap().unwrap();
    assert_eq!(
        text(&outcome),
        r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}"#
    );
    assert_eq!(bench.sandbox.live(), 0);
    works_afresh(&bench, &snapshot).await;
}

async fn works_afresh(bench: &Bench, snapshot: &Arc<nilas_model::VersionSnapshot>) {
    let next = bench.invoke(snapshot, invocation("2"));
    let mut fresh: Runtime = bench.runtime().await;
    fresh.ready().await;
    fresh.next().await;
    fresh.respond("2").await;
    assert_eq!(text(&within(next).await.unwrap().unwrap()), "2");
}

#[tokio::test]
async fn garbage_ends_only_the_environment_that_sent_it() {
    check_violation(b"GET / HTTP/1.1\r\n\r\n").await;
    check_violation(&[0, 0, 0, 0, 0]).await;
    check_violation(&frame(1, b"")).await;
    check_violation(&frame(2, b"00000000-0000-4000-8000-000000000002{}")).await;
    check_violation(&[0xff, 0xff, 0xff, 0x7f, 4, 0]).await;
}

#[tokio::test]
async fn a_response_nobody_asked_for_ends_the_environment() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let first = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    within(first).await.unwrap().unwrap();
    runtime.respond("1").await;
    within(async {
        while bench.sandbox.live() > 0 || !bench.engine.environments().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    works_afresh(&bench, &snapshot).await;
}

#[tokio::test]
async fn an_answer_before_the_exit_counts() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let answer = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("\"last words\"").await;
    runtime.process.exit(Exit { code: Some(1), signal: None, out_of_memory: false });
    assert_eq!(text(&within(answer).await.unwrap().unwrap()), "\"last words\"");
}
