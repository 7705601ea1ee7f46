//! How the platform and a runtime talk: the framed socket of our bootstraps, or AWS's Runtime API.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::frames::{Frame, FrameReader, InvokeHeader, encode_invoke};
use super::runtime_api::{NextEvent, RuntimeApi, Signal};
use crate::api::Invocation;
use crate::fault::FunctionFault;
use crate::stream::Intake;

/// How init went, as the runtime tells it.
#[derive(Debug)]
pub(crate) enum InitAnswer {
    Ready,
    Failed(FunctionFault),
    /// The process waits to be forked, or says why it cannot be.
    Template {
        obstacle: String,
    },
}

/// The answer to one invocation.
pub(crate) type FunctionAnswer = Result<Bytes, FunctionFault>;

/// The connection to one runtime.
#[derive(Debug)]
pub(crate) enum Link {
    Framed(FramedLink),
    Http(HttpLink),
}

#[derive(Debug)]
pub(crate) struct FramedLink {
    stream: UnixStream,
    reader: FrameReader,
}

#[derive(Debug)]
pub(crate) struct HttpLink {
    api: RuntimeApi,
    /// The runtime waits in next: only then may the environment be frozen.
    parked: bool,
}

// === impl Link ===

impl Link {
    pub(crate) fn framed(channel: std::os::unix::net::UnixStream) -> io::Result<Self> {
        channel.set_nonblocking(true)?;
        let stream = UnixStream::from_std(channel)?;
        Ok(Self::Framed(FramedLink { stream, reader: FrameReader::default() }))
    }

    pub(crate) fn http(listener: std::net::TcpListener) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self::Http(HttpLink { api: RuntimeApi::serve(listener), parked: false }))
    }

    /// Waits for the end of init. A runtime that closes its channel is about to exit: that is not answered here.
    pub(crate) async fn initialized(&mut self) -> InitAnswer {
        match self {
            Self::Framed(link) => match link.frame().await {
                Ok(Frame::Ready) => InitAnswer::Ready,
                Ok(Frame::InitError { payload }) => {
                    InitAnswer::Failed(FunctionFault::reported(payload, None, true))
                }
                Ok(Frame::Template { obstacle }) => InitAnswer::Template {
                    obstacle: String::from_utf8_lossy(&obstacle).into_owned(),
                },
                Ok(_) | Err(_) => InitAnswer::Failed(FunctionFault::Violation),
            },
            Self::Http(link) => loop {
                match link.api.signal().await {
                    Signal::Ready => {
                        link.parked = true;
                        return InitAnswer::Ready;
                    }
                    Signal::InitError(fault) => return InitAnswer::Failed(fault),
                    Signal::Answer(_) | Signal::Parked => {}
                }
            },
        }
    }

    /// Delivers one event and waits for its answer.
    pub(crate) async fn invoke(
        &mut self,
        invocation: &Invocation,
        deadline_ms: u64,
    ) -> FunctionAnswer {
        match self {
            Self::Framed(link) => link.invoke(invocation, deadline_ms).await,
            Self::Http(link) => link.invoke(invocation, deadline_ms).await,
        }
    }

    /// Waits until the runtime waits for its next event.
    pub(crate) async fn parked(&mut self) {
        if let Self::Http(link) = self {
            while !link.parked {
                link.parked = matches!(link.api.signal().await, Signal::Parked);
            }
        }
    }

    /// Watches an idle runtime; ends only when it says something nobody asked for.
    pub(crate) async fn disturbed(&mut self) {
        match self {
            Self::Framed(link) => match link.frame().await {
                Ok(frame) => tracing::debug!(?frame, "runtime spoke without being asked"),
                Err(error) => tracing::debug!(%error, "runtime broke its protocol"),
            },
            // The state machine of the Runtime API refuses what comes out of order.
            Self::Http(link) => loop {
                if matches!(link.api.signal().await, Signal::Parked) {
                    link.parked = true;
                }
            },
        }
    }
}

