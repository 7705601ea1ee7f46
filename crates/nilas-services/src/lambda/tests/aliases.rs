//! Aliases: what they show, refuse, route and outlive.

use super::*;

const ALIASES: &str = "/2015-03-31/functions/f/aliases";

/// A function `f` with versions 1 and 2.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.create("f").await;
    bench.publish("f").await;
    bench.call("PUT", &format!("{BASE}/f/configuration"), json!({"Timeout": 5})).await;
    bench.settled("f").await;
    bench.publish("f").await;
    bench
}

#[tokio::test]
async fn an_alias_is_made_changed_listed_and_deleted() {
    let bench = bench().await;
    let (status, made) = bench
        .call("POST", ALIASES, json!({"Name": "live", "FunctionVersion": "1", "Description": "d"}))
        .await;
    assert_eq!(status, 201);
    expect![[r#"
        {
          "AliasArn": "arn:aws:lambda:us-east-1:000000000000:function:f:live",
          "Name": "live",
          "FunctionVersion": "1",
          "Description": "d",
          "RevisionId": "…"
        }"#]]
    .assert_eq(&pretty(made.clone()));
    let live = format!("{ALIASES}/live");
    assert_eq!(bench.call("GET", &live, Value::Null).await, (200, made.clone()));
    let routing = json!({"AdditionalVersionWeights": {"2": 0.25}});
    let body = json!({"RoutingConfig": routing, "RevisionId": made["RevisionId"]});
    let (status, updated) = bench.call("PUT", &live, body).await;
    assert_eq!(
        (status, &updated["RoutingConfig"], &updated["Description"]),
        (200, &routing, &made["Description"])
    );
    assert_ne!(updated["RevisionId"], made["RevisionId"]);
    let body = json!({"FunctionVersion": "2", "RoutingConfig": {}, "Description": ""});
    let (_, moved) = bench.call("PUT", &live, body).await;
    assert_eq!((&moved["FunctionVersion"], moved.get("RoutingConfig")), (&json!("2"), None));
    for name in ["b", "a"] {
        let body = json!({"Name": name, "FunctionVersion": "$LATEST"});
        bench.check("POST", ALIASES, body, expect!["201"]).await;
    }
    let names = async |query: &str| {
        let (_, page) = bench.call("GET", &format!("{ALIASES}{query}"), Value::Null).await;
        let aliases = page["Aliases"].as_array().unwrap().iter();
        let names: Vec<Value> = aliases.map(|alias| alias["Name"].clone()).collect();
        (json!(names), page["NextMarker"].as_str().map(str::to_owned))
    };
    assert_eq!(names("").await, (json!(["a", "b", "live"]), None));
    assert_eq!(names("?FunctionVersion=2").await, (json!(["live"]), None));
    let (first, marker) = names("?MaxItems=2").await;
    assert_eq!(first, json!(["a", "b"]));
    let rest = format!("?MaxItems=2&Marker={}", marker.unwrap());
    assert_eq!(names(&rest).await, (json!(["live"]), None));
    bench.check("DELETE", &live, Value::Null, expect!["204"]).await;
    bench.check("DELETE", &live, Value::Null, expect!["204"]).await;
    bench.check("GET", &live, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:live"}"#]]).await;
}

#[tokio::test]
async fn refuses_in_the_words_of_aws() {
    let bench = bench().await;
    let live = json!({"Name": "live", "FunctionVersion": "1"});
    bench.check("POST", ALIASES, live.clone(), expect!["201"]).await;
    let create =
        async |body: Value, expected: Expect| bench.check("POST", ALIASES, body, expected).await;
    let weights = |weights: Value, version: &str| {
        let routing = json!({"AdditionalVersionWeights": weights});
        json!({"Name": "w", "FunctionVersion": version, "RoutingConfig": routing})
    };
    create(live, expect![[r#"409 ResourceConflictException {"Type":"User","message":"Alias already exists: arn:aws:lambda:us-east-1:000000000000:function:f:live"}"#]]).await;
    create(json!({}), expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; Value null at 'functionVersion' failed to satisfy constraint: Member must not be null"}"#]]).await;
    create(json!({"Name": "2024", "FunctionVersion": "live"}), expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+); Value 'live' at 'functionVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: (\\$LATEST(\\.PUBLISHED)?|[0-9]+)"}"#]]).await;
    create(json!({"Name": "x", "FunctionVersion": "10"}), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:10"}"#]]).await;
    create(weights(json!({"1": 0.5, "2": 0.5}), "1"), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Number of items in AdditionalVersionWeights cannot be greater than 1"}"#]]).await;
    create(weights(json!({"1": 0.5}), "1"), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Invalid function version 1. Function version 1 is already included in routing configuration."}"#]]).await;
    create(weights(json!({"1": 0.5}), "$LATEST"), expect![[r#"400 InvalidParameterValueException {"message":"$LATEST is not supported for an alias pointing to more than 1 version"}"#]]).await;
    create(weights(json!({"2": 2}), "1"), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"}"#]]).await;
    create(weights(json!({"$LATEST": 0.5}), "1"), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"}"#]]).await;
    create(weights(json!({"9": 0.5}), "1"), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:9"}"#]]).await;
    create(weights(json!({"2": "much"}), "1"), expect![[r#"400 SerializationException {"message":"STRING_VALUE can not be converted to a Double"}"#]]).await;
    let missing = format!("{BASE}/missing/aliases");
    bench.check("POST", &missing, json!({"Name": "x", "FunctionVersion": "1"}), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:1"}"#]]).await;
    bench.check("GET", &missing, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"}"#]]).await;
    bench.check("GET", &format!("{missing}/x"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:missing:x"}"#]]).await;
    let update = async |alias: &str, body: Value, expected: Expect| {
        bench.check("PUT", &format!("{ALIASES}/{alias}"), body, expected).await
    };
    update("none", json!({}), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Alias not found: arn:aws:lambda:us-east-1:000000000000:function:f:none"}"#]]).await;
    update("live", json!({"RevisionId": "stale"}), expect![[r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#]]).await;
    update("live", json!({"FunctionVersion": "7"}), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:7"}"#]]).await;
    bench.check("DELETE", &format!("{BASE}/f?Qualifier=live"), Value::Null, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Deletion of aliases is not currently supported."}"#]]).await;
}

#[tokio::test]
async fn two_versions_of_an_alias_have_one_role() {
    let bench = bench().await;
    let role = json!({"Role": "arn:aws:iam::123456789012:role/other"});
    bench.call("PUT", &format!("{BASE}/f/configuration"), role).await;
    bench.settled("f").await;
    bench.publish("f").await;
    let routing = json!({"AdditionalVersionWeights": {"3": 0.5}});
    let body = json!({"Name": "w", "FunctionVersion": "1", "RoutingConfig": routing});
    bench.check("POST", ALIASES, body, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Specified versions must be associated with the same execution role"}"#]]).await;
}

#[tokio::test]
async fn a_version_that_aliases_name_stays() {
    let bench = bench().await;
    let routing = json!({"AdditionalVersionWeights": {"2": 0.5}});
    for body in [
        json!({"Name": "live", "FunctionVersion": "1"}),
        json!({"Name": "canary", "FunctionVersion": "1", "RoutingConfig": routing}),
    ] {
        bench.check("POST", ALIASES, body, expect!["201"]).await;
    }
    let bench = bench.reopened().await;
    let delete = async |version: &str, expected: Expect| {
        bench.check("DELETE", &format!("{BASE}/f?Qualifier={version}"), Value::Null, expected).await
    };
    delete("1", expect![[r#"409 ResourceConflictException {"Type":"User","message":"Unable to delete version because the following aliases reference it: [canary, live]"}"#]]).await;
    delete("2", expect![[r#"409 ResourceConflictException {"Type":"User","message":"Unable to delete version because the following aliases reference it: [canary]"}"#]]).await;
    bench.call("DELETE", &format!("{ALIASES}/canary"), Value::Null).await;
    delete("2", expect!["204"]).await;
    let (_, got) = bench.call("GET", &format!("{BASE}/f:live"), Value::Null).await;
    let configuration = &got["Configuration"];
    assert_eq!(configuration["Version"], "1");
    assert_eq!(
        configuration["FunctionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:f:live"
    );
}

#[tokio::test]
async fn an_invocation_runs_the_version_its_request_id_draws() {
    let bench = bench().await;
    let routing = json!({"AdditionalVersionWeights": {"2": 0.25}});
    let body = json!({"Name": "live", "FunctionVersion": "1", "RoutingConfig": routing});
    bench.check("POST", ALIASES, body, expect!["201"]).await;
    for (id, version) in [
        ("00000000-0000-4000-8000-00003fffffff", "2"),
        ("00000000-0000-4000-8000-000040000000", "1"),
        ("00000000-0000-4000-8000-0000ffffffff", "1"),
    ] {
        let mut request = request("POST", &format!("{BASE}/f:live/invocations"), &[], Bytes::new());
        request.request_id = RequestId::parse(id).unwrap();
        let sent = bench.services.handle(Service::Lambda, &bench.auth, request);
        let played = async {
            let process = bench.sandbox.next_started().await;
            // Ends with its invocation, so that each one starts its own.
            play(&process, 2, "1").await
        };
        let (response, (header, _)) = tokio::join!(sent, played);
        assert_eq!(response.headers["x-amz-executed-version"], version, "{id}");
        assert_eq!(
            header["invokedFunctionArn"],
            "arn:aws:lambda:us-east-1:000000000000:function:f:live"
        );
    }
}

#[test]
fn reads_records_from_before_there_were_aliases() {
    let record = r#"{"latest":{"settings":{"role":"r","handler":null,"runtime":"nodejs20.x","description":"","timeout_s":3,
        "memory_mib":128,"ephemeral_mib":512,"environment":null,"dead_letter_target":null,"kms_key_arn":null,
        "tracing_active":false,"architecture":"X86_64","snap_start":false,"vpc":null,
        "logging":{"group":"g","json":null}},"code":{"sha256":"00","bytes":1},"revision_id":"r","modified_ms":1,
        "state":"Active","published_from":null},"published":[1],"last_version":1,"tags":{}}"#;
    let record: crate::lambda::record::FunctionRecord = serde_json::from_str(record).unwrap();
    assert!(record.aliases.is_empty());
}
