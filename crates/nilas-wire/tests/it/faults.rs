//! What a caller reads when its signature is refused: AWS's texts, in each protocol's shape.

use bytes::Bytes;
use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nilas_model::RequestId;
use nilas_wire::sigv4::{Parts, Rules, Verifier, parse};
use nilas_wire::{Protocol, SigError, encode_fault};

const NOW_MS: u64 = 1_440_938_160_000;
const SIGNED: &str = "Credential=AKIDEXAMPLE/20150830/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";
const STS: Protocol = Protocol::Query { xmlns: "https://sts.amazonaws.com/doc/2011-06-15/" };

/// What comes of a request with these headers and this query, for a key whose secret is `secret`.
fn refusal(headers: &[(&str, &str)], query: &str, rules: Rules) -> SigError {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let parts = Parts { method: &Method::GET, path: "/", query, headers: &map };
    match parse(&parts, rules, NOW_MS) {
        Err(error) => error,
        Ok(claim) => Verifier::new().verify(&claim, &parts, "secret", Bytes::new()).unwrap_err(),
    }
}

fn show(error: &SigError, protocol: Protocol) -> String {
    let id = RequestId::parse("7a62c49f-347e-4fc4-9331-6e8eb1e5f5d2").unwrap();
    let response = encode_fault(protocol, &error.fault(protocol), &id);
    let code = response.headers.get("x-amzn-errortype").map_or("", |code| code.to_str().unwrap());
    let body = String::from_utf8_lossy(&response.body);
    let body = body.split("<RequestId>").next().unwrap().trim_end();
    format!("{} {code} {body}", response.status.as_u16())
}

fn check_lambda(authorization: &str, date: &str, expected: Expect) {
    let headers = [("host", "h"), ("authorization", authorization), ("x-amz-date", date)];
    let present =
        headers.iter().filter(|(_, value)| !value.is_empty()).copied().collect::<Vec<_>>();
    expected.assert_eq(&show(&refusal(&present, "", Rules::of("lambda")), Protocol::RestJson));
}

#[test]
fn lambda_refuses_malformed_authorization() {
    let date = "20150830T123600Z";
    let signed = format!("AWS4-HMAC-SHA256 {SIGNED}");
    check_lambda(
        "",
        date,
        expect![[
            r#"403 MissingAuthenticationTokenException {"message":"Missing Authentication Token"}"#
        ]],
    );
    check_lambda(
        "Bearer abc",
        date,
        expect![[
            r#"403 IncompleteSignatureException {"message":"'abc' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer abc'."}"#
        ]],
    );
    check_lambda(
        "AWS4-HMAC-SHA256 Credential=a",
        "",
        expect![[
            r#"403 IncompleteSignatureException {"message":"Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 Credential=a"}"#
        ]],
    );
    check_lambda(
        &signed,
        "201",
        expect![[
            r#"403 IncompleteSignatureException {"message":"Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601"}"#
        ]],
    );
    check_lambda(
        &signed.replace("host;", ""),
        date,
        expect![[
            r#"403 InvalidSignatureException {"message":"'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}"#
        ]],
    );
    check_lambda(
        &signed.replace("SHA256", "SHA1"),
        date,
        expect![[
            r#"403 IncompleteSignatureException {"message":"Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."}"#
        ]],
    );
    check_lambda(
        &signed.replace("us-east-1/", ""),
        date,
        expect![[
            r#"403 IncompleteSignatureException {"message":"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20150830/lambda/aws4_request'"}"#
        ]],
    );
    check_lambda(
        &signed.replace("0830/us-east-1", "0829/mars"),
        date,
        expect![[
            r#"403 InvalidSignatureException {"message":"Credential should be scoped to a valid region, not 'mars'. Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from '20150830T123600Z'."}"#
        ]],
    );
    check_lambda(
        &signed,
        "20150830T122000Z",
        expect![[
            r#"403 InvalidSignatureException {"message":"Signature expired: 20150830T122000Z is now earlier than 20150830T123100Z (20150830T123600Z - 5 min.)"}"#
        ]],
    );
    check_lambda(
        &signed,
        "20150830T130000Z",
        expect![[
            r#"403 InvalidSignatureException {"message":"Signature not yet current: 20150830T130000Z is still later than 20150830T124100Z (20150830T123600Z + 5 min.)"}"#
        ]],
    );
    check_lambda(
        &signed,
        date,
        expect![[
            r#"403 InvalidSignatureException {"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#
        ]],
    );
}

