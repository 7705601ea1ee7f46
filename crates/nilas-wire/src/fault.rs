//! Errors as AWS writes them: one `Fault`, encoded in the shape of the protocol the request came in.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use nilas_model::{Blame, RequestId};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::message::ApiResponse;
use crate::xml::escape as escape_xml;

/// The protocol of a service, which decides how its errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Paths and verbs, JSON bodies (Lambda).
    RestJson,
    Json10,
    /// `X-Amz-Target`, JSON bodies (CloudWatch Logs).
    Json11,
    /// `Action=` forms, XML answers (STS). `xmlns` is the service's namespace, empty for none.
    Query {
        xmlns: &'static str,
    },
    /// S3.
    RestXml,
    /// Smithy RPC v2 CBOR.
    Cbor,
}

/// Which member of the body carries the text: AWS's services differ, and clients look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultShape {
    /// `{"message"}`: a constraint of the service's model was broken.
    Validation,
    /// `{"Type":"User","message"}`
    User,
    /// `{"Type":"User","Message"}`
    UserCapital,
    /// `{"message"}`: as `Validation`, for service exceptions that lack `Type`.
    Plain,
    /// `{"Message"}`
    Capital,
}

/// An error answer before it has a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: Option<String>,
    pub shape: FaultShape,
    /// Becomes `Retry-After`.
    pub retry_after_s: Option<u32>,
    pub blame: Blame,
    /// Further members of the body, such as `Reason`.
    pub extra: Vec<(&'static str, String)>,
}

impl Fault {
    /// An error the caller can mend, with a body of `shape`.
    pub fn caller(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        shape: FaultShape,
        message: impl Into<String>,
    ) -> Self {
        let message = Some(message.into());
        Self {
            code: code.into(),
            status,
            message,
            shape,
            retry_after_s: None,
            blame: Blame::Caller,
            extra: Vec::new(),
        }
    }

    /// `ValidationException`: `1 validation error detected: …`
    pub fn validation(message: impl Into<String>) -> Self {
        Self::caller("ValidationException", 400, FaultShape::Validation, message)
    }

    /// A service exception with `{"Type":"User","message"}`.
    pub fn user(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        Self::caller(code, status, FaultShape::User, message)
    }

