//! Settings that tools ask for and that change little here.

use super::*;

#[tokio::test]
async fn tools_get_the_answers_that_they_ask_for() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let recursion = "/2024-08-31/functions/f/recursion-config";
    let (_, before) = bench.call("GET", recursion, Value::Null).await;
    assert_eq!(before, json!({"RecursiveLoop": "Terminate"}));
    let allow = json!({"RecursiveLoop": "Allow"});
    assert_eq!(bench.call("PUT", recursion, allow.clone()).await, (200, allow.clone()));
    let bench = bench.reopened().await;
    assert_eq!(bench.call("GET", recursion, Value::Null).await.1, allow);
    let updates = "/2021-07-20/functions/f/runtime-management-config";
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let auto = json!({"UpdateRuntimeOn": "Auto", "FunctionArn": arn});
    assert_eq!(bench.call("GET", updates, Value::Null).await, (200, auto.clone()));
    assert_eq!(bench.call("PUT", updates, json!({"UpdateRuntimeOn": "Auto"})).await, (200, auto));
    let manual = json!({"UpdateRuntimeOn": "Manual"});
    bench.check("PUT", updates, manual, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"UpdateRuntimeOn can only be Auto on this server: it has one runtime to each identifier."}"#]]).await;
    let signing = "/2020-06-30/functions/f/code-signing-config";
    assert_eq!(bench.call("GET", signing, Value::Null).await, (200, json!({})));
    bench.check("DELETE", signing, Value::Null, expect!["204"]).await;
    let config = json!({"CodeSigningConfigArn": "arn:x"});
    bench.check("PUT", signing, config, expect![[r#"404 CodeSigningConfigNotFoundException {"Type":"User","message":"The code signing configuration cannot be found. Check that the provided configuration is not deleted: arn:x."}"#]]).await;
    let gone = "/2024-08-31/functions/gone/recursion-config";
    bench.check("GET", gone, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone"}"#]]).await;
}
