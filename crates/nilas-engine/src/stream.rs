//! A response on its way to a caller who takes it as it comes.
//!
//! Invariant: what a response holds in memory is bounded. Who takes it slowly slows the function; who stops taking it
//! does not stop the function, as on AWS.

use bytes::{Bytes, BytesMut};
use nilas_model::limits;
use tokio::sync::mpsc;

use crate::fault::FunctionFault;

/// A part of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Comes first, if the runtime names a type.
    ContentType(String),
    /// Never empty, and at most [`limits::STREAM_PIECE_BYTES_MAX`] long.
    Data(Bytes),
}

/// Where a response goes piece by piece.
#[derive(Debug, Clone)]
pub struct ResponseSink(mpsc::Sender<Piece>);

/// The pieces of a response. They end when the invocation has; its outcome says how.
pub type ResponsePieces = mpsc::Receiver<Piece>;

/// The two ends of a response that is streamed.
pub fn response_stream() -> (ResponseSink, ResponsePieces) {
    let (sender, pieces) = mpsc::channel(limits::STREAM_PIECES_MAX);
    (ResponseSink(sender), pieces)
}

/// Takes a response in: hands it on to the caller who streams, or collects it for the others.
#[derive(Debug)]
pub(crate) struct Intake {
    sink: Option<ResponseSink>,
    collected: BytesMut,
    bytes: usize,
}

// === impl Intake ===

impl Intake {
    pub(crate) fn new(sink: Option<ResponseSink>) -> Self {
        Self { sink, collected: BytesMut::new(), bytes: 0 }
    }

    pub(crate) async fn begin(&mut self, content_type: String) {
        if let Some(ResponseSink(sender)) = &self.sink {
            // The caller may have gone away.
            sender.send(Piece::ContentType(content_type)).await.unwrap_or_default();
        }
    }

    /// Waits for a caller who is slow. What is beyond the limit is dropped, and known at the end.
    pub(crate) async fn take(&mut self, mut data: Bytes) {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.bytes > self.bytes_max() {
            self.collected = BytesMut::new();
            return;
        }
        let Some(ResponseSink(sender)) = &self.sink else {
            self.collected.extend_from_slice(&data);
            return;
        };
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(limits::STREAM_PIECE_BYTES_MAX));
            if sender.send(Piece::Data(piece)).await.is_err() {
                return;
            }
        }
    }

    /// The end of a response: what was collected of it, or nothing if it was streamed.
    pub(crate) fn finish(self) -> Result<Bytes, FunctionFault> {
        let bytes_max = self.bytes_max();
        if self.bytes > bytes_max {
            return Err(FunctionFault::ResponseTooLarge { bytes_max });
        }
        Ok(self.collected.freeze())
    }

    /// A response, or its last part, that came whole. One that nobody streams is not copied.
    pub(crate) async fn finish_with(mut self, payload: Bytes) -> Result<Bytes, FunctionFault> {
        if self.sink.is_none() && self.bytes == 0 {
            return Ok(payload);
        }
        self.take(payload).await;
        self.finish()
    }

    pub(crate) fn bytes_max(&self) -> usize {
        match self.sink {
            Some(_) => limits::STREAMED_RESPONSE_BYTES_MAX,
            None => limits::SYNC_RESPONSE_BYTES_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn collects_up_to_what_a_whole_response_may_be() {
        let mut intake = Intake::new(None);
        intake.take(Bytes::from_static(b"a")).await;
        assert_eq!(intake.finish_with(Bytes::from_static(b"b")).await, Ok(Bytes::from("ab")));
        let mut intake = Intake::new(None);
        intake.take(Bytes::from(vec![0; limits::SYNC_RESPONSE_BYTES_MAX])).await;
        let bytes_max = limits::SYNC_RESPONSE_BYTES_MAX;
        let fault = FunctionFault::ResponseTooLarge { bytes_max };
        assert_eq!(intake.finish_with(Bytes::from_static(b"b")).await, Err(fault));
    }

    #[tokio::test]
    async fn waits_for_who_is_slow_and_not_for_who_is_gone() {
        let (sink, mut pieces) = response_stream();
        let mut intake = Intake::new(Some(sink));
        let large = Bytes::from(vec![7; limits::STREAM_PIECE_BYTES_MAX * 10]);
        let taken = tokio::spawn(async move {
            intake.take(large).await;
            intake.finish()
        });
        tokio::task::yield_now().await;
        assert!(!taken.is_finished());
        let Some(Piece::Data(first)) = pieces.recv().await else { panic!("no data") };
        assert_eq!(first.len(), limits::STREAM_PIECE_BYTES_MAX);
        drop(pieces);
        assert_eq!(taken.await.unwrap(), Ok(Bytes::new()));
    }
}
