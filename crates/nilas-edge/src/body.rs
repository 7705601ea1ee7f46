//! Takes in request bodies, within limits: of one body, of all bodies together, of a client's silence.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What a body's place in memory is counted in.
const UNIT_BYTES: usize = 1_024;

/// What is reserved for a body before it has come; a promise of 70 MB costs the client nothing.
const RESERVE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// How much of a body that nobody wants is read anyway, so that the client gets to read the answer.
const DRAIN_BYTES_MAX: usize = 256 * 1_024 * 1_024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Memory for bodies, shared by connections; perhaps a part of a larger room.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    own: Arc<Semaphore>,
    whole: Option<Arc<Semaphore>>,
}

/// A body in memory, and its share of the room until it is dropped.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) bytes: Bytes,
    pub(crate) held: Held,
}

/// A share of a [`Room`].
#[derive(Debug, Default)]
pub(crate) struct Held {
    own: Option<OwnedSemaphorePermit>,
    whole: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize, length: Option<u64> },
    #[error("too many bodies are held already")]
    NoRoom,
    #[error("the client fell silent in the middle of the body")]
    Silent,
    #[error("the connection broke in the middle of the body")]
    Broken { source: hyper::Error },
}

// === impl Room ===

impl Room {
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self { own: Arc::new(Semaphore::new(bytes / UNIT_BYTES)), whole: None }
    }

    /// A room of `bytes` within this one.
    pub(crate) fn part(&self, bytes: usize) -> Self {
        Self { whole: Some(Arc::clone(&self.own)), ..Self::of_bytes(bytes) }
    }

    /// Adds `bytes` to what is held.
    fn take(&self, bytes: usize, held: &mut Held) -> Result<(), BodyError> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).map_err(|_| BodyError::NoRoom)?;
        hold(&self.own, units, &mut held.own)?;
        self.whole.as_ref().map_or(Ok(()), |whole| hold(whole, units, &mut held.whole))
    }
}

fn hold(
    room: &Arc<Semaphore>,
    units: u32,
    held: &mut Option<OwnedSemaphorePermit>,
) -> Result<(), BodyError> {
    let taken = Arc::clone(room).try_acquire_many_owned(units).map_err(|_| BodyError::NoRoom)?;
    match held {
        Some(permit) => permit.merge(taken),
        none => *none = Some(taken),
    }
    Ok(())
}

/// Reads `body` whole. A body that came in one piece is not copied.
pub(crate) async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    limit: usize,
    silence_max: Duration,
    room: &Room,
) -> Result<Buffered, BodyError> {
    let mut held = Held::default();
    if body.is_end_stream() {
        return Ok(Buffered { bytes: Bytes::new(), held });
    }
    let length = content_length(headers);
    let too_large = || BodyError::TooLarge { limit, length };
    let expected = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut total = 0;
    // What says its length ends with its last byte: nothing is waited for then.
    while !body.is_end_stream() {
        let frame = frame(body, silence_max).await?;
        let Some(frame) = frame.transpose().map_err(|source| BodyError::Broken { source })? else {
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > limit {
            return Err(too_large());
        }
        room.take(data.len(), &mut held)?;
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(expected.clamp(total, total + RESERVE_BYTES_MAX));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Buffered { bytes, held })
}

/// The next piece of a body, or its end.
///
/// hyper reads of a body only what it has been asked for. So the first asking is without a limit on time, and the second
/// comes right after hyper has looked: a body that came with its head needs no timer, which costs more than reading it.
async fn frame(
    body: &mut Incoming,
    silence_max: Duration,
) -> Result<Option<Result<Frame<Bytes>, hyper::Error>>, BodyError> {
    let mut asked = false;
    let at_once = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match at_once.await {
        Some(frame) => Ok(frame),
        None => timeout(silence_max, body.frame()).await.map_err(|_| BodyError::Silent),
    }
}

/// Throws the rest of a body away: a connection closed on a client that still writes makes it lose the answer.
pub(crate) async fn drain(body: &mut Incoming, headers: &HeaderMap, silence_max: Duration) {
    // Whoever waits for `100 Continue` has sent nothing yet, and reading would invite it.
    if headers.contains_key(header::EXPECT)
        || content_length(headers).is_some_and(|length| length > DRAIN_BYTES_MAX as u64)
    {
        return;
    }
    let discard = async {
        let mut total = 0;
        while let Ok(Some(Ok(frame))) = timeout(silence_max, body.frame()).await {
            total += frame.data_ref().map_or(0, Bytes::len);
            if total > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // In vain if it takes too long: then the connection is closed all the same.
    timeout(DRAIN_TIME_MAX, discard).await.unwrap_or(());
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
