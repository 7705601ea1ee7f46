//! The API as a client sees it, against a real store in a directory of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use expect_test::{Expect, expect};
use http::{HeaderMap, Method};
use nilas_engine::{Engine, EngineConfig, LogEvent, LogSink};
use nilas_model::{
    AccountId, AuthContext, CredentialIssuer, Origin, Principal, Region, RequestId,
    SessionCredentials, SimClock,
};
use nilas_sandbox::fake::{FakeProcess, FakeSandbox};
use nilas_store::Store;
use nilas_wire::{ApiRequest, ApiResponse};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{RuntimeCatalog, RuntimesConfig, SearchPaths, SigningKey};
use crate::{Service, Services, ServicesConfig};

mod aliases;
mod concurrency;
mod layers;
mod permissions;
mod small_settings;
mod snap_start;

const BASE: &str = "/2015-03-31/functions";

struct Bench {
    services: Services,
    engine: Engine,
    auth: AuthContext,
    sandbox: FakeSandbox,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = FakeSandbox::new();
        let (services, engine) = open(dir.path(), &sandbox).await;
        Self { services, engine, auth: auth(), sandbox, dir }
    }

    /// As after a restart of the server.
    async fn reopened(self) -> Self {
        let Self { services, engine, auth, sandbox, dir } = self;
        engine.shutdown(Duration::ZERO).await;
        drop(services);
        let (services, engine) = open(dir.path(), &sandbox).await;
        Self { services, engine, auth, sandbox, dir }
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> ApiResponse {
        let request = request(method, target, headers, body);
        let path = request.path.as_str();
        let service = if path.starts_with("/awslambda") { Service::S3 } else { Service::Lambda };
        self.services.handle(service, &self.auth, request).await
    }

    async fn call(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = self.send(method, target, &[], body).await;
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status.as_u16(), body)
    }

    /// `STATUS CODE BODY` of an error, `STATUS` of anything else.
    async fn check(&self, method: &str, target: &str, body: Value, expected: Expect) {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let response = self.send(method, target, &[], body).await;
        let mut text = response.status.as_u16().to_string();
        if let Some(code) = response.headers.get("x-amzn-errortype") {
            text = format!(
                "{text} {} {}",
                code.to_str().unwrap(),
                String::from_utf8_lossy(&response.body)
            );
        }
        expected.assert_eq(&text);
    }

    async fn create(&self, name: &str) -> Value {
        let (status, answer) = self.call("POST", BASE, hello(name)).await;
        assert_eq!(status, 201, "{answer}");
        self.settled(name).await;
        answer
    }

    async fn publish(&self, name: &str) {
        let target = format!("{BASE}/{name}/versions");
        assert_eq!(self.call("POST", &target, json!({})).await.0, 201);
    }

    /// Waits as the SDKs' waiters do.
    async fn settled(&self, name: &str) -> Value {
        for _ in 0..500 {
            let (_, answer) =
                self.call("GET", &format!("{BASE}/{name}/configuration"), Value::Null).await;
            if answer["State"] == "Active" && answer["LastUpdateStatus"] == "Successful" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{name} did not settle");
    }
}

fn request(
    method: &str,
    target: &str,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> ApiRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    ApiRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: map,
        body,
        request_id: RequestId::random(),
        local: ([127, 0, 0, 1], 4566).into(),
        source_ip: [127, 0, 0, 1].into(),
    }
}

fn auth() -> AuthContext {
    AuthContext {
        account: AccountId::parse("000000000000").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
        principal: Principal::Root,
        access_key_id: "test".to_owned(),
        origin: Origin::Loopback,
    }
}

async fn open(dir: &Path, sandbox: &FakeSandbox) -> (Services, Engine) {
    let overrides = BTreeMap::from([
        ("nodejs".to_owned(), interpreter(dir, "node", "v20.1.0")),
        ("python3".to_owned(), interpreter(dir, "python3", "Python 3.12.1")),
    ]);
    let runtimes =
        RuntimeCatalog::new(RuntimesConfig { overrides, strict: false }, SearchPaths::default());
    // The store of a server that has just stopped is free once its last task has ended.
    let mut store = Store::open(&dir.join("store"));
    for _ in 0..500 {
        if store.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        store = Store::open(&dir.join("store"));
    }
    let store = store.unwrap();
    let clock = Arc::new(SimClock::at_epoch_ms(1_704_067_200_000));
    let config = ServicesConfig {
        data_dir: dir.to_owned(),
        account_concurrency: 1_000,
        signing_key: SigningKey {
            access_key_id: "AKIA".to_owned(),
            secret_access_key: "secret".to_owned(),
        },
        virtual_clock: None,
        roles_administer: false,
    };
    let engine = engine(dir, sandbox, clock.clone());
    let services =
        Services::new(config, store, engine.clone(), runtimes, Arc::new(Nothing), clock).await;
    (services.unwrap(), engine)
}

