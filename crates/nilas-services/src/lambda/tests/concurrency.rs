//! Reserved and provisioned concurrency: what is refused, what it takes from others, what there is of it.

use super::*;

const PUT: &str = "/2017-10-31/functions";
const GET: &str = "/2019-09-30/functions";

impl Bench {
    async fn reserve(&self, name: &str, count: i64, expected: Expect) {
        let body = json!({"ReservedConcurrentExecutions": count});
        self.check("PUT", &format!("{PUT}/{name}/concurrency"), body, expected).await;
    }

    async fn provision(&self, name: &str, qualifier: &str, count: i64, expected: Expect) {
        let target = format!("{GET}/{name}/provisioned-concurrency?Qualifier={qualifier}");
        let body = json!({"ProvisionedConcurrentExecutions": count});
        self.check("PUT", &target, body, expected).await;
    }

    /// `REQUESTED ALLOCATED STATUS REASON`
    async fn provisioned(&self, qualifier: &str) -> String {
        let target = format!("{GET}/f/provisioned-concurrency?Qualifier={qualifier}");
        let (_, got) = self.call("GET", &target, Value::Null).await;
        let member = |name: &str| got[format!("{name}ProvisionedConcurrentExecutions")].clone();
        assert_eq!(member("Allocated"), member("Available"));
        let reason = got["StatusReason"].as_str().unwrap_or("-");
        let status = got["Status"].as_str().unwrap_or("none");
        format!("{} {} {status} {reason}", member("Requested"), member("Allocated"))
    }

    async fn provisioned_until(&self, qualifier: &str, wanted: &str) {
        for _ in 0..400 {
            if self.provisioned(qualifier).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} instead of {wanted}", self.provisioned(qualifier).await);
    }

    async fn unreserved(&self) -> Value {
        let (_, settings) = self.call("GET", "/2016-08-19/account-settings/", Value::Null).await;
        settings["AccountLimit"]["UnreservedConcurrentExecutions"].clone()
    }

    /// One frame of a runtime: 1 is ready, 4 an init error.
    async fn boot(&self, kind: u8, payload: &str) -> FakeProcess {
        let process = self.sandbox.next_started().await;
        let mut channel = UnixStream::from_std(process.channel.try_clone().unwrap()).unwrap();
        let length = u32::try_from(payload.len() + 1).unwrap().to_le_bytes();
        let frame = [&length[..], &[kind], payload.as_bytes()].concat();
        channel.write_all(&frame).await.unwrap();
        process
    }
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.create("f").await;
    bench.publish("f").await;
    bench
}

#[tokio::test]
async fn a_reservation_is_put_shown_and_deleted() {
    let bench = bench().await;
    let get = format!("{GET}/f/concurrency");
    assert_eq!(bench.call("GET", &get, Value::Null).await, (200, json!({})));
    let put = json!({"ReservedConcurrentExecutions": 0});
    assert_eq!(
        bench.call("PUT", &format!("{PUT}/f/concurrency"), put.clone()).await,
        (200, put.clone())
    );
    assert_eq!(bench.call("GET", &get, Value::Null).await, (200, put));
    bench.reserve("f", 250, expect!["200"]).await;
    assert_eq!(bench.unreserved().await, 750);
    let bench = bench.reopened().await;
    let (_, got) = bench.call("GET", &format!("{BASE}/f"), Value::Null).await;
    assert_eq!(got["Concurrency"], json!({"ReservedConcurrentExecutions": 250}));
    let delete = format!("{PUT}/f/concurrency");
    bench.check("DELETE", &delete, Value::Null, expect!["204"]).await;
    bench.check("DELETE", &delete, Value::Null, expect!["204"]).await;
    assert_eq!(bench.unreserved().await, 1_000);
    let (_, got) = bench.call("GET", &format!("{BASE}/f"), Value::Null).await;
    assert_eq!(got.get("Concurrency"), None);
}

