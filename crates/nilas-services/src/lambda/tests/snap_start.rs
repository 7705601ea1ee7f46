//! SnapStart as the API has it: what it refuses, and the way of a version from Pending to Active or Failed.

use nilas_sandbox::StartError;
use nilas_sandbox::fake::ControlCall;

use super::*;

const READY: u8 = 1;
const INIT_ERROR: u8 = 4;
const ON: &str = "PublishedVersions";

fn snapped(name: &str, members: Value) -> Value {
    let mut body = with(name, json!({"SnapStart": {"ApplyOn": ON}}));
    for (key, value) in members.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// `STATE STATUS`, with their reasons and what SnapStart says.
fn state(answer: &Value) -> String {
    let text = |member: &str| answer[member].as_str().unwrap_or("-").to_owned();
    format!(
        "{} ({}: {}), update {} ({}: {}), snapshot {}",
        text("State"),
        text("StateReasonCode"),
        text("StateReason"),
        text("LastUpdateStatus"),
        text("LastUpdateStatusReasonCode"),
        text("LastUpdateStatusReason"),
        answer["SnapStart"]["OptimizationStatus"].as_str().unwrap()
    )
}

const PENDING: &str =
    "Pending (Creating: The function is being created.), update - (-: -), snapshot Off";
const ACTIVE: &str = "Active (-: -), update Successful (-: -), snapshot On";
const FAILED: &str = "Failed (FunctionError: An error occurred during function initialization.), update Failed \
                      (FunctionError: An error occurred during function initialization.), snapshot Off";

impl Bench {
    async fn configuration(&self, name: &str) -> Value {
        let target = format!("{BASE}/{name}/configuration");
        let (status, answer) = self.call("GET", &target, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn state_is(&self, name: &str, expected: &str) {
        let mut seen = String::new();
        for _ in 0..500 {
            seen = state(&self.configuration(name).await);
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen, expected, "{name}");
    }

    /// Plays the runtime of the init that a snapshot is made of.
    async fn init(&self, kind: u8, payload: &[u8]) -> FakeProcess {
        let process = self.sandbox.next_started().await;
        say(&process, kind, payload).await;
        process
    }

    /// Publishes `f`, whose init has not ended by the answer.
    async fn publish_pending(&self) -> FakeProcess {
        let (status, answer) = self.call("POST", &format!("{BASE}/f/versions"), json!({})).await;
        assert_eq!((status, state(&answer).as_str()), (201, PENDING));
        self.sandbox.next_started().await
    }

    async fn invoke_refused(&self, name: &str, expected: Expect) {
        self.check("POST", &format!("{BASE}/{name}/invocations"), Value::Null, expected).await;
    }
}

async fn say(process: &FakeProcess, kind: u8, payload: &[u8]) {
    let mut channel = UnixStream::from_std(process.channel.try_clone().unwrap()).unwrap();
    let length = u32::try_from(payload.len() + 1).unwrap();
    let frame = [&length.to_le_bytes(), &[kind][..], payload].concat();
    channel.write_all(&frame).await.unwrap();
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    let (status, answer) = bench.call("POST", BASE, snapped("f", json!({}))).await;
    assert_eq!(status, 201, "{answer}");
    bench.settled("f").await;
    bench
}

#[tokio::test]
async fn snap_start_is_refused_where_it_cannot_be() {
    let bench = bench().await;
    let check = async |members: Value, expected: Expect| {
        bench.check("POST", BASE, snapped("g", members), expected).await
    };
    check(json!({"Runtime": "provided.al2023"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"provided.al2023 is not supported for SnapStart enabled functions."}"#]]).await;
    check(json!({"EphemeralStorage": {"Size": 513}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"EphemeralStorage greater than 512 MB is not supported for SnapStart enabled functions."}"#]]).await;
    check(json!({"SnapStart": {"ApplyOn": "Always"}}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'Always' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]"}"#]]).await;
    check(json!({"SnapStart": {"ApplyOn": "None"}, "Runtime": "provided.al2023"}), expect!["201"])
        .await;
    let update = async |name: &str, members: Value, expected: Expect| {
        bench.check("PUT", &format!("{BASE}/{name}/configuration"), members, expected).await
    };
    // Either of the two may come first.
    update("f", json!({"EphemeralStorage": {"Size": 1_024}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"EphemeralStorage greater than 512 MB is not supported for SnapStart enabled functions."}"#]]).await;
    update("f", json!({"Runtime": "provided.al2"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"provided.al2 is not supported for SnapStart enabled functions."}"#]]).await;
    bench.settled("g").await;
    update("g", json!({"SnapStart": {"ApplyOn": ON}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"provided.al2023 is not supported for SnapStart enabled functions."}"#]]).await;
    update(
        "f",
        json!({"EphemeralStorage": {"Size": 1_024}, "SnapStart": {"ApplyOn": "None"}}),
        expect!["200"],
    )
    .await;
}

#[tokio::test]
async fn a_version_is_pending_until_its_snapshot_is_made() {
    let bench = bench().await;
    let latest = bench.configuration("f").await;
    assert_eq!(latest["SnapStart"], json!({"ApplyOn": ON, "OptimizationStatus": "Off"}));
    let process = bench.publish_pending().await;
    assert_eq!(state(&bench.configuration("f:1").await), PENDING);
    bench.invoke_refused("f:1", expect![[r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: Pending"}"#]]).await;
    // The same again is the same version, and no second init.
    let (_, again) = bench.call("POST", &format!("{BASE}/f/versions"), json!({})).await;
    assert_eq!((&again["Version"], state(&again).as_str()), (&json!("1"), PENDING));
    bench.call("PUT", &format!("{BASE}/f/configuration"), json!({"Timeout": 5})).await;
    bench.settled("f").await;
    say(&process, READY, b"").await;
    bench.state_is("f:1", ACTIVE).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(50), bench.sandbox.next_started())
            .await
            .is_err(),
        "one init a version"
    );
    let (_, list) = bench.call("GET", &format!("{BASE}/f/versions"), Value::Null).await;
    let statuses: Vec<&Value> = list["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["SnapStart"]["OptimizationStatus"])
        .collect();
    assert_eq!(statuses, ["Off", "On"]);
}

#[tokio::test]
async fn publish_of_create_and_of_update_code_make_a_snapshot_too() {
    let bench = Bench::new().await;
    let (created, _process) = tokio::join!(
        bench.call("POST", BASE, snapped("f", json!({"Publish": true}))),
        bench.init(READY, b"")
    );
    assert_eq!((created.0, state(&created.1).as_str()), (201, PENDING));
    bench.state_is("f:1", ACTIVE).await;
    let update = json!({"ZipFile": zip("two"), "Publish": true});
    let target = format!("{BASE}/f/code");
    let (updated, _process) =
        tokio::join!(bench.call("PUT", &target, update), bench.init(READY, b""));
    assert_eq!((updated.0, state(&updated.1).as_str()), (200, PENDING));
    bench.state_is("f:2", ACTIVE).await;
}

#[tokio::test]
async fn a_version_whose_init_fails_has_failed_for_good() {
    let bench = bench().await;
    let process = bench.publish_pending().await;
    say(&process, INIT_ERROR, br#"{"errorType":"Error","errorMessage":"no"}"#).await;
    bench.state_is("f:1", FAILED).await;
    let refused = || {
        expect![[
            r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: Failed"}"#
        ]]
    };
    bench.invoke_refused("f:1", refused()).await;
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    bench.check("POST", &format!("{BASE}/f/aliases"), alias, expect![[r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: 'Failed', StateReasonCode: 'FunctionError'"}"#]]).await;
    assert_eq!(bench.settled("f").await["State"], "Active", "$LATEST has no part in it");
    let bench = bench.reopened().await;
    bench.settled("f").await;
    bench.state_is("f:1", FAILED).await;
    bench.invoke_refused("f:1", refused()).await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_made_and_makes_what_is_not() {
    let bench = bench().await;
    let (_, _process) = tokio::join!(bench.publish("f"), bench.init(READY, b""));
    bench.state_is("f:1", ACTIVE).await;
    bench.call("PUT", &format!("{BASE}/f/configuration"), json!({"Timeout": 5})).await;
    bench.settled("f").await;
    let _process = bench.publish_pending().await;
    let bench = bench.reopened().await;
    assert_eq!(state(&bench.configuration("f:1").await), ACTIVE);
    assert_eq!(state(&bench.configuration("f:2").await), PENDING);
    let _process = bench.init(READY, b"").await;
    bench.state_is("f:2", ACTIVE).await;
}

#[tokio::test]
async fn what_the_machine_could_not_start_is_tried_again_after_a_restart() {
    let bench = bench().await;
    bench.sandbox.fail_next_start(StartError::Full { live: 1 });
    bench.publish("f").await;
    let reason = "InternalError: Lambda was unable to create a new snapshot.";
    let failed = format!("Failed ({reason}), update Failed ({reason}), snapshot Off");
    bench.state_is("f:1", &failed).await;
    bench.invoke_refused("f:1", expect![[r#"409 ResourceConflictException {"Type":"User","message":"The operation cannot be performed at this time. The function is currently in the following state: Failed"}"#]]).await;
    let bench = bench.reopened().await;
    let _process = bench.init(READY, b"").await;
    bench.state_is("f:1", ACTIVE).await;
}

#[tokio::test]
async fn a_version_may_be_deleted_while_it_is_pending() {
    let bench = bench().await;
    let process = bench.publish_pending().await;
    bench.check("DELETE", &format!("{BASE}/f:1"), Value::Null, expect!["204"]).await;
    say(&process, READY, b"").await;
    process.called(ControlCall::Kill, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (status, _) = bench.call("GET", &format!("{BASE}/f:1"), Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_version_with_snap_start_has_no_provisioned_concurrency() {
    let bench = bench().await;
    let (_, _process) = tokio::join!(bench.publish("f"), bench.init(READY, b""));
    bench.state_is("f:1", ACTIVE).await;
    let target = format!("{BASE}/f/configuration");
    bench.call("PUT", &target, json!({"SnapStart": {"ApplyOn": "None"}})).await;
    bench.settled("f").await;
    bench.publish("f").await;
    let aliases = format!("{BASE}/f/aliases");
    for (alias, version) in [("one", "1"), ("two", "2")] {
        let body = json!({"Name": alias, "FunctionVersion": version});
        bench.check("POST", &aliases, body, expect!["201"]).await;
    }
    let refused = || {
        expect![[
            r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned Concurrency is not supported for SnapStart enabled functions."}"#
        ]]
    };
    let put = async |qualifier: &str, expected: Expect| {
        let target =
            format!("/2019-09-30/functions/f/provisioned-concurrency?Qualifier={qualifier}");
        let body = json!({"ProvisionedConcurrentExecutions": 1});
        bench.check("PUT", &target, body, expected).await;
    };
    put("1", refused()).await;
    put("one", refused()).await;
    put("two", expect!["202"]).await;
    bench.check("PUT", &format!("{aliases}/two"), json!({"FunctionVersion": "1"}), refused()).await;
    let weights = json!({"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}});
    bench.check("PUT", &format!("{aliases}/two"), weights, refused()).await;
}
