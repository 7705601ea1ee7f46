//! AWS's published examples, and what a request must not get away with.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::canonical::{PathStyle, canonical_request};
use super::keys::SigningKey;
use super::verify::{payload_hash, string_to_sign};
use super::{ClientKey, Parts, Rules, Signer, Verified, Verifier, parse, service_hint};
use crate::{SigError, percent, time};

const SUITE: &str = include_str!("../../testdata/aws-signing-test-suite.txt");
const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The secret of the examples in S3's documentation.
const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A request as text: request line, headers, empty line, body.
struct Sample {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Sample {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let target = target.strip_suffix(" HTTP/1.1").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers }
    }

    fn verify_at(&self, when: &str, secret: &str) -> Result<Verified, SigError> {
        let now_ms = u64::try_from(time::parse_amz_date(when).unwrap()).unwrap() * 1_000;
        let parts = self.parts();
        let rules = Rules::of(&service_hint(&parts).unwrap_or_default());
        let claim = parse(&parts, rules, now_ms)?;
        Verifier::new().verify(&claim, &parts, secret, self.body.clone())
    }

    fn verify(&self) -> Result<Verified, SigError> {
        self.verify_at("20150830T123600Z", SUITE_SECRET)
    }

    fn verify_s3(&self) -> Result<Verified, SigError> {
        self.verify_at("20130524T000000Z", S3_SECRET)
    }
}

#[test]
fn verifies_awss_signing_test_suite() {
    let mut count = 0;
    for sample in SUITE.split("\n=== ").skip(1) {
        let (title, text) = sample.split_once('\n').unwrap();
        let sample = Sample::read(text.trim_end_matches('\n'));
        if title.ends_with("plain") {
            assert_eq!(plain_signature(&sample), given_signature(&sample), "{title}");
        } else {
            let verified = sample.verify();
            assert!(verified.is_ok(), "{title}: {verified:?}");
        }
        count += 1;
    }
    assert_eq!(count, 73);
}