#[tokio::test]
async fn reservations_are_refused_in_the_words_of_aws() {
    let bench = bench().await;
    bench.create("g").await;
    bench.reserve("f", 901, expect![[r#"400 InvalidParameterValueException {"message":"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."}"#]]).await;
    bench.reserve("f", 900, expect!["200"]).await;
    bench.reserve("f", 900, expect!["200"]).await;
    bench.reserve("g", 1, expect![[r#"400 InvalidParameterValueException {"message":"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."}"#]]).await;
    bench.reserve("g", 0, expect!["200"]).await;
    bench.reserve("f", -1, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value '-1' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0"}"#]]).await;
    bench.reserve("missing", 1, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:$LATEST"}"#]]).await;
    let permitted = || {
        expect![[
            r#"400 InvalidParameterValueException {"Type":"User","message":"This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."}"#
        ]]
    };
    bench.reserve("f:1", 1, permitted()).await;
    bench.check("GET", &format!("{GET}/f:1/concurrency"), Value::Null, permitted()).await;
    bench.check("DELETE", &format!("{PUT}/f:live/concurrency"), Value::Null, permitted()).await;
    bench.check("PUT", &format!("{PUT}/f/concurrency"), json!({}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null"}"#]]).await;
}

#[tokio::test]
async fn a_function_with_nothing_reserved_for_it_is_throttled() {
    let bench = bench().await;
    bench.reserve("f", 0, expect!["200"]).await;
    let throttled = async |bench: &Bench| {
        let response =
            bench.send("POST", &format!("{BASE}/f/invocations"), &[], Bytes::new()).await;
        expect![[r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#]]
            .assert_eq(std::str::from_utf8(&response.body).unwrap());
        assert_eq!(response.status, 429);
        assert_eq!(response.headers["retry-after"], "1");
    };
    throttled(&bench).await;
    throttled(&bench.reopened().await).await;
}

#[tokio::test]
async fn provisioned_environments_are_there_before_anybody_invokes() {
    let bench = bench().await;
    let target = format!("{GET}/f/provisioned-concurrency?Qualifier=1");
    let (status, accepted) =
        bench.call("PUT", &target, json!({"ProvisionedConcurrentExecutions": 2})).await;
    assert_eq!(status, 202);
    expect![[r#"
        {
          "RequestedProvisionedConcurrentExecutions": 2,
          "AvailableProvisionedConcurrentExecutions": 0,
          "AllocatedProvisionedConcurrentExecutions": 0,
          "Status": "IN_PROGRESS",
          "LastModified": "2024-01-01T00:00:00+0000"
        }"#]]
    .assert_eq(&pretty(accepted));
    assert_eq!(bench.unreserved().await, 998);
    let first = bench.boot(1, "").await;
    let kind = first.spec.env.iter().find(|(name, _)| name == "AWS_LAMBDA_INITIALIZATION_TYPE");
    assert_eq!(kind.unwrap().1, "provisioned-concurrency");
    bench.provisioned_until("1", "2 1 IN_PROGRESS -").await;
    let second = bench.boot(1, "").await;
    bench.provisioned_until("1", "2 2 READY -").await;
    let (_, list) =
        bench.call("GET", &format!("{GET}/f/provisioned-concurrency?List=ALL"), Value::Null).await;
    let listed = &list["ProvisionedConcurrencyConfigs"][0];
    assert_eq!(listed["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:1");
    assert_eq!(listed["Status"], "READY");
    // One that dies is replaced.
    first.exit(nilas_sandbox::Exit { code: Some(0), signal: None, out_of_memory: false });
    let third = bench.boot(1, "").await;
    bench.provisioned_until("1", "2 2 READY -").await;
    bench.check("DELETE", &target, Value::Null, expect!["204"]).await;
    bench.check("DELETE", &target, Value::Null, expect!["204"]).await;
    assert_eq!(bench.provisioned("1").await, "null null none -");
    drop((second, third));
}

#[tokio::test]
async fn an_alias_takes_its_provisioned_concurrency_along() {
    let bench = bench().await;
    bench.call("PUT", &format!("{BASE}/f/configuration"), json!({"Timeout": 5})).await;
    bench.settled("f").await;
    bench.publish("f").await;
    let aliases = format!("{BASE}/f/aliases");
    bench
        .check("POST", &aliases, json!({"Name": "live", "FunctionVersion": "1"}), expect!["201"])
        .await;
    bench.provision("f", "live", 1, expect!["202"]).await;
    let first = bench.boot(1, "").await;
    bench.provisioned_until("live", "1 1 READY -").await;
    let moved = json!({"FunctionVersion": "2"});
    bench.check("PUT", &format!("{aliases}/live"), moved, expect!["200"]).await;
    let second = bench.boot(1, "").await;
    bench.provisioned_until("live", "1 1 READY -").await;
    let version = |process: &FakeProcess| {
        let found = process.spec.env.iter().find(|(n, _)| n == "AWS_LAMBDA_FUNCTION_VERSION");
        found.unwrap().1.clone()
    };
    assert_eq!((version(&first), version(&second)), ("1".to_owned(), "2".to_owned()));
    bench.provision("f", "2", 1, expect![[r#"409 ResourceConflictException {"Type":"User","message":"Version is pointed by a Provisioned Concurrency alias"}"#]]).await;
    bench.check("PUT", &format!("{aliases}/live"), json!({"FunctionVersion": "$LATEST"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned Concurrency Configs cannot be applied to unpublished function versions."}"#]]).await;
    // As after a restart: the record is there, and so are environments soon.
    let bench = bench.reopened().await;
    let third = bench.boot(1, "").await;
    assert_eq!(version(&third), "2");
    bench.provisioned_until("live", "1 1 READY -").await;
    bench.check("DELETE", &format!("{aliases}/live"), Value::Null, expect!["204"]).await;
    assert_eq!(bench.unreserved().await, 1_000);
}

#[tokio::test]
async fn a_function_whose_init_fails_is_not_provisioned() {
    let bench = bench().await;
    bench.provision("f", "1", 1, expect!["202"]).await;
    let _process = bench.boot(4, r#"{"errorType":"Error","errorMessage":"no"}"#).await;
    bench.provisioned_until("1", "1 0 FAILED FUNCTION_ERROR_INIT_FAILURE").await;
}

#[tokio::test]
async fn provisioned_concurrency_is_refused_in_the_words_of_aws() {
    let bench = bench().await;
    let aliases = format!("{BASE}/f/aliases");
    for name in ["live", "other"] {
        bench
            .check("POST", &aliases, json!({"Name": name, "FunctionVersion": "1"}), expect!["201"])
            .await;
    }
    bench
        .check(
            "POST",
            &aliases,
            json!({"Name": "head", "FunctionVersion": "$LATEST"}),
            expect!["201"],
        )
        .await;
    let put = async |qualifier: &str, count: i64, expected: Expect| {
        bench.provision("f", qualifier, count, expected).await
    };
    put("$LATEST", 1, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned Concurrency Configs cannot be applied to unpublished function versions."}"#]]).await;
    put("head", 1, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Provisioned Concurrency Configs cannot be applied to unpublished function versions."}"#]]).await;
    put("1", 0, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#]]).await;
    put("none", 1, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:none"}"#]]).await;
    put("10", 1, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:10"}"#]]).await;
    put("1", 1_001, expect![[r#"400 InvalidParameterValueException {"message":"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."}"#]]).await;
    put("1", 901, expect![[r#"400 InvalidParameterValueException {"message":"Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."}"#]]).await;
    put("live", 2, expect!["202"]).await;
    put("other", 1, expect![[r#"409 ResourceConflictException {"Type":"User","message":"Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"}"#]]).await;
    bench.reserve("f", 1, expect![[r#"400 InvalidParameterValueException {"message":" ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."}"#]]).await;
    bench.reserve("f", 3, expect!["200"]).await;
    put("live", 4, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"}"#]]).await;
    for method in ["GET", "DELETE"] {
        let target = format!("{GET}/f/provisioned-concurrency?Qualifier=$LATEST");
        bench.check(method, &target, Value::Null, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The function resource provided must be an alias or a published version."}"#]]).await;
    }
    let target = format!("{GET}/f/provisioned-concurrency");
    bench.check("GET", &format!("{target}?Qualifier=1"), Value::Null, expect![[r#"404 ProvisionedConcurrencyConfigNotFoundException {"Type":"User","message":"No Provisioned Concurrency Config found for this function"}"#]]).await;
    bench.check("GET", &target, Value::Null, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: Member must not be null"}"#]]).await;
}

#[test]
fn a_weighted_alias_divides_what_is_provisioned() {
    use crate::lambda::record::{AdditionalVersion, AliasRecord};
    let check = |weight: f64, count: u32, expected: &[(u64, u32)]| {
        let alias = AliasRecord {
            published: Some(1),
            description: String::new(),
            revision_id: String::new(),
            additional: Some(AdditionalVersion { number: 2, weight }),
        };
        assert_eq!(alias.parts(count), expected, "{weight} of {count}");
    };
    check(0.0, 10, &[(1, 10)]);
    check(0.25, 10, &[(1, 7), (2, 3)]);
    check(1.0, 10, &[(2, 10)]);
    check(0.1, 1, &[(1, 1)]);
}
