//! Freeze and thaw, scale-out, limits, retirement, expiry, shutdown.

use std::sync::Arc;
use std::time::Duration;

use nilas_engine::{EnvironmentState, InvokeError, ThrottleReason};
use nilas_model::RuntimeKind;
use nilas_sandbox::Exit;
use nilas_sandbox::fake::ControlCall;

use crate::harness::{Bench, Runtime, invocation, text, within};

/// A warm environment of the Node function.
async fn warm(bench: &Bench) -> Runtime {
    let answer = bench.invoke(&bench.node(), invocation("0"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("0").await;
    within(answer).await.unwrap().unwrap();
    runtime
}

async fn gone(bench: &Bench) {
    within(async {
        while !bench.engine.environments().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(bench.sandbox.live(), 0);
}

#[tokio::test]
async fn freezes_when_idle_and_thaws_for_the_next() {
    let bench = Bench::new();
    let mut runtime = warm(&bench).await;
    within(runtime.process.called(ControlCall::Freeze, 1)).await;
    let status = &bench.engine.environments()[0];
    assert_eq!(status.state, EnvironmentState::Frozen);
    assert_eq!(status.invocations, 1);
    let answer = bench.invoke(&bench.node(), invocation("1"));
    runtime.next().await;
    assert_eq!(bench.engine.environments()[0].state, EnvironmentState::Leased);
    let calls = runtime.process.calls();
    let freezes = calls.iter().filter(|call| **call == ControlCall::Freeze).count();
    let thaws = calls.iter().filter(|call| **call == ControlCall::Thaw).count();
    assert_eq!((freezes, thaws), (1, 1));
    runtime.respond("1").await;
    within(answer).await.unwrap().unwrap();
    within(runtime.process.called(ControlCall::Freeze, 2)).await;
}

#[tokio::test]
async fn a_busy_environment_is_never_frozen() {
    let bench = Bench::with(|config| config.freeze_after_ms = 10_000);
    let mut runtime = warm(&bench).await;
    for _ in 0..20 {
        let answer = bench.invoke(&bench.node(), invocation("1"));
        runtime.next().await;
        runtime.respond("1").await;
        within(answer).await.unwrap().unwrap();
    }
    assert!(!runtime.process.calls().contains(&ControlCall::Freeze));
    assert_eq!(bench.sandbox.live(), 1);
}

#[tokio::test]
async fn scales_out_when_all_are_busy() {
    let bench = Bench::new();
    let snapshot = bench.node();
    let answers: Vec<_> = (0..5).map(|_| bench.invoke(&snapshot, invocation("1"))).collect();
    let mut runtimes = Vec::new();
    for _ in 0..5 {
        let mut runtime = bench.runtime().await;
        runtime.ready().await;
        runtime.next().await;
        runtimes.push(runtime);
    }
    assert_eq!(bench.engine.environments().len(), 5);
    for runtime in &mut runtimes {
        runtime.respond("1").await;
    }
    for answer in answers {
        within(answer).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn throttles_over_the_account_concurrency() {
    let bench = Bench::with(|config| config.account_concurrency = 1);
    let first = bench.invoke(&bench.node(), invocation("1"));
    let mut runtime = bench.runtime().await;
    let second = within(bench.invoke(&bench.node(), invocation("2"))).await.unwrap();
    let reason = ThrottleReason::ConcurrentInvocationLimitExceeded;
    assert!(matches!(second, Err(InvokeError::Throttled { reason: r }) if r == reason));
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    within(first).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_generation_retires_the_old_one() {
    let bench = Bench::new();
    let old = warm(&bench).await;
    let mut snapshot = bench.snapshot(RuntimeKind::Node);
    snapshot.generation = 2;
    bench.engine.retire(&snapshot.key(), 2);
    within(old.process.called(ControlCall::Kill, 1)).await;
    let answer = bench.invoke(&Arc::new(snapshot), invocation("1"));
    let mut fresh = bench.runtime().await;
    fresh.ready().await;
    fresh.next().await;
    fresh.respond("\"new\"").await;
    assert_eq!(text(&within(answer).await.unwrap().unwrap()), "\"new\"");
    assert_eq!(bench.sandbox.live(), 1);
}

#[tokio::test]
async fn a_busy_environment_retires_after_its_invocation() {
    let bench = Bench::new();
    let answer = bench.invoke(&bench.node(), invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    bench.engine.retire(&bench.node().key(), 2);
    runtime.respond("\"done\"").await;
    assert_eq!(text(&within(answer).await.unwrap().unwrap()), "\"done\"");
    gone(&bench).await;
}

#[tokio::test]
async fn ends_what_is_idle_too_long() {
    let bench = Bench::with(|config| config.idle_ms_max = 40);
    let _runtime = warm(&bench).await;
    gone(&bench).await;
}

#[tokio::test]
async fn an_environment_that_died_idle_costs_no_invocation() {
    let bench = Bench::new();
    let runtime = warm(&bench).await;
    runtime.process.exit(Exit { code: Some(0), signal: None, out_of_memory: false });
    let answer = bench.invoke(&bench.node(), invocation("1"));
    let mut fresh = bench.runtime().await;
    fresh.ready().await;
    fresh.next().await;
    fresh.respond("1").await;
    let outcome = within(answer).await.unwrap().unwrap();
    assert_eq!(outcome.error, None);
}

#[tokio::test]
async fn the_function_runs_on_when_its_caller_goes_away() {
    let bench = Bench::new();
    let mut runtime = warm(&bench).await;
    let caller = bench.invoke(&bench.node(), invocation("1"));
    runtime.next().await;
    caller.abort();
    runtime.respond("1").await;
    let answer = bench.invoke(&bench.node(), invocation("2"));
    let second = tokio::select! {
        (_, event) = runtime.next() => Some(event),
        _ = bench.runtime() => None,
    };
    if second.is_some() {
        runtime.respond("2").await;
        within(answer).await.unwrap().unwrap();
    }
    assert!(bench.engine.environments().iter().any(|status| status.invocations >= 2));
}

#[tokio::test]
async fn shutdown_waits_for_what_runs_and_refuses_what_comes() {
    let bench = Bench::new();
    let running = bench.invoke(&bench.node(), invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown(Duration::from_secs(10)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let refused = within(bench.invoke(&bench.node(), invocation("2"))).await.unwrap();
    assert!(matches!(refused, Err(InvokeError::ShuttingDown)));
    runtime.respond("1").await;
    assert_eq!(text(&within(running).await.unwrap().unwrap()), "1");
    within(shutdown).await.unwrap();
    gone(&bench).await;
}

#[tokio::test]
async fn shutdown_ends_what_does_not_finish() {
    let bench = Bench::new();
    let running = bench.invoke(&bench.node(), invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    within(bench.engine.shutdown(Duration::from_millis(30))).await;
    let answer = within(running).await.unwrap();
    assert!(matches!(answer, Err(InvokeError::ShuttingDown)));
    gone(&bench).await;
}

#[tokio::test]
async fn an_interpreter_is_warmed_for_functions_that_can_be_forked() {
    let rows: [(RuntimeKind, &[&str], usize); 6] = [
        (RuntimeKind::Node, &["STAGE", "NODE_ENV", "TZ"], 1),
        (RuntimeKind::Python, &["STAGE"], 1),
        (RuntimeKind::Node, &["NODE_OPTIONS"], 0),
        (RuntimeKind::Python, &["PYTHONPATH"], 0),
        (RuntimeKind::Node, &["LD_PRELOAD"], 0),
        (RuntimeKind::Custom, &[], 0),
    ];
    for (kind, variables, warmed) in rows {
        let bench = Bench::new();
        let mut snapshot = bench.snapshot(kind);
        let named = |name: &&str| ((*name).to_owned(), "value".to_owned());
        snapshot.environment = variables.iter().map(named).collect();
        bench.engine.expect(&snapshot);
        assert_eq!(bench.sandbox.warmed().len(), warmed, "{kind:?} {variables:?}");
    }
    let bench = Bench::with(|config| config.zygotes = false);
    bench.engine.expect(&bench.node());
    assert_eq!(bench.sandbox.warmed(), []);
}
