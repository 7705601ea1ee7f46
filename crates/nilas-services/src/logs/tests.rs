//! The API as a client sees it: requests and answers in JSON.

use std::sync::Arc;

use bytes::Bytes;
use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderValue, Method};
use nilas_model::{AccountId, AuthContext, Origin, Principal, Region, RequestId, SimClock};
use nilas_store::{LogRow, Store, StoreConfig};
use nilas_wire::ApiRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

struct Fixture {
    logs: Logs,
    clock: Arc<SimClock>,
    auth: AuthContext,
    _dir: TempDir,
}

impl Fixture {
    /// One group with the streams `a` (events 10, 20, 30) and `b` (event 20).
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(SimClock::at_epoch_ms(NOW_MS));
        let config = StoreConfig { clock: clock.clone(), ..StoreConfig::default() };
        let logs = Store::open_with(dir.path(), config).unwrap().logs();
        let auth = AuthContext {
            account: AccountId::parse("000000000000").unwrap(),
            region: Region::parse("us-east-1").unwrap(),
            principal: Principal::Root,
            access_key_id: "test".to_owned(),
            origin: Origin::Loopback,
        };
        for (stream, times) in [("a", &[10, 20, 30][..]), ("b", &[20])] {
            let row = |time: &u64| LogRow {
                timestamp_ms: NOW_MS + time,
                message: format!("{stream}{time}"),
            };
            logs.append(
                "000000000000/us-east-1//aws/lambda/f",
                stream,
                times.iter().map(row).collect(),
            );
        }
        Self { logs, clock, auth, _dir: dir }
    }

    async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-amz-target",
            HeaderValue::from_str(&format!("Logs_20140328.{operation}")).unwrap(),
        );
        let request = ApiRequest {
            method: Method::POST,
            path: "/".to_owned(),
            query: String::new(),
            headers,
            body: Bytes::from(input.to_string()),
            request_id: RequestId::random(),
            local: ([127, 0, 0, 1], 4566).into(),
            source_ip: [127, 0, 0, 1].into(),
        };
        let response = handle(&self.logs, &*self.clock, &self.auth, &request).await;
        let body = match response.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&response.body).unwrap(),
        };
        (response.status.as_u16(), body)
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.call(operation, input).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn check(&self, operation: &str, input: Value, expected: Expect) {
        let (status, body) = self.call(operation, input).await;
        expected.assert_eq(&format!("{status} {body}"));
    }
}

