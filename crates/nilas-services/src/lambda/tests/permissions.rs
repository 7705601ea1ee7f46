//! Resource policies: what they refuse, and what becomes of them.

use super::*;

const POLICY: &str = "/2015-03-31/functions/f/policy";

fn statement(sid: &str) -> Value {
    json!({
        "StatementId": sid,
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": "arn:aws:execute-api:us-east-1:000000000000:abc/*/*/*",
    })
}

async fn revision(bench: &Bench) -> Value {
    bench.call("GET", &format!("{BASE}/f/configuration"), Value::Null).await.1["RevisionId"].clone()
}

#[tokio::test]
async fn a_permission_is_added_shown_and_removed() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let before = revision(&bench).await;
    let (status, added) = bench.call("POST", POLICY, statement("api")).await;
    assert_eq!(status, 201);
    expect![[r#"{"Sid":"api","Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-1:000000000000:function:f","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:us-east-1:000000000000:abc/*/*/*"}}}"#]]
        .assert_eq(added["Statement"].as_str().unwrap());
    let (status, shown) = bench.call("GET", POLICY, Value::Null).await;
    assert_eq!(status, 200);
    let now = revision(&bench).await;
    assert!(shown["RevisionId"] == now && now != before);
    let bench = bench.reopened().await;
    assert_eq!(bench.call("GET", POLICY, Value::Null).await.1["Policy"], shown["Policy"]);
    bench.check("DELETE", &format!("{POLICY}/api"), Value::Null, expect!["204"]).await;
    bench.check("GET", POLICY, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#]]).await;
}

#[tokio::test]
async fn versions_and_aliases_have_policies_of_their_own() {
    let bench = Bench::new().await;
    bench.create("f").await;
    bench.publish("f").await;
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    bench.check("POST", &format!("{BASE}/f/aliases"), alias, expect!["201"]).await;
    for qualifier in ["1", "live"] {
        let target = format!("{POLICY}?Qualifier={qualifier}");
        let (_, added) = bench.call("POST", &target, statement("s")).await;
        let resource =
            format!(r#""Resource":"arn:aws:lambda:us-east-1:000000000000:function:f:{qualifier}""#);
        assert!(added["Statement"].as_str().unwrap().contains(&resource), "{added}");
    }
    bench.check("GET", POLICY, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#]]).await;
    bench.check("DELETE", &format!("{BASE}/f/aliases/live"), Value::Null, expect!["204"]).await;
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    bench.check("POST", &format!("{BASE}/f/aliases"), alias, expect!["201"]).await;
    bench.check("GET", &format!("{POLICY}?Qualifier=live"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#]]).await;
}

#[tokio::test]
async fn refuses_as_aws_does() {
    let bench = Bench::new().await;
    let gone = format!("{BASE}/gone/policy");
    bench.check("POST", &gone, statement("s"), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone"}"#]]).await;
    bench.check("DELETE", &format!("{gone}/s"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy found for: arn:aws:lambda:us-east-1:000000000000:function:gone"}"#]]).await;
    bench.create("f").await;
    bench.check("DELETE", &format!("{POLICY}/s"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy is associated with the given resource."}"#]]).await;
    bench.check("POST", POLICY, statement("s"), expect!["201"]).await;
    bench.check("POST", POLICY, statement("s"), expect![[r#"409 ResourceConflictException {"Type":"User","message":"The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement."}"#]]).await;
    bench.check("DELETE", &format!("{POLICY}/t"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Statement t is not found in resource policy."}"#]]).await;
    bench
        .check("DELETE", &format!("{POLICY}/s?RevisionId=wrong"), Value::Null, expect![[r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id"}"#]])
        .await;
    bench
        .check("POST", &format!("{POLICY}?Qualifier=live"), statement("s"), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:live"}"#]])
        .await;
    bench.check("POST", &format!("{POLICY}?Qualifier=42"), statement("s"), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:42"}"#]]).await;
    bench
        .check("POST", &format!("{POLICY}?Qualifier=$LATEST"), statement("s"), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"We currently do not support adding policies for $LATEST."}"#]])
        .await;
    let mut bad = statement("a b");
    bench.check("POST", POLICY, bad.clone(), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'a b' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"}"#]]).await;
    bad["StatementId"] = json!("t");
    bad["Principal"] = json!("invalid.nonaws.com");
    bench.check("POST", POLICY, bad, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The provided principal was invalid. Please check the principal and try again."}"#]]).await;
    let mut long = statement("t");
    long["SourceArn"] = json!(format!("arn:aws:s3:::{}", "b".repeat(9_000)));
    bench.check("POST", POLICY, long.clone(), expect!["201"]).await;
    long["StatementId"] = json!("u");
    bench.check("POST", POLICY, long.clone(), expect!["201"]).await;
    long["StatementId"] = json!("v");
    bench.check("POST", POLICY, long, expect![[r#"400 PolicyLengthExceededException {"Type":"User","message":"The final policy size (28024) is bigger than the limit (20480)."}"#]]).await;
}
