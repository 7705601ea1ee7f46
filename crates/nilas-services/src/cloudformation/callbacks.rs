//! Answers of custom resources: each is awaited at a URL of its own, which nobody can guess.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, StatusCode};
use nilas_wire::{ApiRequest, ApiResponse, Fault, Protocol, encode_fault};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Largest answer, bytes; see "Custom resource response objects".
const ANSWER_BYTES_MAX: usize = 4_096;
/// Below it are the tokens.
const PATH: &str = "/_aws/cloudformation/callback/";

/// Who waits for an answer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callbacks(Arc<Mutex<BTreeMap<String, oneshot::Sender<Bytes>>>>);

/// One awaited answer; given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Awaited {
    callbacks: Callbacks,
    token: String,
    answer: oneshot::Receiver<Bytes>,
}

impl Callbacks {
    pub(crate) fn expect(&self) -> Awaited {
        let token = Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        self.0.lock().expect("no holder panics").insert(token.clone(), sender);
        Awaited { callbacks: self.clone(), token, answer }
    }

    /// Takes the answer that was put at `token`, as S3 takes an object at a presigned URL.
    pub(crate) fn take(&self, token: &str, request: &ApiRequest) -> ApiResponse {
        let refuse = |code: &'static str, status, message: &str| {
            let fault = Fault::plain(code, status, message);
            encode_fault(Protocol::RestXml, &fault, &request.request_id)
        };
        if request.method != Method::PUT {
            return refuse(
                "MethodNotAllowed",
                405,
                "The specified method is not allowed against this resource.",
            );
        }
        if request.body.len() > ANSWER_BYTES_MAX {
            return refuse("EntityTooLarge", 400, "Response object is too long.");
        }
        match self.0.lock().expect("no holder panics").remove(token) {
            // An error says that it is no longer awaited.
            Some(sender) => drop(sender.send(request.body.clone())),
            None => return refuse("AccessDenied", 403, "Request has expired"),
        }
        ApiResponse::empty(StatusCode::OK)
    }
}

impl Awaited {
    /// `base` is where the function reaches this server.
    pub(crate) fn url(&self, base: &str) -> String {
        format!("{base}{PATH}{}", self.token)
    }

    /// None if nobody can answer any more.
    pub(crate) async fn answer(&mut self) -> Option<Bytes> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.callbacks.0.lock().expect("no holder panics").remove(&self.token);
    }
}