fn messages(output: &Value) -> Vec<&str> {
    output["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn groups_are_made_described_and_deleted() {
    let fixture = Fixture::new().await;
    fixture.check("CreateLogGroup", json!({"logGroupName": "g"}), expect!["200 null"]).await;
    fixture.check("CreateLogGroup", json!({"logGroupName": "g"}), expect![[r#"400 {"__type":"ResourceAlreadyExistsException","message":"The specified log group already exists"}"#]]).await;
    fixture
        .check(
            "PutRetentionPolicy",
            json!({"logGroupName": "g", "retentionInDays": 7}),
            expect!["200 null"],
        )
        .await;
    fixture.check("DescribeLogGroups", json!({"logGroupNamePrefix": "g"}), expect![[r#"200 {"logGroups":[{"logGroupName":"g","creationTime":1700000000000,"retentionInDays":7,"metricFilterCount":0,"arn":"arn:aws:logs:us-east-1:000000000000:log-group:g:*","storedBytes":0,"logGroupClass":"STANDARD","logGroupArn":"arn:aws:logs:us-east-1:000000000000:log-group:g"}]}"#]]).await;
    fixture.check("DeleteRetentionPolicy", json!({"logGroupName": "g"}), expect!["200 null"]).await;
    fixture.check("DescribeLogGroups", json!({"logGroupNamePattern": "lambda"}), expect![[r#"200 {"logGroups":[{"logGroupName":"/aws/lambda/f","creationTime":1700000000000,"metricFilterCount":0,"arn":"arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f:*","storedBytes":116,"logGroupClass":"STANDARD","logGroupArn":"arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f"}]}"#]]).await;
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g:*";
    fixture
        .check("DescribeLogGroups", json!({"logGroupIdentifiers": [arn, "none"]}), expect![[r#"200 {"logGroups":[{"logGroupName":"g","creationTime":1700000000000,"metricFilterCount":0,"arn":"arn:aws:logs:us-east-1:000000000000:log-group:g:*","storedBytes":0,"logGroupClass":"STANDARD","logGroupArn":"arn:aws:logs:us-east-1:000000000000:log-group:g"}]}"#]])
        .await;
    fixture.check("DeleteLogGroup", json!({"logGroupName": "g"}), expect!["200 null"]).await;
    fixture.check("DeleteLogGroup", json!({"logGroupName": "g"}), expect![[r#"400 {"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#]]).await;
}

#[tokio::test]
async fn groups_come_in_pages_of_one_account_and_region() {
    let mut fixture = Fixture::new().await;
    for name in ["g1", "g2", "g3"] {
        fixture.ok("CreateLogGroup", json!({"logGroupName": name})).await;
    }
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let input = json!({"limit": 1, "logGroupNamePrefix": "g", "nextToken": token});
        let output = fixture.ok("DescribeLogGroups", input).await;
        seen.extend(
            output["logGroups"]
                .as_array()
                .unwrap()
                .iter()
                .map(|group| group["logGroupName"].clone()),
        );
        token = output["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["g1", "g2", "g3"]);
    fixture.auth.region = Region::parse("eu-central-1").unwrap();
    assert_eq!(fixture.ok("DescribeLogGroups", json!({})).await["logGroups"], json!([]));
}

#[tokio::test]
async fn refuses_in_awss_words() {
    let fixture = Fixture::new().await;
    let g = "/aws/lambda/f";
    for (operation, input, expected) in [
        (
            "Dance",
            json!({}),
            expect![[
                r#"400 {"__type":"UnknownOperationException","message":"nilas does not have the CloudWatch Logs operation Dance."}"#
            ]],
        ),
        (
            "CreateLogGroup",
            json!({}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null"}"#
            ]],
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": "a b"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"}"#
            ]],
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": ""}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"2 validation errors detected: Value '' at 'logGroupName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"}"#
            ]],
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": 1}),
            expect![[
                r#"400 {"__type":"SerializationException","message":"invalid type: integer `1`, expected a string at line 1 column 17"}"#
            ]],
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": "g", "kmsKeyId": "k"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"nilas does not support kmsKeyId of log groups."}"#
            ]],
        ),
        (
            "PutRetentionPolicy",
            json!({"logGroupName": "g", "retentionInDays": 2}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]"}"#
            ]],
        ),
        (
            "PutRetentionPolicy",
            json!({"logGroupName": "g", "retentionInDays": 1}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#
            ]],
        ),
        (
            "DescribeLogGroups",
            json!({"logGroupNamePrefix": "g", "logGroupNamePattern": "g"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."}"#
            ]],
        ),
        (
            "DescribeLogGroups",
            json!({"limit": 51}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"}"#
            ]],
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": g, "logStreamName": "a"}),
            expect![[
                r#"400 {"__type":"ResourceAlreadyExistsException","message":"The specified log stream already exists"}"#
            ]],
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": g, "logStreamName": "a:b"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value 'a:b' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*"}"#
            ]],
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": "none", "logStreamName": "a"}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#
            ]],
        ),
        (
            "DeleteLogStream",
            json!({"logGroupName": g, "logStreamName": "none"}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#
            ]],
        ),
        (
            "DescribeLogStreams",
            json!({"logGroupName": g, "orderBy": "Size"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value 'Size' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]"}"#
            ]],
        ),
        (
            "DescribeLogStreams",
            json!({"logGroupName": g, "orderBy": "LastEventTime", "logStreamNamePrefix": "a"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"Cannot order by LastEventTime with a logStreamNamePrefix."}"#
            ]],
        ),
        (
            "DescribeLogStreams",
            json!({"logGroupName": g, "logGroupIdentifier": g}),
            expect![[
                r#"400 {"__type":"ValidationException","message":"LogGroup name and LogGroup ARN are mutually exclusive parameters."}"#
            ]],
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": g, "logStreamName": "none"}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#
            ]],
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": g, "logStreamName": "a", "nextToken": "x"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"The specified nextToken is invalid."}"#
            ]],
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": g, "filterPattern": "{ $.a == 1 }"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"Invalid filter pattern"}"#
            ]],
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "none"}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#
            ]],
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": g, "logStreamNames": ["none"]}),
            expect![[
                r#"400 {"__type":"ResourceNotFoundException","message":"The specified log stream does not exist."}"#
            ]],
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": g, "logStreamNames": ["a"], "logStreamNamePrefix": "a"}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"logStreamNames and logStreamNamePrefix are mutually exclusive parameters."}"#
            ]],
        ),
        (
            "PutLogEvents",
            json!({"logGroupName": g, "logStreamName": "a", "logEvents": []}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1"}"#
            ]],
        ),
        (
            "PutLogEvents",
            json!({"logGroupName": g, "logStreamName": "a", "logEvents": [{"timestamp": 1}]}),
            expect![[
                r#"400 {"__type":"InvalidParameterException","message":"1 validation error detected: Value null at 'logEvents.1.member.message' failed to satisfy constraint: Member must not be null"}"#
            ]],
        ),
    ] {
        fixture.check(operation, input, expected).await;
    }
}

