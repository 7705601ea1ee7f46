//! What goes wrong with a function, as its caller and its log see it.

use std::sync::Arc;

use expect_test::{Expect, expect};
use nilas_engine::InvokeError;
use nilas_model::RuntimeKind;
use nilas_sandbox::{Exit, StartError};

use crate::harness::{Bench, Runtime, invocation, tail, text, with_tail, within};

fn exit(code: Option<i32>, signal: Option<i32>, out_of_memory: bool) -> Exit {
    Exit { code, signal, out_of_memory }
}

/// The process ends so while it has the event.
async fn check_exit(exit: Exit, expected: &Expect) {
    let bench = Bench::new();
    let answer = bench.invoke(&bench.node(), with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.print("working\n");
    runtime.process.exit(exit);
    let outcome = within(answer).await.unwrap().unwrap();
    expected.assert_eq(&format!("{}\n{}", text(&outcome), tail(&outcome)));
}

#[tokio::test]
async fn a_process_that_exits() {
    check_exit(
        exit(Some(0), None, false),
        &expect![[r#"
            {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited without providing a reason"}
            START RequestId: ID Version: $LATEST
            working
            RequestId: ID Error: Runtime exited without providing a reason
            Runtime.ExitError
            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Init Duration: N ms	Status: error	Error Type: Runtime.ExitError
        "#]],
    )
    .await;
    check_exit(
        exit(Some(1), None, false),
        &expect![[r#"
            {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 1"}
            START RequestId: ID Version: $LATEST
            working
            RequestId: ID Error: Runtime exited with error: exit status 1
            Runtime.ExitError
            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Init Duration: N ms	Status: error	Error Type: Runtime.ExitError
        "#]],
    )
    .await;
    check_exit(
        exit(None, Some(9), true),
        &expect![[r#"
            {"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: ID Error: Runtime exited with error: signal: killed"}
            START RequestId: ID Version: $LATEST
            working
            RequestId: ID Error: Runtime exited with error: signal: killed
            Runtime.OutOfMemory
            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 128 MB	Init Duration: N ms	Status: error	Error Type: Runtime.OutOfMemory
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_timeout_ends_the_environment() {
    let bench = Bench::new();
    let mut snapshot = bench.snapshot(RuntimeKind::Node);
    snapshot.timeout_ms = 1_000;
    let snapshot = Arc::new(snapshot);
    let answer = bench.invoke(&snapshot, with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    let outcome = within(answer).await.unwrap().unwrap();
    expect![[r#"
        {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 1.00 seconds"}
        START RequestId: ID Version: $LATEST
        TIME ID Task timed out after 1.00 seconds

        END RequestId: ID
        REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Init Duration: N ms	Status: timeout
    "#]]
    .assert_eq(&format!("{}\n{}", text(&outcome), tail(&outcome)));
    assert_eq!(outcome.report.duration_us, 1_000_000);
    assert_eq!(bench.sandbox.live(), 0);

    let next = bench.invoke(&snapshot, invocation("2"));
    let mut fresh = bench.runtime().await;
    fresh.ready().await;
    fresh.next().await;
    fresh.respond("2").await;
    assert_eq!(text(&within(next).await.unwrap().unwrap()), "2");
}

/// Plays each of the two inits and checks answer and log.
async fn check_init(
    bench: &Bench,
    mut play: impl AsyncFnMut(&mut Runtime),
    events: usize,
    expected: &Expect,
) {
    let answer = bench.invoke(&bench.node(), invocation("1"));
    for _ in 0..2 {
        let mut runtime = bench.runtime().await;
        play(&mut runtime).await;
        within(runtime.process.called(nilas_sandbox::fake::ControlCall::Kill, 1)).await;
    }
    let outcome = within(answer).await.unwrap().unwrap();
    expected.assert_eq(&format!("{}\n{}", text(&outcome), bench.log(events).await));
    assert_eq!(bench.sandbox.live(), 0);
    assert!(bench.engine.environments().is_empty());
}

#[tokio::test]
async fn an_init_error_is_tried_again_and_answered() {
    let play = async |runtime: &mut Runtime| {
        runtime.print("loading\n");
        runtime
            .init_error(
                r#"{"errorType":"Runtime.ImportModuleError","errorMessage":"no","trace":[]}"#,
            )
            .await;
    };
    check_init(
        &Bench::new(),
        play,
        7,
        &expect![[r#"
            {"errorType":"Runtime.ImportModuleError","errorMessage":"no","trace":[]}
            INIT_START Runtime Version: nodejs:20.v20.20.2	Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:N
            loading
            INIT_REPORT Init Duration: N ms	Phase: init	Status: error	Error Type: Runtime.ImportModuleError
            loading
            INIT_REPORT Init Duration: N ms	Phase: invoke	Status: error	Error Type: Runtime.ImportModuleError
            START RequestId: ID Version: $LATEST
            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Status: error	Error Type: Runtime.ImportModuleError
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_exit_during_init() {
    let play = async |runtime: &mut Runtime| runtime.process.exit(exit(Some(3), None, false));
    check_init(
        &Bench::new(),
        play,
        7,
        &expect![[r#"
            {"errorType":"Runtime.ExitError","errorMessage":"RequestId: ID Error: Runtime exited with error: exit status 3"}
            INIT_START Runtime Version: nodejs:20.v20.20.2	Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:N
            INIT_REPORT Init Duration: N ms	Phase: init	Status: error	Error Type: Runtime.ExitError
            INIT_REPORT Init Duration: N ms	Phase: invoke	Status: error	Error Type: Runtime.ExitError
            START RequestId: ID Version: $LATEST
            RequestId: ID Error: Runtime exited with error: exit status 3
            Runtime.ExitError
            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Status: error	Error Type: Runtime.ExitError
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_init_that_takes_too_long_gets_the_functions_own_timeout() {
    let bench = Bench::with(|config| config.init_ms_max = 100);
    check_init(
        &bench,
        async |_| {},
        7,
        &expect![[r#"
            {"errorType":"Sandbox.Timedout","errorMessage":"RequestId: ID Error: Task timed out after 3.00 seconds"}
            INIT_START Runtime Version: nodejs:20.v20.20.2	Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:N
            INIT_REPORT Init Duration: N ms	Phase: init	Status: timeout
            INIT_REPORT Init Duration: N ms	Phase: invoke	Status: timeout
            START RequestId: ID Version: $LATEST
            TIME ID Task timed out after 3.00 seconds

            END RequestId: ID
            REPORT RequestId: ID	Duration: N ms	Billed Duration: N ms	Memory Size: 128 MB	Max Memory Used: 0 MB	Status: timeout
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_init_that_works_the_second_time_answers() {
    let bench = Bench::with(|config| config.init_ms_max = 50);
    let answer = bench.invoke(&bench.node(), invocation("1"));
    let slow = bench.runtime().await;
    let mut second = bench.runtime().await;
    assert_ne!(slow.process.spec.id, second.process.spec.id);
    second.ready().await;
    second.next().await;
    second.respond("\"late\"").await;
    let outcome = within(answer).await.unwrap().unwrap();
    assert_eq!(text(&outcome), "\"late\"");
    assert_eq!(
        outcome.report.init_us, None,
        "AWS reports no init that happened inside the invocation"
    );
}

#[tokio::test]
async fn a_missing_bootstrap_and_one_that_cannot_run() {
    let bench = Bench::new();
    let mut snapshot = bench.snapshot(RuntimeKind::Custom);
    let outcome = {
        for _ in 0..2 {
            let path = "/var/task/bootstrap".to_owned();
            let reason = "Permission denied (os error 13)".to_owned();
            bench.sandbox.fail_next_start(StartError::Exec { path, reason });
        }
        let answer = bench.invoke(&Arc::new(snapshot.clone()), invocation("1"));
        within(answer).await.unwrap().unwrap()
    };
    assert_eq!(
        text(&outcome),
        r#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: ID Error: fork/exec /var/task/bootstrap: permission denied"}"#
    );
    snapshot.code_dir = bench.dir.path().join("nothing");
    let outcome =
        within(bench.invoke(&Arc::new(snapshot), invocation("1"))).await.unwrap().unwrap();
    assert_eq!(
        text(&outcome),
        r#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: ID Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}"#
    );
}

#[tokio::test]
async fn a_sandbox_that_does_not_start_is_the_platforms_fault() {
    let bench = Bench::new();
    bench.sandbox.fail_next_start(StartError::SpawnerGone);
    let answer = within(bench.invoke(&bench.node(), invocation("1"))).await.unwrap();
    assert!(matches!(answer, Err(InvokeError::StartFailed { .. })));
    assert!(bench.engine.environments().is_empty());
}
