//! Log events, and what the environment looks like from inside.

use std::sync::Arc;

use expect_test::expect;
use nilas_model::{LogFormat, LogLevel, RuntimeKind};

use crate::harness::{Bench, Runtime, invocation, tail, with_tail, within};

fn telemetry_frame(message: &str) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    let head = [&0xa55a_0003_u32.to_be_bytes()[..], &length.to_be_bytes(), &0u64.to_be_bytes()];
    [&head.concat(), message.as_bytes()].concat()
}

async fn talk(runtime: &mut Runtime) {
    runtime.print("during init\n");
    runtime.ready().await;
    runtime.next().await;
    runtime.telemetry(&telemetry_frame("framed\nevent"));
    runtime.print("plain\nno newline");
    runtime.respond("1").await;
}

#[tokio::test]
async fn writes_the_lines_of_an_invocation_in_order() {
    let bench = Bench::new();
    let answer = bench.invoke(&bench.node(), with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.process.set_memory_peak_bytes(30 << 20);
    talk(&mut runtime).await;
    let outcome = within(answer).await.unwrap().unwrap();
    let lines = tail(&outcome);
    assert!(lines.starts_with("START RequestId: ID Version: $LATEST\n"));
    for line in ["plain\n", "no newline\n", "framed\nevent\n"] {
        assert!(lines.contains(line), "{lines}");
    }
    assert!(
        lines.ends_with(
            "END RequestId: ID\nREPORT RequestId: ID\tDuration: N ms\tBilled Duration: N ms\tMemory Size: 128 MB\t\
             Max Memory Used: 30 MB\tInit Duration: N ms\t\n"
        ),
        "{lines}"
    );
    let all = bench.log(8).await;
    assert!(all.starts_with("INIT_START Runtime Version: nodejs:20.v20.20.2\t"));
    assert!(all.contains("during init\nSTART "));
    let (group, stream) = &bench.log_places()[0];
    assert_eq!(group, "000000000000/us-east-1//aws/lambda/hello");
    assert!(stream.contains("/[$LATEST]"));
    assert_eq!(runtime.env("AWS_LAMBDA_LOG_STREAM_NAME"), Some(stream.as_str()));
}

#[tokio::test]
async fn writes_json_when_asked() {
    let bench = Bench::new();
    let mut snapshot = bench.snapshot(RuntimeKind::Node);
    snapshot.logging.format = LogFormat::Json;
    snapshot.logging.system_level = Some(LogLevel::Info);
    snapshot.logging.application_level = Some(LogLevel::Warn);
    let answer = bench.invoke(&Arc::new(snapshot), with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    let outcome = within(answer).await.unwrap().unwrap();
    expect![[r#"
        {"time":"N","type":"platform.start","record":{"requestId":"ID","version":"$LATEST"}}
        {"time":"N","type":"platform.report","record":{"requestId":"ID","metrics":{"durationMs":N,"billedDurationMs":N,"memorySizeMB":128,"maxMemoryUsedMB":0,"initDurationMs":N},"status":"success"}}
    "#]]
    .assert_eq(&tail(&outcome));
    assert_eq!(runtime.env("AWS_LAMBDA_LOG_FORMAT"), Some("JSON"));
    assert_eq!(runtime.env("AWS_LAMBDA_LOG_LEVEL"), Some("WARN"));
}

#[tokio::test]
async fn the_system_level_filters_platform_events() {
    let bench = Bench::new();
    let mut snapshot = bench.snapshot(RuntimeKind::Node);
    snapshot.logging.format = LogFormat::Json;
    snapshot.logging.system_level = Some(LogLevel::Warn);
    let answer = bench.invoke(&Arc::new(snapshot), with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    assert_eq!(tail(&within(answer).await.unwrap().unwrap()), "");
}

#[tokio::test]
async fn the_tail_is_the_last_four_kilobytes() {
    let bench = Bench::new();
    let answer = bench.invoke(&bench.node(), with_tail("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.print(&"0123456789abcde\n".repeat(2_000));
    runtime.respond("1").await;
    let outcome = within(answer).await.unwrap().unwrap();
    assert_eq!(outcome.log_tail.as_ref().unwrap().len(), 4_096);
    assert!(tail(&outcome).contains("REPORT RequestId: ID"));
}

#[tokio::test]
async fn the_inside_looks_as_on_aws() {
    let bench = Bench::new();
    let answer = bench.invoke(&bench.node(), invocation("1"));
    let mut runtime = bench.runtime().await;
    runtime.ready().await;
    runtime.next().await;
    runtime.respond("1").await;
    within(answer).await.unwrap().unwrap();
    let spec = &runtime.process.spec;
    let stream = runtime.env("AWS_LAMBDA_LOG_STREAM_NAME").unwrap();
    let mut seen = format!("{}\n", spec.argv.join(" "));
    for (name, value) in &spec.env {
        seen.push_str(&format!("{name}={}\n", value.replace(stream, "STREAM")));
    }
    for (path, target) in &spec.symlinks {
        seen.push_str(&format!("{} -> {}\n", path.display(), target.display()));
    }
    for mount in &spec.mounts {
        seen.push_str(&format!("{}\n", mount.target.display()));
    }
    seen.push_str(&format!("{:?} {:?}\n", spec.listeners, spec.limits));
    expect![[r#"
        /var/lang/bin/node /var/runtime/nilas-node.js
        AWS_ACCESS_KEY_ID=ASIAEXAMPLE
        AWS_DEFAULT_REGION=us-east-1
        AWS_ENDPOINT_URL=http://127.0.0.1:4566
        AWS_EXECUTION_ENV=AWS_Lambda_nodejs20.x
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128
        AWS_LAMBDA_FUNCTION_NAME=hello
        AWS_LAMBDA_FUNCTION_VERSION=$LATEST
        AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
        AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/hello
        AWS_LAMBDA_LOG_STREAM_NAME=STREAM
        AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001
        AWS_REGION=us-east-1
        AWS_SECRET_ACCESS_KEY=secret
        AWS_SESSION_TOKEN=arn:aws:iam::000000000000:role/r/hello
        AWS_XRAY_CONTEXT_MISSING=LOG_ERROR
        AWS_XRAY_DAEMON_ADDRESS=169.254.100.1:2000
        LAMBDA_RUNTIME_DIR=/var/runtime
        LAMBDA_TASK_ROOT=/var/task
        LANG=en_US.UTF-8
        LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib
        NODE_PATH=/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task
        PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin
        PWD=/var/task
        STAGE=test
        TZ=:UTC
        _AWS_XRAY_DAEMON_ADDRESS=169.254.100.1
        _AWS_XRAY_DAEMON_PORT=2000
        _HANDLER=index.handler
        _LAMBDA_TELEMETRY_LOG_FD=4
        /var/lang/bin/node -> /usr/bin/node
        /var/task
        /var/runtime
        [4566] Limits { memory_bytes: 134217728, cpu_millis: 250, processes: 1024, files: 1024, tmp_bytes: 536870912 }
    "#]].assert_eq(&seen);
}