// === impl FramedLink ===

impl FramedLink {
    async fn invoke(&mut self, invocation: &Invocation, deadline_ms: u64) -> FunctionAnswer {
        let request_id = invocation.request_id.to_string();
        let header = InvokeHeader {
            request_id: &request_id,
            deadline_ms,
            invoked_function_arn: &invocation.invoked_arn,
            trace_id: invocation.trace_id.as_deref(),
            client_context: invocation.client_context.as_deref(),
            cognito_identity: invocation.cognito_identity.as_deref(),
        };
        if self.reader.is_mid_frame() {
            return Err(FunctionFault::Violation);
        }
        if self.send(&header, &invocation.payload).await.is_err() {
            // The other end is closed: the exit that follows says why.
            std::future::pending::<()>().await;
        }
        self.answer(request_id.as_bytes(), Intake::new(invocation.sink.clone())).await
    }

    /// Takes the answer in, however many frames it comes in.
    async fn answer(&mut self, request_id: &[u8], mut intake: Intake) -> FunctionAnswer {
        loop {
            match self.frame().await {
                Ok(Frame::Response { request_id: id, payload }) if id == *request_id => {
                    return intake.finish_with(payload).await;
                }
                Ok(Frame::Error { request_id: id, payload }) if id == *request_id => {
                    return Err(FunctionFault::reported(payload, None, false));
                }
                Ok(Frame::TooLarge { request_id: id }) if id == *request_id => {
                    return Err(FunctionFault::ResponseTooLarge { bytes_max: intake.bytes_max() });
                }
                Ok(Frame::Stream { request_id: id, content_type }) if id == *request_id => {
                    intake.begin(String::from_utf8_lossy(&content_type).into_owned()).await;
                }
                Ok(Frame::Chunk { request_id: id, payload }) if id == *request_id => {
                    intake.take(payload).await;
                }
                Ok(frame) => {
                    tracing::debug!(?frame, "runtime answered what was not asked");
                    return Err(FunctionFault::Violation);
                }
                Err(error) => {
                    tracing::debug!(%error, "runtime broke its protocol");
                    return Err(FunctionFault::Violation);
                }
            }
        }
    }

    /// One write for an event of ordinary size.
    async fn send(&mut self, header: &InvokeHeader<'_>, event: &Bytes) -> io::Result<()> {
        const COPY_BYTES_MAX: usize = 64 * 1_024;
        let mut frame = encode_invoke(header, event.len());
        if event.len() <= COPY_BYTES_MAX {
            frame.extend_from_slice(event);
            return self.stream.write_all(&frame).await;
        }
        self.stream.write_all(&frame).await?;
        self.stream.write_all(event).await
    }

    /// The next frame. A closed channel never ends this: the process's exit says more, and comes at once.
    async fn frame(&mut self) -> Result<Frame, super::frames::FrameError> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(frame);
            }
            match self.stream.read_buf(self.reader.buffer()).await {
                Ok(0) | Err(_) => std::future::pending().await,
                Ok(_) => {}
            }
        }
    }
}

// === impl HttpLink ===

impl HttpLink {
    async fn invoke(&mut self, invocation: &Invocation, deadline_ms: u64) -> FunctionAnswer {
        self.parked = false;
        self.api.post(NextEvent {
            request_id: invocation.request_id.to_string(),
            deadline_ms,
            invoked_arn: invocation.invoked_arn.clone(),
            trace_id: invocation.trace_id.clone(),
            client_context: invocation.client_context.clone(),
            cognito_identity: invocation.cognito_identity.clone(),
            payload: invocation.payload.clone(),
            sink: invocation.sink.clone(),
        });
        loop {
            // A late `Parked` belongs to the invocation before.
            if let Signal::Answer(answer) = self.api.signal().await {
                // What was streamed has gone to the caller already, and is not in the answer.
                return Intake::new(invocation.sink.clone()).finish_with(answer?).await;
            }
        }
    }
}
