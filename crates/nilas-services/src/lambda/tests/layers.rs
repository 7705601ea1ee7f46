//! Layers: their versions, what a function may have of them, and how long their packages stay.

use super::*;

const LAYERS: &str = "/2018-10-31/layers";
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:layer:l";

async fn publish(bench: &Bench, name: &str, content: &str) -> Value {
    let zip = archive(&[("nodejs/node_modules/l/index.js", content)]);
    let body =
        json!({"Content": {"ZipFile": BASE64.encode(zip)}, "CompatibleRuntimes": ["nodejs20.x"]});
    let (status, made) = bench.call("POST", &format!("{LAYERS}/{name}/versions"), body).await;
    assert_eq!(status, 201, "{made}");
    made
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn versions_are_numbered_listed_and_deleted() {
    let bench = Bench::new().await;
    let mut made = publish(&bench, "l", "1").await;
    let link = made["Content"]["Location"].take();
    expect![[r#"
        {
          "Content": {
            "Location": null,
            "CodeSha256": "Q6PiYrBq6dqKbMPP87FSDzsTRhun7Ih5lPSrCFRpYJ0=",
            "CodeSize": 161
          },
          "LayerArn": "arn:aws:lambda:us-east-1:000000000000:layer:l",
          "LayerVersionArn": "arn:aws:lambda:us-east-1:000000000000:layer:l:1",
          "Description": "",
          "CreatedDate": "2024-01-01T00:00:00.000+0000",
          "Version": 1,
          "CompatibleRuntimes": [
            "nodejs20.x"
          ]
        }"#]]
    .assert_eq(&pretty(made));
    let link = link.as_str().unwrap().split_once("4566").unwrap().1.to_owned();
    assert_eq!(bench.send("GET", &link, &[], Bytes::new()).await.status, 200);
    publish(&bench, "l", "2").await;
    bench.check("DELETE", &format!("{LAYERS}/l/versions/2"), Value::Null, expect!["204"]).await;
    bench.check("DELETE", &format!("{LAYERS}/l/versions/2"), Value::Null, expect!["204"]).await;
    let bench = bench.reopened().await;
    assert_eq!(publish(&bench, "l", "3").await["Version"], 3);
    let (_, listed) = bench.call("GET", &format!("{LAYERS}/l/versions"), Value::Null).await;
    let numbers: Vec<&Value> =
        listed["LayerVersions"].as_array().unwrap().iter().map(|v| &v["Version"]).collect();
    assert_eq!(numbers, [3, 1]);
    let (_, page) =
        bench.call("GET", &format!("{LAYERS}/l/versions?MaxItems=1"), Value::Null).await;
    let marker = page["NextMarker"].as_str().unwrap();
    let next = format!("{LAYERS}/l/versions?MaxItems=1&Marker={marker}");
    assert_eq!(bench.call("GET", &next, Value::Null).await.1["LayerVersions"][0]["Version"], 1);
    let (_, all) =
        bench.call("GET", &format!("{LAYERS}?CompatibleRuntime=nodejs20.x"), Value::Null).await;
    assert_eq!(all["Layers"][0]["LatestMatchingVersion"]["Version"], 3);
    let (_, none) =
        bench.call("GET", &format!("{LAYERS}?CompatibleRuntime=java21"), Value::Null).await;
    assert_eq!(none, json!({"Layers": []}));
    let by_arn = format!("{LAYERS}?find=LayerVersion&Arn={ARN}:3");
    assert_eq!(
        bench.call("GET", &by_arn, Value::Null).await.1["LayerVersionArn"],
        format!("{ARN}:3")
    );
}

#[tokio::test]
async fn a_function_keeps_its_layers() {
    let bench = Bench::new().await;
    let size = publish(&bench, "l", "1").await["Content"]["CodeSize"].clone();
    let mut body = hello("f");
    body["Layers"] = json!([format!("{ARN}:1")]);
    bench.check("POST", BASE, body, expect!["201"]).await;
    let expected = json!([{"Arn": format!("{ARN}:1"), "CodeSize": size}]);
    assert_eq!(bench.settled("f").await["Layers"], expected);
    bench.check("DELETE", &format!("{LAYERS}/l/versions/1"), Value::Null, expect!["204"]).await;
    let update = json!({"Layers": [format!("{ARN}:1")], "Timeout": 7});
    let configuration = format!("{BASE}/f/configuration");
    bench.check("PUT", &configuration, update, expect!["200"]).await;
    let bench = bench.reopened().await;
    let settled = bench.settled("f").await;
    assert_eq!((&settled["Layers"], &settled["Timeout"]), (&expected, &json!(7)));
    let dirs = || fs::read_dir(bench.dir.path().join("packages")).unwrap().count();
    let before = dirs();
    bench.check("PUT", &configuration, json!({"Layers": []}), expect!["200"]).await;
    assert_eq!(bench.settled("f").await.get("Layers"), None);
    for _ in 0..500 {
        if dirs() < before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the layer's package stays");
}

#[tokio::test]
async fn refuses_what_aws_refuses() {
    let bench = Bench::new().await;
    publish(&bench, "l", "1").await;
    publish(&bench, "l", "2").await;
    let other = "arn:aws:lambda:us-east-1:123456789012:layer:l:1";
    for (layers, expected) in [
        (
            json!([format!("{ARN}:9")]),
            expect![[
                r#"400 InvalidParameterValueException {"Type":"User","message":"Layer version arn:aws:lambda:us-east-1:000000000000:layer:l:9 does not exist."}"#
            ]],
        ),
        (
            json!([format!("{ARN}:1"), format!("{ARN}:2")]),
            expect![[
                r#"400 InvalidParameterValueException {"Type":"User","message":"Two different versions of the same layer are not allowed to be referenced in the same function. arn:aws:lambda:us-east-1:000000000000:layer:l:1 and arn:aws:lambda:us-east-1:000000000000:layer:l:2 are versions of the same layer."}"#
            ]],
        ),
        (
            json!([other]),
            expect![[
                r#"403 AccessDeniedException {"Message":"User is not authorized to perform: lambda:GetLayerVersion on resource: arn:aws:lambda:us-east-1:123456789012:layer:l:1"}"#
            ]],
        ),
    ] {
        let mut body = hello("f");
        body["Layers"] = layers;
        bench.check("POST", BASE, body, expected).await;
    }
    let version = |number| format!("{LAYERS}/l/versions/{number}");
    bench.check("GET", &version("9"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"The resource you requested does not exist."}"#]]).await;
    bench.check("GET", &version("0"), Value::Null, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Layer Version Cannot be less than 1"}"#]]).await;
    bench
        .check("GET", &format!("{LAYERS}?find=LayerVersion&Arn=x"), Value::Null, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'x' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"}"#]])
        .await;
    let bad = json!({"Content": {"ZipFile": ""}, "CompatibleRuntimes": ["x"], "CompatibleArchitectures": ["y"]});
    bench.check("POST", &format!("{LAYERS}/l/versions"), bad, expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value '[x]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2]; Value '[y]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"}"#]]).await;
    let empty = json!({"Content": {"ZipFile": ""}});
    bench.check("POST", &format!("{LAYERS}/l/versions"), empty, expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Uploaded file must be a non-empty zip"}"#]]).await;
}

#[tokio::test]
async fn versions_have_policies() {
    let bench = Bench::new().await;
    publish(&bench, "l", "1").await;
    let policy = format!("{LAYERS}/l/versions/1/policy");
    bench.check("GET", &policy, Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"No policy is associated with the given resource."}"#]]).await;
    let body = json!({"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"});
    let (status, added) = bench.call("POST", &policy, body.clone()).await;
    assert_eq!(status, 201);
    expect![[r#"{"Sid":"s","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"arn:aws:lambda:us-east-1:000000000000:layer:l:1"}"#]].assert_eq(added["Statement"].as_str().unwrap());
    let (_, shown) = bench.call("GET", &policy, Value::Null).await;
    assert_eq!(shown["RevisionId"], added["RevisionId"]);
    bench.check("POST", &policy, body, expect![[r#"409 ResourceConflictException {"Type":"User","message":"The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement."}"#]]).await;
    bench.check("DELETE", &format!("{policy}/t"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Statement t is not found in resource policy."}"#]]).await;
    bench.check("DELETE", &format!("{policy}/s?RevisionId=x"), Value::Null, expect![[r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"}"#]]).await;
    bench.check("DELETE", &format!("{policy}/s"), Value::Null, expect!["204"]).await;
    bench
        .check("GET", &format!("{LAYERS}/l/versions/7/policy"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Layer version arn:aws:lambda:us-east-1:000000000000:layer:l:7 does not exist."}"#]])
        .await;
}
