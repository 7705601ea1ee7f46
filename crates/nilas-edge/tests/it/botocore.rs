//! Requests that botocore signed, recorded once: all are let in, and none after a change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::server::{Server, status_and_body};

const RECORDED: &str = include_str!("../data/botocore.json");
const RECORDED_AT_MS: u64 = 1_795_420_800_000;

#[derive(Deserialize)]
struct Recording {
    requests: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    title: String,
    /// Request line and headers, without the length.
    head: Vec<String>,
    body_base64: String,
}

impl Recorded {
    fn bytes(&self, change: impl Fn(&str) -> String) -> Vec<u8> {
        let (head, body) =
            (change(&self.head.join("\r\n")), BASE64.decode(&self.body_base64).unwrap());
        let mut bytes =
            format!("{head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
                .into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }
}

#[tokio::test]
async fn what_botocore_signs_is_let_in() {
    let server = Server::start_at(RECORDED_AT_MS).await;
    let recording: Recording = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recording.requests.len(), 20);
    for recorded in &recording.requests {
        let answer = server.raw(recorded.bytes(str::to_owned)).await;
        let (status, body) = status_and_body(&answer);
        assert_eq!(status, 200, "{}: {answer}", recorded.title);
        assert!(
            body.to_lowercase().starts_with(recorded.title.split(' ').next().unwrap()),
            "{}: {body}",
            recorded.title
        );
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_not() {
    let server = Server::start_at(RECORDED_AT_MS).await;
    let recording: Recording = serde_json::from_str(RECORDED).unwrap();
    for recorded in &recording.requests {
        let (first, _) = recorded.head[0].rsplit_once(' ').unwrap();
        let changed =
            recorded.bytes(|head| head.replacen(first, &first.replacen(' ', " /x", 1), 1));
        let answer = server.raw(changed).await;
        let refused = ["InvalidSignatureException", "SignatureDoesNotMatch"]
            .iter()
            .any(|code| answer.contains(code));
        assert!(refused, "{}: {answer}", recorded.title);
    }
}