/// The suite's "unnormalised" half is signed as S3 does paths, but not for S3.
fn plain_signature(sample: &Sample) -> String {
    let parts = sample.parts();
    let names = match sample.headers.get("authorization") {
        Some(value) => value
            .to_str()
            .unwrap()
            .split("SignedHeaders=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .to_owned(),
        None => percent::query_value(&sample.query, "X-Amz-SignedHeaders").unwrap().into_owned(),
    };
    let canonical =
        canonical_request(&parts, &names, &payload_hash(&sample.body), PathStyle::Plain);
    let text =
        string_to_sign("20150830T123600Z", "20150830/us-east-1/service/aws4_request", &canonical);
    SigningKey::derive(SUITE_SECRET, "20150830", "us-east-1", "service").sign(text.as_bytes())
}

fn given_signature(sample: &Sample) -> String {
    match sample.headers.get("authorization") {
        Some(value) => value.to_str().unwrap().split("Signature=").nth(1).unwrap().to_owned(),
        None => percent::query_value(&sample.query, "X-Amz-Signature").unwrap().into_owned(),
    }
}

// === The examples of S3's documentation ===

/// "Authenticating Requests: Using the Authorization Header", with `signed` and `signature` filled in.
fn s3_sample(request: &str, signed: &str, signature: &str) -> Sample {
    let (line, rest) = request.split_once('\n').unwrap();
    Sample::read(&format!(
        "{line} HTTP/1.1\nAuthorization:AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed},Signature={signature}\n{rest}"
    ))
}

#[test]
fn verifies_the_examples_of_s3s_documentation() {
    let empty = super::EMPTY_SHA256;
    let get = format!(
        "GET /test.txt\nHost:examplebucket.s3.amazonaws.com\nRange:bytes=0-9\nx-amz-content-sha256:{empty}\nx-amz-date:20130524T000000Z"
    );
    s3_sample(
        &get,
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    )
    .verify_s3()
    .unwrap();

    let put = "PUT /test$file.text\nHost:examplebucket.s3.amazonaws.com\nDate:Fri, 24 May 2013 00:00:00 GMT\n\
               x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n\
               x-amz-date:20130524T000000Z\nx-amz-storage-class:REDUCED_REDUNDANCY\n\nWelcome to Amazon S3.";
    let put = s3_sample(
        put,
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    assert_eq!(put.verify_s3().unwrap().body, "Welcome to Amazon S3.");

    for (query, signature) in [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        let list = format!(
            "GET /?{query}\nHost:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:{empty}\nx-amz-date:20130524T000000Z"
        );
        s3_sample(&list, "host;x-amz-content-sha256;x-amz-date", signature).verify_s3().unwrap();
    }
}

fn s3_presigned(signature: &str) -> Sample {
    Sample::read(&format!(
        "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F\
         aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature={signature} \
         HTTP/1.1\nHost:examplebucket.s3.amazonaws.com"
    ))
}

#[test]
fn verifies_s3s_presigned_example_while_it_lives() {
    let sample = s3_presigned("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    sample.verify_s3().unwrap();
    sample.verify_at("20130525T000000Z", S3_SECRET).unwrap();
    let expired = sample.verify_at("20130525T000001Z", S3_SECRET).unwrap_err();
    assert!(matches!(expired, SigError::PresignedExpired { expires_s: Some(86_400), .. }));
    assert_eq!(sample.verify_at("20130523T230000Z", S3_SECRET), Err(SigError::PresignedEarly));
    assert!(matches!(s3_presigned(&"0".repeat(64)).verify_s3(), Err(SigError::Mismatch(_))));
}

fn chunked_upload(kind: &str, extra: &str, signed: &str, signature: &str, body: String) -> Sample {
    let request = format!(
        "PUT /examplebucket/chunkObject.txt\nHost:s3.amazonaws.com\nx-amz-date:20130524T000000Z\n\
         x-amz-storage-class:REDUCED_REDUNDANCY\nx-amz-content-sha256:{kind}\nContent-Encoding:aws-chunked\n\
         x-amz-decoded-content-length:66560\n{extra}"
    );
    let mut sample = s3_sample(&request, signed, signature);
    sample.body = Bytes::from(body);
    sample
}

fn chunked_body(signatures: [&str; 3], end: &str) -> String {
    let [first, second, last] = signatures;
    format!(
        "10000;chunk-signature={first}\r\n{}\r\n400;chunk-signature={second}\r\n{}\r\n0;chunk-signature={last}\r\n{end}\r\n",
        "a".repeat(65_536),
        "a".repeat(1_024)
    )
}

/// "Transferring Payload in Multiple Chunks", its example.
fn signed_chunks(body: String) -> Sample {
    chunked_upload(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "Content-Length:66824",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        body,
    )
}

const CHUNK_SIGNATURES: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];

#[test]
fn verifies_s3s_chunked_upload() {
    let verified = signed_chunks(chunked_body(CHUNK_SIGNATURES, "")).verify_s3().unwrap();
    assert_eq!(verified.body, "a".repeat(66_560));
    assert_eq!(verified.trailers, []);
}

#[test]
fn refuses_a_chunked_upload_that_was_touched() {
    let [first, second, last] = CHUNK_SIGNATURES;
    let whole = chunked_body(CHUNK_SIGNATURES, "");
    let check = |body: String, expected: SigError| {
        assert_eq!(signed_chunks(body).verify_s3(), Err(expected))
    };
    check(whole.replacen("aaaa", "aaba", 1), SigError::ChunkMismatch);
    check(chunked_body([second, first, last], ""), SigError::ChunkMismatch);
    check(whole[..whole.len() - 90].to_owned(), SigError::IncompleteBody);
    check(format!("0;chunk-signature={last}\r\n\r\n"), SigError::ChunkMismatch);
    check(whole.replace(";chunk-signature", ";x"), SigError::IncompleteBody);
    check(String::new(), SigError::IncompleteBody);
    check("fffffffffffffffff;chunk-signature=0\r\n".to_owned(), SigError::IncompleteBody);
    check("+1;chunk-signature=0\r\na\r\n".to_owned(), SigError::IncompleteBody);
}

/// "Transferring Payload in Multiple Chunks with trailing headers", its example.
#[test]
fn verifies_s3s_chunked_upload_with_a_trailer() {
    let check = |trailer: &str| {
        let body = chunked_body(
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
            trailer,
        );
        chunked_upload(
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "x-amz-trailer:x-amz-checksum-crc32c",
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            body,
        )
        .verify_s3()
    };
    let signature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n";
    let verified = check(&format!("x-amz-checksum-crc32c:sOO8/Q==\r\n{signature}")).unwrap();
    assert_eq!(verified.trailers, [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())]);
    assert_eq!(
        check(&format!("x-amz-checksum-crc32c:sOO9/Q==\r\n{signature}")),
        Err(SigError::ChunkMismatch)
    );
    assert_eq!(check("x-amz-checksum-crc32c:sOO8/Q==\r\n"), Err(SigError::IncompleteBody));
}

// === What we sign ourselves ===

const NOW_MS: u64 = 1_440_938_160_000;

fn signer(service: &str) -> Signer<'_> {
    let key = ClientKey {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: SUITE_SECRET,
        session_token: Some("a+/="),
    };
    Signer { key, region: "eu-central-1", service, now_ms: NOW_MS }
}