#[test]
fn each_protocol_has_its_own_codes() {
    let check = |error: &SigError, protocol: Protocol, expected: Expect| {
        expected.assert_eq(&show(error, protocol))
    };
    let unknown = SigError::UnknownKey { access_key_id: "AKID".to_owned() };
    check(
        &unknown,
        Protocol::RestJson,
        expect![[
            r#"403 UnrecognizedClientException {"message":"The security token included in the request is invalid."}"#
        ]],
    );
    check(
        &unknown,
        Protocol::Json11,
        expect![[
            r#"400  {"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#
        ]],
    );
    check(
        &unknown,
        STS,
        expect![[r#"
            403  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>InvalidClientTokenId</Code>
                <Message>The security token included in the request is invalid.</Message>
              </Error>"#]],
    );
    check(
        &unknown,
        Protocol::RestXml,
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key Id you provided does not exist in our records.</Message><AWSAccessKeyId>AKID</AWSAccessKeyId>"#]],
    );
    let expired = SigError::ExpiredToken { token: "t".to_owned() };
    check(
        &expired,
        Protocol::RestJson,
        expect![[
            r#"403 ExpiredTokenException {"message":"The security token included in the request is expired"}"#
        ]],
    );
    check(
        &expired,
        STS,
        expect![[r#"
            403  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>ExpiredToken</Code>
                <Message>The security token included in the request is expired</Message>
              </Error>"#]],
    );
    check(
        &expired,
        Protocol::RestXml,
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>t</Token-0>"#]],
    );
    check(
        &SigError::Missing,
        Protocol::Json11,
        expect![[
            r#"400  {"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#
        ]],
    );
    check(
        &SigError::Missing,
        STS,
        expect![[r#"
            403  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>MissingAuthenticationToken</Code>
                <Message>Request is missing Authentication Token</Message>
              </Error>"#]],
    );
    check(
        &SigError::Missing,
        Protocol::RestXml,
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AccessDenied</Code><Message>Access Denied</Message>"#]],
    );
}

const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fs3%2Faws4_request\
                         &X-Amz-Date=20150830T123000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=00";

#[test]
fn s3_refuses_presigned_urls() {
    let check = |query: &str, expected: Expect| {
        expected.assert_eq(&show(
            &refusal(&[("host", "h")], query, Rules::of("s3")),
            Protocol::RestXml,
        ));
    };
    check(
        PRESIGNED,
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>300</X-Amz-Expires><Expires>2015-08-30T12:35:00Z</Expires><ServerTime>2015-08-30T12:36:00Z</ServerTime>"#]],
    );
    check(
        &PRESIGNED.replace("=300", "=600"),
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match the signature you provided. Check your key and signing method.</Message><AWSAccessKeyId>AKID</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256
        20150830T123000Z
        20150830/us-east-1/s3/aws4_request
        ed5874fb09388866d89238e06316adf5ccfdbd11d9281c893404cb4a17561fa5</StringToSign><SignatureProvided>00</SignatureProvided><StringToSignBytes>41 57 53 34 2d 48 4d 41 43 2d 53 48 41 32 35 36 0a 32 30 31 35 30 38 33 30 54 31 32 33 30 30 30 5a 0a 32 30 31 35 30 38 33 30 2f 75 73 2d 65 61 73 74 2d 31 2f 73 33 2f 61 77 73 34 5f 72 65 71 75 65 73 74 0a 65 64 35 38 37 34 66 62 30 39 33 38 38 38 36 36 64 38 39 32 33 38 65 30 36 33 31 36 61 64 66 35 63 63 66 64 62 64 31 31 64 39 32 38 31 63 38 39 33 34 30 34 63 62 34 61 31 37 35 36 31 66 61 35</StringToSignBytes><CanonicalRequest>GET
        /
        X-Amz-Algorithm=AWS4-HMAC-SHA256&amp;X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fs3%2Faws4_request&amp;X-Amz-Date=20150830T123000Z&amp;X-Amz-Expires=600&amp;X-Amz-SignedHeaders=host
        host:h

        host
        UNSIGNED-PAYLOAD</CanonicalRequest><CanonicalRequestBytes>47 45 54 0a 2f 0a 58 2d 41 6d 7a 2d 41 6c 67 6f 72 69 74 68 6d 3d 41 57 53 34 2d 48 4d 41 43 2d 53 48 41 32 35 36 26 58 2d 41 6d 7a 2d 43 72 65 64 65 6e 74 69 61 6c 3d 41 4b 49 44 25 32 46 32 30 31 35 30 38 33 30 25 32 46 75 73 2d 65 61 73 74 2d 31 25 32 46 73 33 25 32 46 61 77 73 34 5f 72 65 71 75 65 73 74 26 58 2d 41 6d 7a 2d 44 61 74 65 3d 32 30 31 35 30 38 33 30 54 31 32 33 30 30 30 5a 26 58 2d 41 6d 7a 2d 45 78 70 69 72 65 73 3d 36 30 30 26 58 2d 41 6d 7a 2d 53 69 67 6e 65 64 48 65 61 64 65 72 73 3d 68 6f 73 74 0a 68 6f 73 74 3a 68 0a 0a 68 6f 73 74 0a 55 4e 53 49 47 4e 45 44 2d 50 41 59 4c 4f 41 44</CanonicalRequestBytes>"#]],
    );
    check(
        &PRESIGNED.replace("=300", "=604801"),
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationQueryParametersError</Code><Message>X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds</Message>"#]],
    );
    check(
        &PRESIGNED.replace("=300", "=-1"),
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationQueryParametersError</Code><Message>X-Amz-Expires must be non-negative</Message>"#]],
    );
    check(
        &PRESIGNED.replace("=300", "=x"),
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationQueryParametersError</Code><Message>X-Amz-Expires should be a number</Message>"#]],
    );
    check(
        &PRESIGNED.replace("T123000Z", ""),
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationQueryParametersError</Code><Message>X-Amz-Date must be in the ISO8601 Long Format &quot;yyyyMMdd'T'HHmmss'Z'&quot;</Message>"#]],
    );
    check(
        &PRESIGNED.replace("T123000Z", "T143000Z"),
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AccessDenied</Code><Message>Request is not yet valid</Message>"#]],
    );
    check(
        &PRESIGNED.replace("&X-Amz-SignedHeaders=host", ""),
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationQueryParametersError</Code><Message>Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.</Message>"#]],
    );
    check(
        &PRESIGNED.replace("=300", "=600").replace("us-east-1%2F", ""),
        expect![[r#"
            400  <?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>AuthorizationQueryParametersError</Code><Message>Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting &quot;&lt;YOUR-AKID&gt;/YYYYMMDD/REGION/SERVICE/aws4_request&quot;.</Message>"#]],
    );
}

#[test]
fn s3_refuses_headers() {
    let check = |authorization: &str, date: &str, expected: Expect| {
        let headers = [
            ("host", "h"),
            ("authorization", authorization),
            ("x-amz-date", date),
            ("x-amz-content-sha256", "no"),
        ];
        expected.assert_eq(&show(&refusal(&headers, "", Rules::of("s3")), Protocol::RestXml));
    };
    let signed = format!("AWS4-HMAC-SHA256 {}", SIGNED.replace("lambda", "s3"));
    check(
        "AWS AKID:sig",
        "20150830T123600Z",
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>InvalidRequest</Code><Message>The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.</Message>"#]],
    );
    check(
        "Bearer x",
        "20150830T123600Z",
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>InvalidArgument</Code><Message>Unsupported Authorization Type</Message><ArgumentName>Authorization</ArgumentName><ArgumentValue>Bearer</ArgumentValue>"#]],
    );
    check(
        "AWS4-HMAC-SHA256 x",
        "20150830T123600Z",
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the authorization header requires three components: Credential, SignedHeaders, and Signature.</Message>"#]],
    );
    check(
        &signed,
        "20150830T120000Z",
        expect![[r#"
        403  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message><RequestTime>20150830T120000Z</RequestTime><ServerTime>2015-08-30T12:36:00Z</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"#]],
    );
    check(
        &signed.replace("20150830", "20150829"),
        "20150830T123600Z",
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; Invalid credential date &quot;20150829&quot;. This date is not the same as X-Amz-Date: &quot;20150830&quot;.</Message>"#]],
    );
    check(
        &signed,
        "20150830T123600Z",
        expect![[r#"
        400  <?xml version="1.0" encoding="UTF-8"?>
        <Error><Code>InvalidArgument</Code><Message>x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.</Message><ArgumentName>x-amz-content-sha256</ArgumentName><ArgumentValue>no</ArgumentValue>"#]],
    );
}
