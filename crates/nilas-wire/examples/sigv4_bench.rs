//! How long it takes to verify an Invoke: `cargo run --release -p nilas-wire --example sigv4_bench`.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use nilas_wire::sigv4::{ClientKey, Parts, Rules, Signer, Verifier, parse};

const ROUNDS: u32 = 200_000;
const NOW_MS: u64 = 1_440_938_160_000;

#[expect(clippy::print_stdout, reason = "the figure is the output")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = "/2015-03-31/functions/hello/invocations";
    let body = Bytes::from_static(b"{\"key\":\"value\"}");
    let key = ClientKey {
        access_key_id: "AKIAIOSFODNN7EXAMPLE",
        secret_access_key: "secret",
        session_token: None,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:4566"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("bench"));
    let signer = Signer { key, region: "us-east-1", service: "lambda", now_ms: NOW_MS };
    signer.sign(&Method::POST, path, "", &mut headers, &body)?;
    let parts = Parts { method: &Method::POST, path, query: "", headers: &headers };
    let verifier = Verifier::new();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        let claim = parse(black_box(&parts), Rules::of("lambda"), NOW_MS)?;
        black_box(verifier.verify(&claim, &parts, "secret", body.clone())?);
    }
    println!("verify: {:.2} µs", began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    Ok(())
}
