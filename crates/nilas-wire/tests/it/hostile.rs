//! Random and mutated bytes: every parser answers, none panics.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use nilas_wire::sigv4::{ClientKey, Parts, Rules, Signer, Verifier, parse, service_hint};
use nilas_wire::{Protocol, percent, sigv2, time};

const NOW_MS: u64 = 1_440_938_160_000;
const ROUNDS: usize = 3_000;

/// xorshift64*: small, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// Characters that parsers look for, with some that nobody expects.
    fn text(&mut self, length_max: usize) -> String {
        let alphabet: Vec<char> = "=&;,/% \t:+-AWS4hmac0129TZXé\u{1f980}\"'<\\".chars().collect();
        (0..self.below(length_max + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// `text` with a few places cut, doubled or overwritten.
    fn mutate(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(chars.len().max(1));
            match self.below(3) {
                0 => chars.truncate(at),
                1 => chars.splice(at..at, self.text(4).chars()).for_each(drop),
                _ => chars.iter_mut().skip(at).take(1).for_each(|c| *c = '\u{e9}'),
            }
        }
        chars.into_iter().collect()
    }
}

fn offer(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) {
    let parts = Parts { method, path, query, headers };
    let verifier = Verifier::new();
    for service in [service_hint(&parts).unwrap_or_default().as_ref(), "s3"] {
        let refused = match parse(&parts, Rules::of(service), NOW_MS) {
            Ok(claim) => {
                verifier.verify(&claim, &parts, "secret", Bytes::copy_from_slice(body)).err()
            }
            Err(error) => Some(error),
        };
        for protocol in [Protocol::RestJson, Protocol::RestXml, Protocol::Query { xmlns: "" }] {
            refused.iter().for_each(|error| drop(error.fault(protocol)));
        }
    }
    if sigv2::is_presigned(query)
        && let Ok(claim) = sigv2::parse(&parts, NOW_MS)
    {
        assert!(sigv2::verify(&claim, &parts, None, "secret").is_err());
    }
}

#[test]
fn signatures_of_random_text_are_refused_calmly() {
    let mut random = Random(1);
    for _ in 0..ROUNDS {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "x-amz-date",
            "date",
            "host",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ] {
            if let Ok(value) = HeaderValue::from_bytes(random.text(60).as_bytes()) {
                headers.insert(name, value);
            }
        }
        let (path, query) = (random.text(40), random.text(80));
        offer(&Method::POST, &path, &query, &headers, random.text(50).as_bytes());
        headers.remove("authorization");
        offer(
            &Method::GET,
            &path,
            &format!("AWSAccessKeyId=a&Signature=b&Expires=9999999999&{query}"),
            &headers,
            b"",
        );
    }
}

#[test]
fn mutated_signatures_never_panic() {
    let mut random = Random(2);
    let key = ClientKey {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "secret",
        session_token: Some("token"),
    };
    for service in ["lambda", "s3"] {
        let signer = Signer { key, region: "us-east-1", service, now_ms: NOW_MS };
        let mut signed =
            HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("h"))]);
        signer.sign(&Method::GET, "/a", "b=c", &mut signed, b"").unwrap();
        let presigned = signer.presign(&Method::GET, "h", "/a", "b=c", 60).unwrap();
        for _ in 0..ROUNDS {
            let mut headers = signed.clone();
            for value in headers.values_mut() {
                if let Ok(mutated) =
                    HeaderValue::from_bytes(random.mutate(value.to_str().unwrap()).as_bytes())
                {
                    *value = mutated;
                }
            }
            offer(&Method::GET, &random.mutate("/a"), &random.mutate("b=c"), &headers, b"");
            offer(&Method::GET, "/a", &random.mutate(&presigned), &HeaderMap::new(), b"");
        }
    }
}

/// The chunk decoder runs only behind a good signature, so the attacker here holds a key.
#[test]
fn mutated_chunks_never_panic() {
    let mut random = Random(3);
    let body = "5\r\nhello\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    let key = ClientKey {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "secret",
        session_token: None,
    };
    let signer = Signer { key, region: "us-east-1", service: "s3", now_ms: NOW_MS };
    let query = signer.presign(&Method::PUT, "h", "/b/k", "", 60).unwrap();
    let (query, _) = query.rsplit_once("&X-Amz-Signature=").unwrap();
    let headers = HeaderMap::from_iter([
        (http::header::HOST, HeaderValue::from_static("h")),
        (
            "x-amz-content-sha256".parse().unwrap(),
            HeaderValue::from_static("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ),
    ]);
    // The server tells a holder of the key what to sign: take the right signature out of its refusal.
    let wrong = format!("{query}&X-Amz-Signature=0");
    let signature = right_signature(&wrong, &headers);
    let query = format!("{query}&X-Amz-Signature={signature}");
    let parts = Parts { method: &Method::PUT, path: "/b/k", query: &query, headers: &headers };
    let verifier = Verifier::new();
    let open = |body: &str| {
        let claim = parse(&parts, Rules::of("s3"), NOW_MS).unwrap();
        verifier.verify(&claim, &parts, "secret", Bytes::copy_from_slice(body.as_bytes()))
    };
    assert_eq!(open(body).unwrap().body, "helloabc");
    for _ in 0..ROUNDS {
        let mutated = random.mutate(body);
        if let Ok(verified) = open(&mutated) {
            assert!(verified.body.len() <= mutated.len());
        }
    }
}

fn right_signature(query: &str, headers: &HeaderMap) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let parts = Parts { method: &Method::PUT, path: "/b/k", query, headers };
    let claim = parse(&parts, Rules::of("s3"), NOW_MS).unwrap();
    let refused = Verifier::new().verify(&claim, &parts, "secret", Bytes::new()).unwrap_err();
    let nilas_wire::SigError::Mismatch(mismatch) = refused else { panic!("{refused:?}") };
    let hmac = |key: &[u8], text: &str| -> Vec<u8> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = ["20150830", "us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(b"AWS4secret".to_vec(), |key, step| hmac(&key, step));
    hmac(&key, &mismatch.string_to_sign).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn times_and_percent_codes_of_random_text_never_panic() {
    let mut random = Random(4);
    for _ in 0..ROUNDS {
        let text = random.text(24);
        time::parse_amz_date(&text);
        time::parse_amz_date(&random.mutate("20150830T123600Z"));
        time::parse_http_date(&random.mutate("Sun, 30 Aug 2015 12:36:00 GMT"));
        assert_eq!(percent::decode(&percent::encode(&text)), text);
        percent::query_pairs(&text).for_each(drop);
        percent::decode(&random.mutate("a%20b%C3%BC"));
    }
}