    /// `ResourceNotFoundException`, whose text is in `Message`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::caller("ResourceNotFoundException", 404, FaultShape::UserCapital, message)
    }

    /// A service exception with `{"message"}` and no `Type`.
    pub fn plain(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        Self::caller(code, status, FaultShape::Plain, message)
    }

    /// Our own failure. The cause belongs into the log, not into the answer.
    pub fn service(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        Self { blame: Blame::Platform, ..Self::caller(code, status, FaultShape::Plain, message) }
    }

    #[must_use]
    pub fn with_extra(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// `Sender` or `Receiver`, as the query protocol names the guilty.
    fn side(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

/// Writes `fault` as a service of `protocol` does.
pub fn encode_fault(protocol: Protocol, fault: &Fault, request_id: &RequestId) -> ApiResponse {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = request_id.to_string();
    let mut response = match protocol {
        Protocol::RestJson => {
            let mut response =
                ApiResponse::with_body(status, "application/json", rest_json_body(fault));
            response.set_header("x-amzn-errortype", &fault.code);
            response
        }
        Protocol::Json10 => {
            ApiResponse::with_body(status, "application/x-amz-json-1.0", json_rpc_body(fault))
        }
        Protocol::Json11 => {
            ApiResponse::with_body(status, "application/x-amz-json-1.1", json_rpc_body(fault))
        }
        Protocol::Query { xmlns } => {
            ApiResponse::with_body(status, "text/xml", query_body(fault, xmlns, &id))
        }
        Protocol::RestXml => {
            let host_id = BASE64.encode(Sha256::digest(id.as_bytes()));
            let mut response =
                ApiResponse::with_body(status, "application/xml", s3_body(fault, &id, &host_id));
            response.set_header("x-amz-request-id", &id);
            response.set_header("x-amz-id-2", &host_id);
            response
        }
        Protocol::Cbor => {
            let mut response = ApiResponse::with_body(status, "application/cbor", cbor_body(fault));
            response.set_header("smithy-protocol", "rpc-v2-cbor");
            response
        }
    };
    response.set_header("x-amzn-requestid", &id);
    if let Some(seconds) = fault.retry_after_s {
        response.set_header("retry-after", &seconds.to_string());
    }
    response
}

fn rest_json_body(fault: &Fault) -> Vec<u8> {
    let mut body = Map::new();
    for (name, value) in &fault.extra {
        body.insert((*name).to_owned(), Value::from(value.as_str()));
    }
    if matches!(fault.shape, FaultShape::User | FaultShape::UserCapital) {
        body.insert("Type".to_owned(), Value::from("User"));
    }
    if let Some(message) = &fault.message {
        body.insert(message_key(fault.shape).to_owned(), Value::from(message.as_str()));
    }
    Value::Object(body).to_string().into_bytes()
}

fn json_rpc_body(fault: &Fault) -> Vec<u8> {
    let mut body = Map::new();
    body.insert("__type".to_owned(), Value::from(fault.code.as_ref()));
    for (name, value) in &fault.extra {
        body.insert((*name).to_owned(), Value::from(value.as_str()));
    }
    if let Some(message) = &fault.message {
        body.insert(message_key(fault.shape).to_owned(), Value::from(message.as_str()));
    }
    Value::Object(body).to_string().into_bytes()
}

fn message_key(shape: FaultShape) -> &'static str {
    match shape {
        FaultShape::Validation | FaultShape::User | FaultShape::Plain => "message",
        FaultShape::UserCapital | FaultShape::Capital => "Message",
    }
}

fn query_body(fault: &Fault, xmlns: &str, request_id: &str) -> String {
    let mut out = String::with_capacity(512);
    match xmlns {
        "" => out.push_str("<ErrorResponse>\n"),
        _ => {
            out.push_str("<ErrorResponse xmlns=\"");
            escape_xml(xmlns, &mut out);
            out.push_str("\">\n");
        }
    }
    out.push_str("  <Error>\n");
    for (name, value) in [("Type", fault.side()), ("Code", &fault.code)] {
        out.push_str("    ");
        element(name, value, &mut out);
        out.push('\n');
    }
    if let Some(message) = &fault.message {
        out.push_str("    ");
        element("Message", message, &mut out);
        out.push('\n');
    }
    out.push_str("  </Error>\n  ");
    element("RequestId", request_id, &mut out);
    out.push_str("\n</ErrorResponse>\n");
    out
}

fn s3_body(fault: &Fault, request_id: &str, host_id: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    element("Code", &fault.code, &mut out);
    if let Some(message) = &fault.message {
        element("Message", message, &mut out);
    }
    for (name, value) in &fault.extra {
        element(name, value, &mut out);
    }
    element("RequestId", request_id, &mut out);
    element("HostId", host_id, &mut out);
    out.push_str("</Error>");
    out
}

fn element(name: &str, text: &str, out: &mut String) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    escape_xml(text, out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// A CBOR map of text to text: RFC 8949, major types 5 and 3.
fn cbor_body(fault: &Fault) -> Vec<u8> {
    let mut members = vec![("__type", fault.code.as_ref())];
    members.extend(fault.message.iter().map(|message| ("message", message.as_str())));
    members.extend(fault.extra.iter().map(|(name, value)| (*name, value.as_str())));
    let mut out = Vec::with_capacity(256);
    cbor_head(5, members.len() as u64, &mut out);
    for (name, value) in members {
        for text in [name, value] {
            cbor_head(3, text.len() as u64, &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fn cbor_head(major: u8, count: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = count.to_be_bytes();
    match count {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const ID: &str = "7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2";

    fn check(protocol: Protocol, fault: &Fault, expected: Expect) {
        let response = encode_fault(protocol, fault, &RequestId::parse(ID).unwrap());
        let mut shown = format!("{}\n", response.status.as_u16());
        for (name, value) in &response.headers {
            shown.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        shown.push_str(&String::from_utf8_lossy(&response.body));
        expected.assert_eq(&shown);
    }

    #[test]
    fn rest_json_names_the_error_in_a_header() {
        let throttled = Fault::user("TooManyRequestsException", 429, "Rate Exceeded.")
            .with_extra("Reason", "ReservedFunctionConcurrentInvocationLimitExceeded")
            .with_retry_after(1);
        check(
            Protocol::RestJson,
            &throttled,
            expect![[r#"
            429
            content-type: application/json
            x-amzn-errortype: TooManyRequestsException
            x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
            retry-after: 1
            {"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#]],
        );
        check(
            Protocol::RestJson,
            &Fault::not_found("Function not found: f"),
            expect![[r#"
            404
            content-type: application/json
            x-amzn-errortype: ResourceNotFoundException
            x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
            {"Type":"User","Message":"Function not found: f"}"#]],
        );
        check(
            Protocol::RestJson,
            &Fault::validation("1 validation error detected: \"x\""),
            expect![[r#"
            400
            content-type: application/json
            x-amzn-errortype: ValidationException
            x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
            {"message":"1 validation error detected: \"x\""}"#]],
        );
    }

    #[test]
    fn json_rpc_names_the_error_in_its_type() {
        let fault = Fault::plain(
            "ResourceNotFoundException",
            400,
            "The specified log group does not exist.",
        );
        check(
            Protocol::Json11,
            &fault,
            expect![[r#"
            400
            content-type: application/x-amz-json-1.1
            x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
            {"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#]],
        );
    }

    #[test]
    fn query_answers_xml() {
        let fault = Fault::plain("ValidationError", 400, "a < b & \u{1}");
        let protocol = Protocol::Query { xmlns: "https://sts.amazonaws.com/doc/2011-06-15/" };
        check(
            protocol,
            &fault,
            expect![[r#"
            400
            content-type: text/xml
            x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ValidationError</Code>
                <Message>a &lt; b &amp; ?</Message>
              </Error>
              <RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId>
            </ErrorResponse>
        "#]],
        );
    }

    #[test]
    fn s3_answers_its_own_xml() {
        let fault = Fault::plain("NoSuchKey", 404, "The specified key does not exist.")
            .with_extra("Key", "a");
        check(
            Protocol::RestXml,
            &fault,
            expect![[r#"
                404
                content-type: application/xml
                x-amz-request-id: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
                x-amz-id-2: PyKGj8tsB/TFeevZ7xnEpsNczdtrXy66tMyJjS+PArg=
                x-amzn-requestid: 7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2
                <?xml version="1.0" encoding="UTF-8"?>
                <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a</Key><RequestId>7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2</RequestId><HostId>PyKGj8tsB/TFeevZ7xnEpsNczdtrXy66tMyJjS+PArg=</HostId></Error>"#]],
        );
    }

    #[test]
    fn cbor_answers_a_map() {
        let response = encode_fault(
            Protocol::Cbor,
            &Fault::plain("E", 400, "m".repeat(30)),
            &RequestId::parse(ID).unwrap(),
        );
        let mut expected = b"\xa2\x66__type\x61E\x67message\x78\x1e".to_vec();
        expected.extend_from_slice("m".repeat(30).as_bytes());
        assert_eq!(response.body, expected);
        assert_eq!(response.headers["smithy-protocol"], "rpc-v2-cbor");
    }
}
