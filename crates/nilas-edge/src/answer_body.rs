//! Bodies of answers: whole, or sent as they are made.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use nilas_wire::{ApiResponse, BodySource, BrokenOff, Rest};

use crate::body::Held;

/// The body of an answer. hyper asks for the next piece when the client has taken the last; a client that goes away
/// drops it.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    start: Bytes,
    rest: Option<Rest>,
    broken: bool,
}

/// Keeps the request's share of memory as long as the answer goes on: what makes it may still hold the request.
pub(crate) fn hold(response: &mut ApiResponse, held: Held) {
    response.rest = response.rest.take().map(|rest| Rest::new(Holding { rest, _held: held }));
}

struct Holding {
    rest: Rest,
    _held: Held,
}

impl BodySource for Holding {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.rest.poll_piece(cx)
    }
}

impl AnswerBody {
    pub(crate) fn new(start: Bytes, rest: Option<Rest>) -> Self {
        Self { start, rest, broken: false }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.start)))));
        }
        if std::mem::take(&mut self.broken) {
            self.rest = None;
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match rest.poll_piece(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Poll::Ready(Some(Err(BrokenOff))) => {
                // hyper drops what it has not sent when a body fails: this lets it send that first.
                self.broken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.rest = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            None => SizeHint::with_exact(u64::try_from(self.start.len()).unwrap_or(u64::MAX)),
            Some(_) => SizeHint::default(),
        }
    }
}