#[tokio::test]
async fn streams_come_in_both_orders() {
    let fixture = Fixture::new().await;
    let g = "/aws/lambda/f";
    fixture.ok("CreateLogStream", json!({"logGroupName": g, "logStreamName": "c"})).await;
    fixture.check("DescribeLogStreams", json!({"logGroupName": g, "limit": 1}), expect![[r#"200 {"logStreams":[{"logStreamName":"a","creationTime":1700000000000,"firstEventTimestamp":1700000000010,"lastEventTimestamp":1700000000030,"lastIngestionTime":1700000000000,"uploadSequenceToken":"00000000000000000000000000000000000000000001700000000000","arn":"arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f:log-stream:a","storedBytes":0}],"nextToken":"MTcwMDAwMDAwMDAzMDph"}"#]]).await;
    let names = |output: &Value| -> Vec<String> {
        let streams = output["logStreams"].as_array().unwrap().iter();
        streams.map(|stream| stream["logStreamName"].as_str().unwrap().to_owned()).collect()
    };
    let newest =
        json!({"logGroupName": g, "orderBy": "LastEventTime", "descending": true, "limit": 2});
    let first = fixture.ok("DescribeLogStreams", newest.clone()).await;
    assert_eq!(names(&first), ["a", "b"]);
    let mut next = newest;
    next["nextToken"] = first["nextToken"].clone();
    let second = fixture.ok("DescribeLogStreams", next).await;
    assert_eq!(names(&second), ["c"]);
    assert!(second["nextToken"].is_null());
    let arn = format!("arn:aws:logs:us-east-1:000000000000:log-group:{g}");
    let prefixed = json!({"logGroupIdentifier": arn, "logStreamNamePrefix": "b"});
    assert_eq!(names(&fixture.ok("DescribeLogStreams", prefixed).await), ["b"]);
    fixture.ok("DeleteLogStream", json!({"logGroupName": g, "logStreamName": "b"})).await;
    assert_eq!(
        names(&fixture.ok("DescribeLogStreams", json!({"logGroupName": g})).await),
        ["a", "c"]
    );
}

#[tokio::test]
async fn gets_events_in_both_directions() {
    let fixture = Fixture::new().await;
    let get = async |token: &Value, extra: Value| {
        let mut input = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "a", "nextToken": token, "limit": 2});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        fixture.ok("GetLogEvents", input).await
    };
    let tail = get(&Value::Null, json!({})).await;
    assert_eq!(messages(&tail), ["a20", "a30"]);
    let before = get(&tail["nextBackwardToken"], json!({})).await;
    assert_eq!(messages(&before), ["a10"]);
    let start = get(&before["nextBackwardToken"], json!({})).await;
    assert!(messages(&start).is_empty());
    assert_eq!(
        start["nextBackwardToken"], before["nextBackwardToken"],
        "the same token says: no more"
    );
    assert_eq!(
        messages(&get(&start["nextForwardToken"], json!({})).await),
        ["a10", "a20"],
        "turns around"
    );
    let end = get(&tail["nextForwardToken"], json!({})).await;
    assert!(messages(&end).is_empty());
    assert_eq!(end["nextForwardToken"], tail["nextForwardToken"]);
    assert_eq!(
        messages(&get(&end["nextBackwardToken"], json!({})).await),
        ["a20", "a30"],
        "turns around"
    );
    let head = get(&Value::Null, json!({"startFromHead": true})).await;
    assert_eq!(messages(&head), ["a10", "a20"]);
    let timed = get(&Value::Null, json!({"startTime": NOW_MS + 20, "endTime": NOW_MS + 30})).await;
    assert_eq!(messages(&timed), ["a20"], "the end does not belong to the range");
    let one = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "b"});
    fixture.check("GetLogEvents", one, expect![[r#"200 {"events":[{"timestamp":1700000000020,"message":"b20","ingestionTime":1700000000000}],"nextForwardToken":"f/00000000000000000000000031359464925675172628674191032324/s","nextBackwardToken":"b/00000000000000000000000031359464925675172628674191032324/s"}"#]]).await;
}

#[tokio::test]
async fn a_forward_token_gives_what_came_later() {
    let fixture = Fixture::new().await;
    let g = "/aws/lambda/f";
    fixture.ok("CreateLogStream", json!({"logGroupName": g, "logStreamName": "new"})).await;
    let input = json!({"logGroupName": g, "logStreamName": "new", "startFromHead": true});
    let empty = fixture.ok("GetLogEvents", input.clone()).await;
    assert!(messages(&empty).is_empty());
    let events = json!([{"timestamp": NOW_MS, "message": "first"}]);
    fixture
        .ok("PutLogEvents", json!({"logGroupName": g, "logStreamName": "new", "logEvents": events}))
        .await;
    let mut later = input;
    later["nextToken"] = empty["nextForwardToken"].clone();
    assert_eq!(messages(&fixture.ok("GetLogEvents", later).await), ["first"]);
}

#[tokio::test]
async fn filters_across_streams() {
    let fixture = Fixture::new().await;
    let filter = async |extra: Value| {
        let mut input = json!({"logGroupName": "/aws/lambda/f", "interleaved": true});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        fixture.ok("FilterLogEvents", input).await
    };
    assert_eq!(messages(&filter(json!({})).await), ["a10", "a20", "b20", "a30"]);
    assert_eq!(messages(&filter(json!({"filterPattern": "20"})).await), ["a20", "b20"]);
    assert_eq!(messages(&filter(json!({"filterPattern": "20 -b"})).await), ["a20"]);
    assert_eq!(messages(&filter(json!({"logStreamNames": ["b"]})).await), ["b20"]);
    assert_eq!(messages(&filter(json!({"logStreamNamePrefix": "a"})).await), ["a10", "a20", "a30"]);
    assert_eq!(
        messages(&filter(json!({"startFromHead": false})).await),
        ["a30", "b20", "a20", "a10"]
    );
    let timed = json!({"startTime": NOW_MS + 20, "endTime": NOW_MS + 20});
    assert_eq!(messages(&filter(timed).await), ["a20", "b20"], "the end belongs to the range");
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let output = filter(json!({"limit": 1, "nextToken": token})).await;
        seen.extend(messages(&output).into_iter().map(str::to_owned));
        token = output["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["a10", "a20", "b20", "a30"]);
    let one = json!({"logGroupName": "/aws/lambda/f", "logStreamNames": ["b"]});
    fixture.check("FilterLogEvents", one, expect![[r#"200 {"events":[{"logStreamName":"b","timestamp":1700000000020,"message":"b20","ingestionTime":1700000000000,"eventId":"00000000000000000000000031359464925675172628674191032324"}],"searchedLogStreams":[]}"#]]).await;
}

#[tokio::test]
async fn puts_events_and_says_which_it_rejected() {
    let fixture = Fixture::new().await;
    let g = "/aws/lambda/f";
    let put = async |times: &[i64]| {
        let event = |time: &i64| json!({"timestamp": NOW_MS.cast_signed() + time, "message": "m"});
        let events: Vec<Value> = times.iter().map(event).collect();
        fixture
            .call(
                "PutLogEvents",
                json!({"logGroupName": g, "logStreamName": "b", "logEvents": events}),
            )
            .await
    };
    let day = 86_400_000;
    let (_, output) = put(&[0, 1]).await;
    expect![[
        r#"{"nextSequenceToken":"00000000000000000000000000000000000000000001700000000000"}"#
    ]]
    .assert_eq(&output.to_string());
    let (_, output) = put(&[7_200_000, 7_200_001]).await;
    expect![[r#"{"tooNewLogEventStartIndex":1}"#]]
        .assert_eq(&output["rejectedLogEventsInfo"].to_string());
    let (_, output) = put(&[-14 * day - 2, -14 * day - 1, -14 * day]).await;
    expect![[r#"{"tooOldLogEventEndIndex":2}"#]]
        .assert_eq(&output["rejectedLogEventsInfo"].to_string());
    let (_, output) = put(&[5, 4]).await;
    expect![[r#""Log events in a single PutLogEvents request must be in chronological order.""#]]
        .assert_eq(&output["message"].to_string());
    let (_, output) = put(&[-2 * day, 0]).await;
    expect![[r#""The batch of log events in a single PutLogEvents request cannot span more than 24 hours.""#]].assert_eq(&output["message"].to_string());
    fixture.ok("PutRetentionPolicy", json!({"logGroupName": g, "retentionInDays": 1})).await;
    let (_, output) = put(&[-day - 1, -day]).await;
    expect![[r#"{"expiredLogEventEndIndex":1}"#]]
        .assert_eq(&output["rejectedLogEventsInfo"].to_string());
}

#[tokio::test]
async fn a_stream_whose_events_were_all_rejected_has_none() {
    let fixture = Fixture::new().await;
    let stream = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "old"});
    fixture.ok("CreateLogStream", stream.clone()).await;
    let mut input = stream;
    input["logEvents"] = json!([{"timestamp": 1, "message": "m"}]);
    fixture.ok("PutLogEvents", input).await;
    let input = json!({"logGroupName": "/aws/lambda/f", "logStreamNamePrefix": "old"});
    let output = fixture.ok("DescribeLogStreams", input).await;
    assert_eq!(output["logStreams"][0]["firstEventTimestamp"], Value::Null);
}
