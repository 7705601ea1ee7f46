//! The init of a version that is published with SnapStart.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use nilas_engine::{InvokeError, SnapshotError};
use nilas_model::{RuntimeKind, Version, VersionSnapshot};
use nilas_sandbox::Exit;
use nilas_sandbox::fake::ControlCall;

use crate::harness::{Bench, within};

fn published(bench: &Bench) -> Arc<VersionSnapshot> {
    let snapshot = bench.snapshot(RuntimeKind::Node);
    Arc::new(VersionSnapshot { version: Version::Published(1), snap_start: true, ..snapshot })
}

#[tokio::test]
async fn initialises_and_is_no_environment_of_the_pool() {
    let bench = Bench::new();
    let version = published(&bench);
    let engine = bench.engine.clone();
    let made = tokio::spawn(async move { engine.make_snapshot(&version).await });
    let mut runtime = bench.runtime().await;
    assert!(bench.engine.environments().is_empty());
    runtime.ready().await;
    within(made).await.unwrap().unwrap();
    within(runtime.process.called(ControlCall::Kill, 1)).await;
}

#[tokio::test]
async fn tells_how_an_init_failed() {
    let bench = Bench::new();
    let version = published(&bench);
    let engine = bench.engine.clone();
    let made = tokio::spawn(async move { engine.make_snapshot(&version).await });
    let mut runtime = bench.runtime().await;
    runtime.init_error(r#"{"errorType":"TypeError","errorMessage":"no"}"#).await;
    let Err(SnapshotError::Init { error_type, message }) = within(made).await.unwrap() else {
        panic!("the init has failed");
    };
    assert_eq!(error_type, "TypeError");
    assert_eq!(message, r#"{"errorType":"TypeError","errorMessage":"no"}"#);
    expect![[r#"
        INIT_START Runtime Version: nodejs:20.v20.20.2	Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:N
        INIT_REPORT Init Duration: N ms	Phase: init	Status: error	Error Type: TypeError
    "#]]
    .assert_eq(&bench.log(2).await);
}

#[tokio::test]
async fn an_exit_is_the_functions_fault_but_not_the_servers_own_end() {
    let bench = Bench::new();
    let version = published(&bench);
    let engine = bench.engine.clone();
    let first = tokio::spawn({
        let (engine, version) = (engine.clone(), version.clone());
        async move { engine.make_snapshot(&version).await }
    });
    let runtime = bench.runtime().await;
    runtime.process.exit(Exit { code: Some(1), signal: None, out_of_memory: false });
    let failed = within(first).await.unwrap();
    assert!(
        matches!(failed, Err(SnapshotError::Init { ref error_type, .. }) if error_type == "Runtime.ExitError"),
        "{failed:?}"
    );
    let second = tokio::spawn(async move { engine.make_snapshot(&version).await });
    let _runtime = bench.runtime().await;
    bench.engine.shutdown(Duration::ZERO).await;
    let stopped = within(second).await.unwrap();
    assert!(
        matches!(stopped, Err(SnapshotError::Platform(InvokeError::ShuttingDown))),
        "{stopped:?}"
    );
}