fn engine(dir: &Path, sandbox: &FakeSandbox, clock: Arc<SimClock>) -> Engine {
    let config = EngineConfig { runtime_dir: dir.join("runtime"), ..EngineConfig::default() };
    Engine::new(config, Arc::new(sandbox.clone()), Arc::new(Nothing), Arc::new(Nothing), clock)
        .unwrap()
}

/// Takes logs and gives credentials that nobody looks at.
#[derive(Debug)]
struct Nothing;

impl LogSink for Nothing {
    fn append(&self, _: &str, _: &str, _: Vec<LogEvent>) {}
}

impl CredentialIssuer for Nothing {
    fn issue(&self, _: &AccountId, _: &Principal, expires_epoch_ms: u64) -> SessionCredentials {
        SessionCredentials {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: String::new(),
            expires_epoch_ms,
        }
    }
}

/// A script that tells the version it was made for.
fn interpreter(dir: &Path, name: &str, version: &str) -> PathBuf {
    let prefix = dir.join(format!("installed-{name}"));
    let path = prefix.join("bin").join(name);
    if !path.exists() {
        fs::create_dir_all(prefix.join("bin")).unwrap();
        fs::create_dir_all(prefix.join("lib")).unwrap();
        fs::write(
            &path,
            format!("#!/bin/sh\ncase $1 in -*v*) echo '{version}';; *) echo \"$0\";; esac\n"),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

fn zip(content: &str) -> String {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("index.js", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(content.as_bytes()).unwrap();
    BASE64.encode(zip.finish().unwrap().into_inner())
}

fn hello(name: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "nodejs20.x",
        "Role": "arn:aws:iam::123456789012:role/any",
        "Handler": "index.handler",
        "Code": {"ZipFile": zip("exports.handler = async () => 1")},
    })
}

/// `hello` with other members; null takes one away.
fn with(name: &str, members: Value) -> Value {
    let mut body = hello(name);
    for (key, value) in members.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Pretty, without what differs from run to run.
fn pretty(mut value: Value) -> String {
    for member in ["RevisionId", "CodeSha256", "CodeSize"] {
        if value.get(member).is_some() {
            value[member] = json!("…");
        }
    }
    serde_json::to_string_pretty(&value).unwrap()
}

#[tokio::test]
async fn a_new_function_is_pending_then_active_with_defaults() {
    let bench = Bench::new().await;
    let created = bench.create("hello").await;
    let settled = bench.settled("hello").await;
    assert_ne!(created["RevisionId"], settled["RevisionId"]);
    expect![[r#"
        {
          "FunctionName": "hello",
          "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:hello",
          "Runtime": "nodejs20.x",
          "Role": "arn:aws:iam::123456789012:role/any",
          "Handler": "index.handler",
          "CodeSize": "…",
          "Description": "",
          "Timeout": 3,
          "MemorySize": 128,
          "LastModified": "2024-01-01T00:00:00.000+0000",
          "CodeSha256": "…",
          "Version": "$LATEST",
          "TracingConfig": {
            "Mode": "PassThrough"
          },
          "RevisionId": "…",
          "State": "Pending",
          "StateReason": "The function is being created.",
          "StateReasonCode": "Creating",
          "PackageType": "Zip",
          "Architectures": [
            "x86_64"
          ],
          "EphemeralStorage": {
            "Size": 512
          },
          "SnapStart": {
            "ApplyOn": "None",
            "OptimizationStatus": "Off"
          },
          "RuntimeVersionConfig": {
            "RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:0a306665fb0b30630599db6a1ba7dcd7ee45abfa256a16fb574789f9aa4df3aa"
          },
          "LoggingConfig": {
            "LogFormat": "Text",
            "LogGroup": "/aws/lambda/hello"
          }
        }"#]].assert_eq(&pretty(created));
    expect![[r#"
        {
          "FunctionName": "hello",
          "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:hello",
          "Runtime": "nodejs20.x",
          "Role": "arn:aws:iam::123456789012:role/any",
          "Handler": "index.handler",
          "CodeSize": "…",
          "Description": "",
          "Timeout": 3,
          "MemorySize": 128,
          "LastModified": "2024-01-01T00:00:00.000+0000",
          "CodeSha256": "…",
          "Version": "$LATEST",
          "TracingConfig": {
            "Mode": "PassThrough"
          },
          "RevisionId": "…",
          "State": "Active",
          "LastUpdateStatus": "Successful",
          "PackageType": "Zip",
          "Architectures": [
            "x86_64"
          ],
          "EphemeralStorage": {
            "Size": 512
          },
          "SnapStart": {
            "ApplyOn": "None",
            "OptimizationStatus": "Off"
          },
          "RuntimeVersionConfig": {
            "RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:0a306665fb0b30630599db6a1ba7dcd7ee45abfa256a16fb574789f9aa4df3aa"
          },
          "LoggingConfig": {
            "LogFormat": "Text",
            "LogGroup": "/aws/lambda/hello"
          }
        }"#]].assert_eq(&pretty(settled));
}

#[tokio::test]
async fn create_refuses_in_the_words_of_aws() {
    let bench = Bench::new().await;
    let check = async |members: Value, expected: Expect| {
        bench.check("POST", BASE, with("f", members), expected).await
    };
    check(json!({"FunctionName": null, "Role": "r", "Timeout": 0}), expect![[r#"400 ValidationException {"message":"3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null; Value 'r' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+; Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#]]).await;
    check(json!({"FunctionName": "a b"}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"}"#]]).await;
    check(json!({"FunctionName": "n".repeat(65)}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"1 validation error detected: Value 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64"}"#]]).await;
    check(
        json!({"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f"}),
        expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"}"#]],
    )
    .await;
    check(
        json!({"FunctionName": "arn:aws:lambda:us-east-1:111111111111:function:f"}),
        expect![[r#"403 AccessDeniedException {"Message":""}"#]],
    )
    .await;
    check(json!({"Runtime": "nodejs99.x"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Value nodejs99.x at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2] or be a valid ARN"}"#]]).await;
    check(json!({"Runtime": "java8"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The runtime parameter of java8 is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions."}"#]]).await;
    check(json!({"Runtime": "java21"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The runtime java21 cannot run on this server: nilas runs nodejs, python3 and custom runtimes; bring this one as a custom runtime (provided.al2023 with an executable `bootstrap` in the package)."}"#]]).await;
    check(json!({"Handler": null}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Runtime and Handler are mandatory parameters for functions created with deployment packages."}"#]]).await;
    check(json!({"Architectures": ["x86_64", "arm64"]}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1"}"#]]).await;
    check(json!({"Environment": {"Variables": {"A": "1"}}}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"}"#]]).await;
    check(
        json!({"Environment": {"Variables": {"AWS_REGION": "x", "_HANDLER": "y"}}}),
        expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION, _HANDLER"}"#]],
    )
    .await;
    check(json!({"Environment": {"Variables": {"LONG": "x".repeat(4_090)}}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {\"LONG\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"}"#]]).await;
    check(json!({"MemorySize": 127, "Description": "d".repeat(257)}), expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value 'ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd' at 'description' failed to satisfy constraint: Member must have length less than or equal to 256; Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"}"#]]).await;
    check(json!({"Code": {}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Please provide a source for function code."}"#]]).await;
    check(json!({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"}"#]]).await;
    check(json!({"Code": {"ImageUri": "x"}, "PackageType": "Image"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Functions from container images (ImageUri, PackageType Image) are not supported by this server yet. Provide a deployment package in ZipFile."}"#]]).await;
    check(json!({"Code": {"ZipFile": BASE64.encode("no zip")}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Could not unzip uploaded file. Please check your file, then try to upload again."}"#]]).await;
    check(json!({"Code": {"ZipFile": ""}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Uploaded file must be a non-empty zip"}"#]]).await;
    check(json!({"Timeout": "x"}), expect![[r#"400 SerializationException {"message":"STRING_VALUE can not be converted to an Integer"}"#]]).await;
    check(json!({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Layer version arn:aws:lambda:us-east-1:000000000000:layer:l:1 does not exist."}"#]])
        .await;
    check(json!({"VpcConfig": {"SubnetIds": ["subnet-1"]}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet ID 'subnet-1' does not exist"}"#]]).await;
    check(json!({"SnapStart": {"ApplyOn": "Always"}}), expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'Always' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]"}"#]]).await;
    let response = bench.send("POST", BASE, &[], Bytes::from_static(b"{no")).await;
    expect![[r#"{"Type":"User","message":"Could not parse request body into json: key must be a string at line 1 column 2"}"#]].assert_eq(&String::from_utf8_lossy(&response.body));
}

#[tokio::test]
async fn create_takes_the_empty_members_that_zappa_sends() {
    let bench = Bench::new().await;
    let body = with(
        "f",
        json!({
            "VpcConfig": {}, "DeadLetterConfig": {}, "KMSKeyArn": "", "FileSystemConfigs": [], "SnapStart": {"ApplyOn": "None"},
            "TracingConfig": {"Mode": "PassThrough"}, "Environment": {"Variables": {}}, "Layers": [], "Publish": true,
        }),
    );
    let (status, answer) = bench.call("POST", BASE, body).await;
    assert_eq!(
        (status, &answer["Version"], &answer["State"]),
        (201, &json!("1"), &json!("Pending"))
    );
    assert_eq!(answer["Environment"], json!({"Variables": {}}));
    for absent in ["VpcConfig", "DeadLetterConfig", "KMSKeyArn", "FileSystemConfigs", "Layers"] {
        assert_eq!(answer.get(absent), None, "{absent}");
    }
    bench.check("POST", BASE, hello("f"), expect![[r#"409 ResourceConflictException {"Type":"User","message":"Function already exist: f"}"#]]).await;
}

#[tokio::test]
async fn names_and_qualifiers_of_every_form_resolve() {
    let bench = Bench::new().await;
    bench.create("f").await;
    bench.call("POST", &format!("{BASE}/f/versions"), json!({})).await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    for (name, expected) in [
        ("f", arn.to_owned()),
        ("f?Qualifier=$LATEST", format!("{arn}:$LATEST")),
        ("f:1", format!("{arn}:1")),
        ("function:f:1", format!("{arn}:1")),
        ("000000000000:function:f", arn.to_owned()),
        (&format!("{arn}:1?Qualifier=1"), format!("{arn}:1")),
        ("f%3A1", format!("{arn}:1")),
    ] {
        let (status, answer) = bench.call("GET", &format!("{BASE}/{name}"), Value::Null).await;
        assert_eq!(
            (status, &answer["Configuration"]["FunctionArn"]),
            (200, &json!(expected)),
            "{name}"
        );
    }
    let check = async |name: &str, expected: Expect| {
        bench.check("GET", &format!("{BASE}/{name}"), Value::Null, expected).await
    };
    check("missing", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"}"#]]).await;
    check("missing:live", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:live"}"#]]).await;
    check("f:live", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:live"}"#]]).await;
    check("f:2", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:2"}"#]]).await;
    check("f?Qualifier=$latest", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:$latest"}"#]]).await;
    check("f:1?Qualifier=2", expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The derived qualifier from the function name does not match the specified qualifier."}"#]]).await;
    check("arn:aws:lambda:eu-west-1:000000000000:function:f", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"}"#]]).await;
    check("a%20b?Qualifier=x%20y", expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value 'x y' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+; Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"}"#]]).await;
}

#[tokio::test]
async fn updates_merge_and_move_the_status() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let target = format!("{BASE}/f/configuration");
    let body = json!({
        "Timeout": 9, "Environment": {"Variables": {"KEY": "v"}}, "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
        "LoggingConfig": {"LogFormat": "JSON"}, "Runtime": "python3.12",
    });
    let (status, answer) = bench.call("PUT", &target, body).await;
    assert_eq!(
        (status, &answer["State"], &answer["LastUpdateStatus"]),
        (200, &json!("Active"), &json!("InProgress"))
    );
    assert_eq!(answer["LastUpdateStatusReasonCode"], "Creating");
    bench.settled("f").await;
    let (_, answer) = bench
        .call("PUT", &target, json!({"KMSKeyArn": "", "MemorySize": 256, "DeadLetterConfig": {}}))
        .await;
    assert_eq!(
        (&answer["Timeout"], &answer["MemorySize"], answer.get("KMSKeyArn")),
        (&json!(9), &json!(256), None)
    );
    assert_eq!(answer["Environment"], json!({"Variables": {"KEY": "v"}}));
    let group = "/aws/lambda/f";
    let json_logging = json!({"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": group});
    assert_eq!(answer["LoggingConfig"], json_logging);
    let revision = bench.settled("f").await["RevisionId"].clone();
    bench.check("PUT", &target, json!({"RevisionId": "stale"}), expect![[r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#]]).await;
    bench
        .check(
            "PUT",
            &target,
            json!({"RevisionId": revision, "LoggingConfig": {"LogFormat": "Text"}}),
            expect!["200"],
        )
        .await;
    let settled = bench.settled("f").await;
    assert_eq!(settled["LoggingConfig"], json!({"LogFormat": "Text", "LogGroup": group}));
    bench.check("PUT", &target, json!({"Runtime": "cobol"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2] or be a valid ARN"}"#]]).await;
}

#[tokio::test]
async fn code_updates_publish_and_dry_run() {
    let bench = Bench::new().await;
    let created = bench.create("f").await;
    let target = format!("{BASE}/f/code");
    let (status, dry) =
        bench.call("PUT", &target, json!({"ZipFile": zip("two"), "DryRun": true})).await;
    assert_eq!(status, 200);
    assert_ne!(dry["CodeSha256"], created["CodeSha256"]);
    assert_eq!(bench.settled("f").await["CodeSha256"], created["CodeSha256"]);
    let (status, answer) =
        bench.call("PUT", &target, json!({"ZipFile": zip("two"), "Publish": true})).await;
    assert_eq!(
        (status, &answer["Version"], &answer["State"]),
        (200, &json!("1"), &json!("Pending"))
    );
    assert_eq!(answer["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:1");
    assert_eq!(answer.get("LastUpdateStatus"), None);
    bench.settled("f").await;
    bench.settled("f:1").await;
    bench.check("PUT", &target, json!({"ImageUri": "x"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Please don't provide ImageUri when updating a function with packageType Zip."}"#]]).await;
    bench.check("PUT", &target, json!({}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Please provide a source for function code."}"#]]).await;
    bench
        .check("PUT", &format!("{BASE}/missing/code"), json!({"ZipFile": zip("x")}), expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"}"#]])
        .await;
}

#[tokio::test]
async fn versions_are_published_once_and_numbers_never_return() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let versions = format!("{BASE}/f/versions");
    let publish = async |body: Value| {
        let (status, answer) = bench.call("POST", &versions, body).await;
        assert_eq!(status, 201, "{answer}");
        answer
    };
    let first = publish(json!({"Description": "one"})).await;
    assert_eq!(
        (&first["Version"], &first["Description"], &first["State"]),
        (&json!("1"), &json!("one"), &json!("Active"))
    );
    assert_eq!(first["LastUpdateStatus"], "Successful");
    assert_eq!(publish(json!({})).await["Version"], "1");
    bench.call("PUT", &format!("{BASE}/f/configuration"), json!({"Timeout": 5})).await;
    bench.settled("f").await;
    assert_eq!(publish(json!({})).await["Version"], "2");
    bench.check("DELETE", &format!("{BASE}/f?Qualifier=2"), Value::Null, expect!["204"]).await;
    bench.check("DELETE", &format!("{BASE}/f?Qualifier=2"), Value::Null, expect!["204"]).await;
    assert_eq!(publish(json!({})).await["Version"], "3");
    bench.check("POST", &versions, json!({"CodeSha256": "x"}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"CodeSHA256 (x) is different from current CodeSHA256 in $LATEST (aEIeqK5s/I7/rDUuribTPfpPPY8L+y+Uel/U9WO+0IY=). Please try again with the CodeSHA256 in $LATEST."}"#]]).await;
    bench.check("POST", &versions, json!({"RevisionId": "x"}), expect![[r#"412 PreconditionFailedException {"Type":"User","message":"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"}"#]]).await;
    let (_, list) = bench.call("GET", &versions, Value::Null).await;
    let listed: Vec<&Value> =
        list["Versions"].as_array().unwrap().iter().map(|version| &version["Version"]).collect();
    assert_eq!(listed, ["$LATEST", "1", "3"]);
    let (_, page) = bench.call("GET", &format!("{versions}?MaxItems=2"), Value::Null).await;
    let marker = page["NextMarker"].as_str().unwrap();
    let (_, page) =
        bench.call("GET", &format!("{versions}?MaxItems=2&Marker={marker}"), Value::Null).await;
    assert_eq!(
        (page["Versions"][0]["Version"].as_str(), page.get("NextMarker")),
        (Some("3"), None)
    );
}

#[tokio::test]
async fn deletion_takes_all_or_one_version() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let check = async |name: &str, expected: Expect| {
        bench.check("DELETE", &format!("{BASE}/{name}"), Value::Null, expected).await
    };
    check("f?Qualifier=$LATEST", expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"$LATEST version cannot be deleted without deleting the function."}"#]]).await;
    check("f?Qualifier=live", expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Deletion of aliases is not currently supported."}"#]]).await;
    check("missing:3", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"}"#]]).await;
    check("f", expect!["204"]).await;
    check("f", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f"}"#]]).await;
    bench.create("f").await;
}

#[tokio::test]
async fn lists_page_by_name_and_version() {
    let bench = Bench::new().await;
    for name in ["b", "a", "ab"] {
        bench.create(name).await;
    }
    bench.call("POST", &format!("{BASE}/a/versions"), json!({})).await;
    let arns = |answer: &Value| -> Vec<String> {
        let items = answer["Functions"].as_array().unwrap();
        items
            .iter()
            .map(|item| {
                item["FunctionArn"].as_str().unwrap().rsplit_once("function:").unwrap().1.to_owned()
            })
            .collect()
    };
    let (_, all) = bench.call("GET", &format!("{BASE}/"), Value::Null).await;
    assert_eq!(arns(&all), ["a", "ab", "b"]);
    assert_eq!(
        (all["Functions"][0].get("State"), all["Functions"][0].get("RuntimeVersionConfig")),
        (None, None)
    );
    let mut seen = Vec::new();
    let mut marker = String::new();
    loop {
        let (_, page) = bench
            .call("GET", &format!("{BASE}?FunctionVersion=ALL&MaxItems=1{marker}"), Value::Null)
            .await;
        seen.extend(arns(&page));
        match page["NextMarker"].as_str() {
            Some(next) => marker = format!("&Marker={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a:$LATEST", "a:1", "ab:$LATEST", "b:$LATEST"]);
    let check = async |query: &str, expected: Expect| {
        bench.check("GET", &format!("{BASE}?{query}"), Value::Null, expected).await
    };
    check("FunctionVersion=NONE", expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'NONE' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]"}"#]]).await;
    check("MaxItems=0&MasterRegion=nowhere", expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value 'nowhere' at 'masterRegion' failed to satisfy constraint: Member must satisfy regular expression pattern: ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}; Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#]]).await;
    check("Marker=%21", expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"The pagination token is invalid."}"#]]).await;
}

#[tokio::test]
async fn tags_belong_to_functions() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let tags = "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af";
    bench.check("POST", tags, json!({"Tags": {"a": "1", "b": "2"}}), expect!["204"]).await;
    bench
        .check("DELETE", &format!("{tags}?tagKeys=a&tagKeys=zz"), Value::Null, expect!["204"])
        .await;
    assert_eq!(bench.call("GET", tags, Value::Null).await, (200, json!({"Tags": {"b": "2"}})));
    let (_, answer) = bench.call("GET", &format!("{BASE}/f"), Value::Null).await;
    assert_eq!(answer["Tags"], json!({"b": "2"}));
    bench.check("POST", tags, json!({"Tags": {}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"An error occurred and the request cannot be processed."}"#]]).await;
    bench.check("POST", &format!("{tags}%3A1"), json!({"Tags": {"a": "1"}}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Tags on function aliases and versions are not supported. Please specify a function ARN."}"#]]).await;
    bench
        .check(
            "GET",
            &tags.replace("%3Af", "%3Amissing").replace("%3Amissingunction", "%3Afunction"),
            Value::Null,
            expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing"}"#]],
        )
        .await;
    bench.check("DELETE", tags, Value::Null, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"}"#]]).await;
    bench.check("GET", "/2017-03-31/tags/nonsense", Value::Null, expect![[r#"400 ValidationException {"message":"1 validation error detected: Value 'nonsense' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}|capacity-provider:[a-zA-Z0-9-_]+)"}"#]]).await;
    let many: BTreeMap<String, String> =
        (0..51).map(|n| (format!("k{n}"), String::new())).collect();
    bench.check("POST", tags, json!({"Tags": many}), expect![[r#"400 InvalidParameterValueException {"Type":"User","message":"Number of tags exceeds resource tag limit."}"#]]).await;
}

#[tokio::test]
async fn the_location_of_code_works_and_its_bucket_takes_nothing() {
    let bench = Bench::new().await;
    let created = bench.create("my-function").await;
    let (_, answer) = bench.call("GET", &format!("{BASE}/my-function"), Value::Null).await;
    let location = answer["Code"]["Location"].as_str().unwrap();
    assert!(location.contains("X-Amz-Signature="), "{location}");
    let path = location.strip_prefix("http://127.0.0.1:4566").unwrap();
    let response = bench.send("GET", path, &[], Bytes::new()).await;
    assert_eq!(response.body.len() as u64, created["CodeSize"].as_u64().unwrap());
    let response = bench.send("PUT", "/awslambda-us-east-1-tasks/x", &[], Bytes::new()).await;
    assert_eq!(response.status, 405);
    let response = bench
        .send("GET", "/awslambda-us-east-1-tasks/snapshots/000000000000/x-y", &[], Bytes::new())
        .await;
    assert!(String::from_utf8_lossy(&response.body).contains("<Code>NoSuchKey</Code>"));
}

#[tokio::test]
async fn invoke_refuses_before_it_starts_anything() {
    let bench = Bench::new().await;
    bench.create("f").await;
    let invoke = async |name: &str,
                        headers: &[(&'static str, &str)],
                        body: &'static [u8],
                        expected: Expect| {
        let response =
            bench.send("POST", &format!("{BASE}/{name}"), headers, Bytes::from_static(body)).await;
        let code =
            response.headers.get("x-amzn-errortype").map(|code| code.to_str().unwrap().to_owned());
        let body = String::from_utf8_lossy(&response.body).into_owned();
        expected.assert_eq(&format!(
            "{} {} {body}",
            response.status.as_u16(),
            code.unwrap_or_default()
        ));
    };
    let path = "f/invocations";
    invoke("missing/invocations", &[], b"{}", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:missing:$LATEST"}"#]]).await;
    invoke("f/invocations?Qualifier=live", &[], b"{}", expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:live"}"#]]).await;
    invoke(path, &[("x-amz-invocation-type", "DryRun")], b"{}", expect!["204  "]).await;
    invoke(path, &[("x-amz-invocation-type", "Event")], b"{}", expect!["202  "]).await;
    invoke(
        path,
        &[("x-amz-invocation-type", "Later"), ("x-amz-log-type", "All")],
        b"{}",
        expect![[r#"400 ValidationException {"message":"2 validation errors detected: Value 'Later' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]; Value 'All' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]"}"#]],
    )
    .await;
    invoke(path, &[("x-amz-client-context", "!")], b"{}", expect![[r#"400 InvalidRequestContentException {"Type":"User","message":"Client context must be a valid Base64-encoded JSON object."}"#]]).await;
    invoke(path, &[], b"nope", expect![[r#"400 InvalidRequestContentException {"Type":"User","message":"Could not parse request body into json: Could not parse payload into json: Unrecognized token 'nope': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 5]"}"#]]).await;
    invoke(path, &[], b"\"\x87\"", expect![[r#"400 InvalidRequestContentException {"Type":"User","message":"Could not parse request body into json: Could not parse payload into json: Invalid UTF-8 start byte 0x87\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 2]"}"#]]).await;
    let big = vec![b' '; nilas_model::limits::SYNC_PAYLOAD_BYTES_MAX + 1];
    let response = bench.send("POST", &format!("{BASE}/{path}"), &[], Bytes::from(big)).await;
    expect![[r#"{"message":"6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"}"#]].assert_eq(&String::from_utf8_lossy(&response.body));
}

/// Plays a runtime for one invocation: answers with `answer`, returns the header and the event it got.
async fn play(process: &FakeProcess, kind: u8, answer: &str) -> (Value, Value) {
    let mut channel = UnixStream::from_std(process.channel.try_clone().unwrap()).unwrap();
    let frame = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len() + 1).unwrap();
        [&length.to_le_bytes(), &[kind][..], payload].concat()
    };
    channel.write_all(&frame(1, b"")).await.unwrap();
    let length = channel.read_u32_le().await.unwrap() as usize;
    let mut invoke = vec![0; length];
    channel.read_exact(&mut invoke).await.unwrap();
    let header_end = 5 + u32::from_le_bytes(invoke[1..5].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&invoke[5..header_end]).unwrap();
    let id = header["requestId"].as_str().unwrap();
    channel.write_all(&frame(kind, format!("{id}{answer}").as_bytes())).await.unwrap();
    (header, serde_json::from_slice(&invoke[header_end..]).unwrap())
}

#[tokio::test]
async fn invoke_reaches_the_function_and_its_answer_the_caller() {
    const RESPONSE: u8 = 2;
    const ERROR: u8 = 3;
    let bench = Bench::new().await;
    bench.create("f").await;
    bench.call("POST", &format!("{BASE}/f/versions"), json!({})).await;
    let check = async |name: &str, kind: u8, answer: &str, expected: Expect| {
        let context = BASE64.encode(r#"{"client":{}}"#);
        let headers = [("x-amz-log-type", "Tail"), ("x-amz-client-context", context.as_str())];
        let target = format!("{BASE}/{name}");
        let sent = bench.send("POST", &target, &headers, Bytes::new());
        let played = async {
            let process = bench.sandbox.next_started().await;
            (play(&process, kind, answer).await, process)
        };
        let (response, ((header, event), _process)) = tokio::join!(sent, played);
        let shown = |name: &str| {
            response.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
        };
        let tail = BASE64.decode(shown("x-amz-log-result")).unwrap();
        expected.assert_eq(&format!(
            "{} {} version {} error {}\n{} {} {event}\n{}",
            response.status.as_u16(),
            String::from_utf8_lossy(&response.body),
            shown("x-amz-executed-version"),
            shown("x-amz-function-error"),
            header["invokedFunctionArn"],
            header["clientContext"],
            String::from_utf8_lossy(&tail).contains("REPORT RequestId: "),
        ));
    };
    check(
        "f/invocations",
        RESPONSE,
        "1",
        expect![[r#"
        200 1 version $LATEST error -
        "arn:aws:lambda:us-east-1:000000000000:function:f" "{\"client\":{}}" {}
        true"#]],
    )
    .await;
    check(
        "f:1/invocations",
        ERROR,
        r#"{"errorType":"Error"}"#,
        expect![[r#"
        200 {"errorType":"Error"} version 1 error Unhandled
        "arn:aws:lambda:us-east-1:000000000000:function:f:1" "{\"client\":{}}" {}
        true"#]],
    )
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let bench = Bench::new().await;
    bench.create("kept").await;
    bench.create("gone").await;
    bench.call("POST", &format!("{BASE}/kept/versions"), json!({})).await;
    bench.call("DELETE", &format!("{BASE}/gone"), Value::Null).await;
    // Accepted, and perhaps not settled when the server stops.
    let (status, _) =
        bench.call("PUT", &format!("{BASE}/kept/code"), json!({"ZipFile": zip("new")})).await;
    assert_eq!(status, 200);
    fs::remove_dir_all(bench.dir.path().join("packages")).unwrap();
    let bench = bench.reopened().await;
    bench.settled("kept").await;
    bench.settled("kept:1").await;
    bench.check("GET", &format!("{BASE}/gone"), Value::Null, expect![[r#"404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:000000000000:function:gone"}"#]]).await;
    let (_, settings) = bench.call("GET", "/2016-08-19/account-settings/", Value::Null).await;
    assert_eq!(settings["AccountUsage"]["FunctionCount"], 1);
}

#[tokio::test]
async fn unknown_and_missing_operations_answer_in_shape() {
    let bench = Bench::new().await;
    bench.check("GET", "/2018-10-31/layers", Value::Null, expect!["200"]).await;
    bench
        .check(
            "PATCH",
            "/2015-03-31/nothing",
            Value::Null,
            expect!["404 UnknownOperationException {}"],
        )
        .await;
}

#[tokio::test]
async fn a_role_invokes_and_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.create("f").await;
    bench.auth.principal = Principal::Role {
        role_arn: "arn:aws:iam::000000000000:role/service-role/r".to_owned(),
        session: "f".to_owned(),
    };
    bench.check("POST", BASE, json!({"FunctionName": "new"}), expect![[r#"403 AccessDeniedException {"Message":"User: arn:aws:sts::000000000000:assumed-role/r/f is not authorized to perform: lambda:CreateFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:new because no identity-based policy allows the lambda:CreateFunction action"}"#]]).await;
    bench.check("DELETE", &format!("{BASE}/f:1"), Value::Null, expect![[r#"403 AccessDeniedException {"Message":"User: arn:aws:sts::000000000000:assumed-role/r/f is not authorized to perform: lambda:DeleteFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:f because no identity-based policy allows the lambda:DeleteFunction action"}"#]]).await;
    bench.check("GET", BASE, Value::Null, expect![[r#"403 AccessDeniedException {"Message":"User: arn:aws:sts::000000000000:assumed-role/r/f is not authorized to perform: lambda:ListFunctions on resource: * because no identity-based policy allows the lambda:ListFunctions action"}"#]]).await;
    let sha256 = "0".repeat(64);
    let package = format!("/awslambda-us-east-1-tasks/snapshots/000000000000/f-{sha256}");
    assert_eq!(bench.send("GET", &package, &[], Bytes::new()).await.status, 403);
    let dry_run = [("x-amz-invocation-type", "DryRun")];
    let path = format!("{BASE}/f/invocations");
    assert_eq!(bench.send("POST", &path, &dry_run, Bytes::new()).await.status, 204);
}

#[tokio::test]
async fn packages_go_when_no_version_has_them() {
    let bench = Bench::new().await;
    let packages = || {
        let entries = fs::read_dir(bench.dir.path().join("packages")).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    let until = async |wanted: usize| {
        for _ in 0..200 {
            if packages() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{} packages, not {wanted}", packages());
    };
    bench.create("f").await;
    bench.create("same").await;
    assert_eq!(packages(), 1, "one package for both");
    for content in ["1", "2", "3"] {
        let target = format!("{BASE}/f/code");
        let (status, answer) = bench.call("PUT", &target, json!({"ZipFile": zip(content)})).await;
        assert_eq!(status, 200, "{answer}");
        bench.settled("f").await;
    }
    until(2).await;
    bench.call("DELETE", &format!("{BASE}/f"), Value::Null).await;
    until(1).await;
    bench.call("DELETE", &format!("{BASE}/same"), Value::Null).await;
    until(0).await;
}
