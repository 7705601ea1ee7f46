//! AWS's HTTP Runtime API, 2018-06-01, for one environment.
//!
//! Modelled on AWS's open Runtime Interface Emulator (`lambda/rapi`). Whoever connects is function code: connections,
//! headers and bodies are bounded, and calls out of order get AWS's refusals and change nothing.

mod server;
mod state;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::state::Machine;
use crate::fault::FunctionFault;
use crate::stream::ResponseSink;

/// What `GET …/invocation/next` answers with.
#[derive(Debug)]
pub(crate) struct NextEvent {
    pub(crate) request_id: String,
    pub(crate) deadline_ms: u64,
    pub(crate) invoked_arn: String,
    pub(crate) trace_id: Option<String>,
    pub(crate) client_context: Option<String>,
    pub(crate) cognito_identity: Option<String>,
    pub(crate) payload: Bytes,
    pub(crate) sink: Option<ResponseSink>,
}

/// What the runtime did, each at most once per init or invocation.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The first call of next.
    Ready,
    InitError(FunctionFault),
    Answer(Result<Bytes, FunctionFault>),
    /// A later call of next: done with the last invocation.
    Parked,
}

/// The platform's side of one environment's Runtime API. Dropping it closes the server.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    machine: Arc<Machine>,
    signals: mpsc::Receiver<Signal>,
    accepting: JoinHandle<()>,
}

/// Signals in flight: the state machine lets through one answer and one next for each invocation.
const SIGNALS_MAX: usize = 8;

impl RuntimeApi {
    pub(crate) fn serve(listener: tokio::net::TcpListener) -> Self {
        let (sender, signals) = mpsc::channel(SIGNALS_MAX);
        let machine = Arc::new(Machine::new(sender, watch::Sender::new(None)));
        let accepting = tokio::spawn(server::accept(listener, Arc::clone(&machine)));
        Self { machine, signals, accepting }
    }

    /// Cancel-safe.
    pub(crate) async fn signal(&mut self) -> Signal {
        match self.signals.recv().await {
            Some(signal) => signal,
            // The machine holds a sender as long as `self` lives.
            None => std::future::pending().await,
        }
    }

    /// Gives the event to whoever waits for it, now or later.
    pub(crate) fn post(&self, event: NextEvent) {
        self.machine.post(event);
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