fn signed(service: &str, text: &str) -> Sample {
    let mut sample = Sample::read(text);
    let Sample { method, path, query, headers, body } = &mut sample;
    signer(service).sign(method, path, query, headers, body).unwrap();
    sample
}

#[test]
fn verifies_what_it_signs() {
    let request = "POST /2015-03-31/functions/f%3Alive/invocations?Qualifier=%24LATEST HTTP/1.1\nhost:127.0.0.1:4566\n\n{}";
    assert_eq!(signed("lambda", request).verify().unwrap().body, "{}");
    assert_eq!(signed("s3", "PUT /b/a%20b HTTP/1.1\nhost:h\n\nx").verify().unwrap().body, "x");
    for service in ["s3", "lambda"] {
        let query =
            signer(service).presign(&Method::GET, "h:1", "/b/k%3A", "versionId=3", 60).unwrap();
        Sample::read(&format!("GET /b/k%3A?{query} HTTP/1.1\nhost:h:1")).verify().unwrap();
    }
}

#[test]
fn refuses_whatever_was_changed_after_signing() {
    let sample =
        || signed("lambda", "POST /a?x=1 HTTP/1.1\nhost:h\ncontent-type:application/json\n\n{}");
    let check = |change: fn(&mut Sample)| {
        let mut sample = sample();
        change(&mut sample);
        assert!(matches!(sample.verify(), Err(SigError::Mismatch(_))));
    };
    sample().verify().unwrap();
    check(|sample| sample.method = Method::PUT);
    check(|sample| sample.path.push('b'));
    check(|sample| sample.query.push('0'));
    check(|sample| sample.body = Bytes::from_static(b"{ }"));
    check(|sample| drop(sample.headers.insert("host", HeaderValue::from_static("other"))));
    check(|sample| assert!(sample.headers.append("content-type", HeaderValue::from_static("x"))));
    check(|sample| drop(sample.headers.remove("content-type")));
    check(|sample| {
        drop(sample.headers.insert("x-amz-security-token", HeaderValue::from_static("b")))
    });
}

#[test]
fn s3_takes_the_body_that_was_hashed_and_no_unsigned_headers() {
    let mut sample = signed("s3", "PUT /b/k HTTP/1.1\nhost:h\n\nx");
    sample.body = Bytes::from_static(b"y");
    assert!(matches!(sample.verify(), Err(SigError::ContentSha256 { .. })));
    let mut sample = signed("s3", "PUT /b/k HTTP/1.1\nhost:h\n\nx");
    sample.headers.insert("x-amz-acl", HeaderValue::from_static("public-read"));
    assert_eq!(sample.verify(), Err(SigError::HeadersNotSigned { names: "x-amz-acl".to_owned() }));
    let mut sample = signed("s3", "PUT /b/k HTTP/1.1\nhost:h\n\nx");
    sample.headers.remove("x-amz-content-sha256");
    assert_eq!(sample.verify(), Err(SigError::NoContentSha256));
}

#[test]
fn the_clock_may_be_off_by_five_minutes_and_fifteen_for_s3() {
    for (service, minutes) in [("lambda", 5), ("s3", 15), ("sts", 15)] {
        let sample = signed(service, "POST / HTTP/1.1\nhost:h");
        let at = |offset_s: i64| {
            let now = time::amz_date(NOW_MS.checked_add_signed(offset_s * 1_000).unwrap());
            sample.verify_at(&now, SUITE_SECRET)
        };
        for offset_s in [minutes * 60, -minutes * 60] {
            at(offset_s).unwrap();
            assert!(
                matches!(at(offset_s + offset_s.signum()), Err(SigError::Skewed { .. })),
                "{service} {offset_s}"
            );
        }
    }
}
