//! Environments that are initialised ahead, and what is reserved, as the engine performs them.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use nilas_engine::{
    EnvironmentState, FunctionConcurrency, InvokeError, ProvisionFailure, ProvisionedStatus,
    ThrottleReason,
};
use nilas_model::VersionSnapshot;
use nilas_sandbox::Exit;
use nilas_sandbox::fake::ControlCall;

use crate::harness::{Bench, invocation, within};

fn provision(bench: &Bench, snapshot: &Arc<VersionSnapshot>, count: u32) {
    let provisioned = vec![(Arc::clone(snapshot), count)];
    let concurrency = FunctionConcurrency { reserved: None, provisioned };
    bench.engine.configure(&snapshot.function(), concurrency);
}

async fn status_is(bench: &Bench, snapshot: &VersionSnapshot, wanted: ProvisionedStatus) {
    within(async {
        while bench.engine.provisioned(&snapshot.key()) != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn allocated(allocated: u32) -> ProvisionedStatus {
    ProvisionedStatus { allocated, failure: None }
}

#[tokio::test]
async fn boots_ahead_freezes_and_serves_without_an_init() {
    let bench = Bench::new();
    let snapshot = bench.node();
    provision(&bench, &snapshot, 1);
    let mut runtime = bench.runtime().await;
    assert_eq!(runtime.env("AWS_LAMBDA_INITIALIZATION_TYPE"), Some("provisioned-concurrency"));
    runtime.ready().await;
    within(runtime.process.called(ControlCall::Freeze, 1)).await;
    assert_eq!(bench.engine.environments()[0].state, EnvironmentState::Frozen);
    status_is(&bench, &snapshot, allocated(1)).await;
    let answer = bench.invoke(&snapshot, invocation("1"));
    runtime.next().await;
    runtime.respond("1").await;
    within(answer).await.unwrap().unwrap();
    expect![[r#"
        INIT_START Runtime Version: nodejs:20.v20.20.2	Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:N
        START RequestId: ID Version: $LATEST
        END RequestId: ID
        REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	
    "#]]
    .assert_eq(&bench.log(4).await);
}

#[tokio::test]
async fn one_that_dies_is_replaced_and_none_is_left_when_none_is_wanted() {
    let bench = Bench::with(|config| config.idle_ms_max = 40);
    let snapshot = bench.node();
    provision(&bench, &snapshot, 1);
    let mut first = bench.runtime().await;
    first.ready().await;
    status_is(&bench, &snapshot, allocated(1)).await;
    first.process.exit(Exit { code: Some(1), signal: None, out_of_memory: false });
    let mut second = bench.runtime().await;
    second.ready().await;
    status_is(&bench, &snapshot, allocated(1)).await;
    // Longer than anything else would be kept.
    tokio::time::sleep(Duration::from_millis(120)).await;
    status_is(&bench, &snapshot, allocated(1)).await;
    bench.engine.configure(&snapshot.function(), FunctionConcurrency::default());
    within(second.process.called(ControlCall::Kill, 1)).await;
    assert_eq!(bench.engine.provisioned(&snapshot.key()), None);
}

#[tokio::test]
async fn a_failed_init_is_told() {
    let bench = Bench::new();
    let snapshot = bench.node();
    provision(&bench, &snapshot, 1);
    let mut runtime = bench.runtime().await;
    runtime.init_error(r#"{"errorType":"Error","errorMessage":"no"}"#).await;
    let failed = ProvisionedStatus { allocated: 0, failure: Some(ProvisionFailure::Init) };
    status_is(&bench, &snapshot, failed).await;
    let log = bench.log(2).await;
    assert!(log.contains("INIT_REPORT") && log.contains("Status: error"), "{log}");
}

#[tokio::test]
async fn a_reservation_reaches_the_pool() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let reserve = |reserved| {
        let concurrency = FunctionConcurrency { reserved, provisioned: Vec::new() };
        bench.engine.configure(&snapshot.function(), concurrency);
    };
    reserve(Some(0));
    let refused = within(bench.invoke(&snapshot, invocation("1"))).await.unwrap();
    let reason = ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert!(matches!(refused, Err(InvokeError::Throttled { reason: r }) if r == reason));
    reserve(None);
    let answer = bench.invoke(&snapshot, invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    within(answer).await.unwrap().unwrap();
}
