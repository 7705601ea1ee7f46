//! Which call the runtime may make now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{NextEvent, Signal};
use crate::fault::FunctionFault;
use crate::stream::ResponseSink;

/// The runtime's states, with the names AWS's refusals use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Started,
    InitError,
    /// Waiting in next.
    Ready,
    /// Has an event.
    Running,
    /// Its answer is coming in.
    InvocationResponse,
    InvocationErrorResponse,
    ResponseSent,
}

/// What the runtime asks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Next,
    InitError,
    Response,
    Error,
}

/// A call that is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forbidden {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// Why an answer is refused before its body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerRefusal {
    InvalidRequestId,
    Forbidden(Forbidden),
}

#[derive(Debug)]
pub(super) struct Machine {
    state: Mutex<State>,
    signals: mpsc::Sender<Signal>,
    event: watch::Sender<Option<Arc<NextEvent>>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    request_id: Option<String>,
}

/// The right to answer the current invocation, once. Dropped unused it reports a truncated response.
#[derive(Debug)]
pub(super) struct AnswerGuard {
    machine: Arc<Machine>,
    open: bool,
}

// === impl Phase ===

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::InitError => "InitError",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InvocationResponse => "InvocationResponse",
            Self::InvocationErrorResponse => "InvocationErrorResponse",
            Self::ResponseSent => "RuntimeResponseSentState",
        }
    }

    fn next(self, call: Call) -> Result<Self, Forbidden> {
        match (self, call) {
            // A second next while an event is out gets the same event again, as on AWS.
            (Self::Running, Call::Next) => Ok(Self::Running),
            (Self::Started | Self::Ready | Self::ResponseSent, Call::Next) => Ok(Self::Ready),
            (Self::Started, Call::InitError) => Ok(Self::InitError),
            (Self::Running, Call::Response) => Ok(Self::InvocationResponse),
            (Self::Running, Call::Error) => Ok(Self::InvocationErrorResponse),
            (from, call) => Err(Forbidden { from: from.name(), to: call.target() }),
        }
    }
}

impl Call {
    fn target(self) -> &'static str {
        match self {
            Self::Next => Phase::Ready.name(),
            Self::InitError => Phase::InitError.name(),
            Self::Response => Phase::InvocationResponse.name(),
            Self::Error => Phase::InvocationErrorResponse.name(),
        }
    }
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(
        signals: mpsc::Sender<Signal>,
        event: watch::Sender<Option<Arc<NextEvent>>>,
    ) -> Self {
        let state = Mutex::new(State { phase: Phase::Started, request_id: None });
        Self { state, signals, event }
    }

    /// An invocation for the runtime, which waits in next or soon will.
    pub(super) fn post(&self, event: NextEvent) {
        let mut state = self.lock();
        state.request_id = Some(event.request_id.clone());
        // Until the runtime comes for it, an event is not out: it is posted in Ready or before the next Ready.
        if state.phase == Phase::Ready {
            state.phase = Phase::Running;
        }
        self.event.send_replace(Some(Arc::new(event)));
    }

    /// Enters next; the caller then waits on the receiver for the event.
    pub(super) fn enter_next(&self) -> Result<watch::Receiver<Option<Arc<NextEvent>>>, Forbidden> {
        let mut state = self.lock();
        let before = state.phase;
        state.phase = before.next(Call::Next)?;
        match before {
            Phase::Started => self.signal(Signal::Ready),
            Phase::ResponseSent => self.signal(Signal::Parked),
            _ => {}
        }
        if state.phase == Phase::Ready && self.event.borrow().is_some() {
            state.phase = Phase::Running;
        }
        Ok(self.event.subscribe())
    }

    pub(super) fn init_error(&self) -> Result<(), Forbidden> {
        let mut state = self.lock();
        state.phase = state.phase.next(Call::InitError)?;
        Ok(())
    }

    pub(super) fn init_failed(&self, fault: FunctionFault) {
        self.signal(Signal::InitError(fault));
    }

    /// Checks the id first and the order then, as AWS does.
    pub(super) fn begin_answer(
        self: &Arc<Self>,
        request_id: &str,
        call: Call,
    ) -> Result<AnswerGuard, AnswerRefusal> {
        let mut state = self.lock();
        if state.request_id.as_deref() != Some(request_id) {
            return Err(AnswerRefusal::InvalidRequestId);
        }
        state.phase = state.phase.next(call).map_err(AnswerRefusal::Forbidden)?;
        Ok(AnswerGuard { machine: Arc::clone(self), open: true })
    }

    fn finish_answer(&self, answer: Result<Bytes, FunctionFault>) {
        let mut state = self.lock();
        state.phase = Phase::ResponseSent;
        self.event.send_replace(None);
        self.signal(Signal::Answer(answer));
    }

    /// Never waits: the phases let through fewer signals than the channel holds.
    fn signal(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            tracing::debug!("runtime API signal after the environment's end");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AnswerGuard ===

impl AnswerGuard {
    /// Who takes the response as it comes, if somebody does.
    pub(super) fn sink(&self) -> Option<ResponseSink> {
        self.machine.event.borrow().as_ref().and_then(|event| event.sink.clone())
    }

    pub(super) fn finish(mut self, answer: Result<Bytes, FunctionFault>) {
        self.open = false;
        self.machine.finish_answer(answer);
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        if self.open {
            self.machine.finish_answer(Err(FunctionFault::TruncatedResponse));
        }
    }
}
