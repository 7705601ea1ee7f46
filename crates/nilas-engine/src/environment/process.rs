//! A started sandbox with a runtime in it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nilas_model::{EnvironmentId, VersionSnapshot};
use nilas_sandbox::{Control, Exit, Exited, StartError, Started};
use tokio::task::JoinHandle;

use super::Stop;
use super::credentials::{CredentialServer, Issue, random_token};
use super::link::{FunctionAnswer, InitAnswer, Link};
use super::template::Template;
use crate::api::{Invocation, InvokeError, ThrottleReason};
use crate::engine::Inner;
use crate::fault::FunctionFault;
use crate::launch::{self, Credentials, LaunchContext, NoBootstrap, Start};
use crate::logs::{Journal, Output, lock};
use crate::timer::Timer;

/// What a dead process said last is in its sockets already; it only has to be read.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Nobody waits longer for the kernel to clear a killed tree away.
const GONE: Duration = Duration::from_secs(5);

/// Everything of one sandbox. Dropping it kills the tree.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) control: Arc<dyn Control>,
    pub(super) end: End,
    pub(super) link: Link,
    pub(super) output: Output,
    /// Of init and invocations. Apart from `rest`, for a deadline moves cheaply only if it moves away.
    limit: Timer,
    /// From the end of an invocation to the freeze.
    pub(super) rest: Timer,
    /// As last measured.
    pub(super) memory_peak_bytes: u64,
    endpoint: Endpoint,
    _credentials: Option<CredentialServer>,
    /// With which they are asked for.
    pub(super) token: String,
    /// What it was forked from, which the kernel ends it with.
    _template: Option<Arc<Template>>,
}

/// Where a process is to come from.
#[derive(Debug)]
pub(super) enum How {
    Fresh(Start),
    Restored(Arc<Template>),
}

/// What a started sandbox is connected to.
struct Parts {
    journal: Arc<Mutex<Journal>>,
    template: Option<Arc<Template>>,
    token: Option<String>,
    issue: Issue,
}

/// Why there is no initialised runtime.
#[derive(Debug)]
pub(super) enum InitFailure {
    /// The function's fault; AWS tries once more.
    Fault(FunctionFault),
    TimedOut,
    Platform(InvokeError),
    /// It cannot be forked, or not from what it was to be forked from; started otherwise it may run.
    Fork(String),
}

/// An invocation that got no answer.
#[derive(Debug)]
pub(super) enum InvokeEnd {
    TimedOut,
    Exited(Exit),
    Stopped,
}

/// Waits for the end of the tree. Registered once, not for every invocation.
pub(super) struct End {
    exited: Exited,
    exit: Option<Exit>,
}

/// The AWS API inside the environment, as long as it lives.
#[derive(Debug)]
struct Endpoint(Option<JoinHandle<()>>);

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

// === impl End ===

impl End {
    pub(super) async fn reached(&mut self) -> Exit {
        match self.exit {
            Some(exit) => exit,
            None => *self.exit.insert((&mut self.exited).await),
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("exit", &self.exit).finish_non_exhaustive()
    }
}

// === impl Process ===

impl Process {
    /// Starts the sandbox and connects to it.
    pub(super) async fn start(
        engine: &Inner,
        snapshot: &VersionSnapshot,
        environment: EnvironmentId,
        attempt: u32,
        how: How,
        journal: &Arc<Mutex<Journal>>,
    ) -> Result<Self, InitFailure> {
        let issue = engine.issue_credentials(snapshot);
        let (start, template) = match how {
            How::Fresh(start) => (start, None),
            How::Restored(template) => {
                (Start::Restored { template: template.sandbox_id().to_owned() }, Some(template))
            }
        };
        let credentials = match &template {
            _ if !snapshot.snap_start => Credentials::Issued(issue()),
            Some(template) => Credentials::Asked { token: template.token().to_owned() },
            None => Credentials::Asked { token: random_token() },
        };
        let log_stream = lock(journal).stream().to_owned();
        let spec = launch::sandbox_spec(&LaunchContext {
            config: &engine.config,
            snapshot,
            environment,
            attempt,
            start,
            log_stream: &log_stream,
            credentials: &credentials,
        });
        let spec = spec.map_err(|NoBootstrap| {
            InitFailure::Fault(FunctionFault::InvalidEntrypoint { reason: NoBootstrap::reason() })
        })?;
        let started = engine.sandbox.start(spec).await.map_err(start_failure)?;
        started.control.watch_memory(true);
        let token = match credentials {
            Credentials::Asked { token } => Some(token),
            Credentials::Issued(_) => None,
        };
        let parts = Parts { journal: Arc::clone(journal), template, token, issue };
        Self::connect(engine, started, parts).map_err(|source| {
            InitFailure::Platform(InvokeError::Wiring { source: Arc::new(source) })
        })
    }

    fn connect(engine: &Inner, started: Started, parts: Parts) -> io::Result<Self> {
        let Parts { journal, template, token, issue } = parts;
        let Started { control, channel, telemetry, output, listeners } = started;
        // In the order of `SandboxSpec::listeners`: the endpoint, then at the Runtime API's address that, for custom
        // runtimes, or credentials.
        let mut listeners = listeners.into_iter();
        let endpoint = match (listeners.next(), engine.endpoint.get()) {
            (Some(listener), Some(server)) => {
                Some(server.serve(tokio::net::TcpListener::from_std(listener)?))
            }
            _ => None,
        };
        let (link, credentials) = match (listeners.next(), &token) {
            (Some(listener), Some(token)) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let server = CredentialServer::serve(listener, token.clone(), issue);
                (Link::framed(channel)?, Some(server))
            }
            (Some(listener), None) => (Link::http(listener)?, None),
            (None, _) => (Link::framed(channel)?, None),
        };
        let output = Output::new(output, telemetry, journal)?;
        Ok(Self {
            end: End { exited: control.exited(), exit: None },
            control,
            link,
            output,
            limit: Timer::new(),
            rest: Timer::new(),
            memory_peak_bytes: 0,
            endpoint: Endpoint(endpoint),
            _credentials: credentials,
            token: token.unwrap_or_default(),
            _template: template,
        })
    }

    /// Waits until the runtime asks for its first event.
    pub(super) async fn initialize(
        &mut self,
        limit: Duration,
        stop: &mut Stop,
    ) -> Result<(), InitFailure> {
        match self.init_answer(limit, stop).await? {
            InitAnswer::Ready => Ok(()),
            InitAnswer::Failed(fault) => Err(InitFailure::Fault(fault)),
            InitAnswer::Template { .. } => Err(InitFailure::Fault(FunctionFault::Violation)),
        }
    }

    /// Waits until the runtime waits to be forked.
    pub(super) async fn initialize_template(
        &mut self,
        limit: Duration,
        stop: &mut Stop,
    ) -> Result<(), InitFailure> {
        match self.init_answer(limit, stop).await? {
            InitAnswer::Template { obstacle } if obstacle.is_empty() => Ok(()),
            InitAnswer::Template { obstacle } => Err(InitFailure::Fork(obstacle)),
            InitAnswer::Failed(fault) => Err(InitFailure::Fault(fault)),
            InitAnswer::Ready => Err(InitFailure::Fork("it was not forked itself".to_owned())),
        }
    }

    async fn init_answer(
        &mut self,
        limit: Duration,
        stop: &mut Stop,
    ) -> Result<InitAnswer, InitFailure> {
        let Self { end, link, output, limit: timer, .. } = self;
        timer.set(limit);
        let answer = tokio::select! {
            biased;
            () = stop.told() => return Err(InitFailure::Platform(InvokeError::ShuttingDown)),
            answer = link.initialized() => answer,
            exit = end.reached() => {
                let last = tokio::time::timeout(LAST_WORDS, link.initialized()).await;
                match last {
                    Ok(InitAnswer::Ready) | Err(_) => {
                        InitAnswer::Failed(FunctionFault::Exited(exit))
                    }
                    Ok(answer) => answer,
                }
            }
            () = timer.elapsed() => return Err(InitFailure::TimedOut),
            () = output.pump_and_flush() => return Err(InitFailure::TimedOut),
        };
        output.drain();
        Ok(answer)
    }

    /// Delivers one event; waits for the answer, the end of the process or of the time, and takes what was written until
    /// then.
    pub(super) async fn invoke(
        &mut self,
        invocation: &Invocation,
        deadline_ms: u64,
        limit: Duration,
        stop: &mut Stop,
    ) -> Result<FunctionAnswer, InvokeEnd> {
        let Self { end, link, output, limit: timer, .. } = self;
        timer.set(limit);
        let answer = link.invoke(invocation, deadline_ms);
        tokio::pin!(answer);
        let answered = tokio::select! {
            biased;
            answer = &mut answer => Ok(answer),
            () = stop.told() => Err(InvokeEnd::Stopped),
            exit = end.reached() => match tokio::time::timeout(LAST_WORDS, answer).await {
                // An answer before the end counts, whatever became of the process then.
                Ok(Ok(payload)) => Ok(Ok(payload)),
                Ok(Err(fault @ FunctionFault::Reported { .. })) => Ok(Err(fault)),
                _ => Err(InvokeEnd::Exited(exit)),
            },
            () = timer.elapsed() => Err(InvokeEnd::TimedOut),
            () = output.pump_and_flush() => Err(InvokeEnd::TimedOut),
        };
        match &answered {
            Ok(_) => output.drain_heard(),
            Err(_) => output.drain(),
        }
        answered
    }

    pub(super) fn measure_memory(&mut self) {
        self.memory_peak_bytes = self.control.memory_peak_bytes();
    }

    /// Kills the tree and waits until it is gone; its pipes can still be read.
    pub(super) async fn kill(&mut self) {
        self.control.kill();
        if tokio::time::timeout(GONE, self.end.reached()).await.is_err() {
            tracing::error!("a killed environment does not end");
        }
    }

    pub(super) async fn end(mut self) {
        self.kill().await;
        self.output.drain();
        drop(self.endpoint);
    }
}

fn start_failure(error: StartError) -> InitFailure {
    match error {
        StartError::Exec { path, reason } => {
            let reason = format!("fork/exec {path}: {}", go_reason(&reason));
            InitFailure::Fault(FunctionFault::InvalidEntrypoint { reason })
        }
        // No place for another environment on this machine: later there may be one.
        StartError::Full { .. } => InitFailure::Platform(InvokeError::Throttled {
            reason: ThrottleReason::ConcurrentInvocationLimitExceeded,
        }),
        StartError::Fork { step, reason, .. } => InitFailure::Fork(format!("{step}: {reason}")),
        error => InitFailure::Platform(InvokeError::StartFailed { source: Arc::new(error) }),
    }
}

/// An operating system error as AWS's Go code spells it: `permission denied`.
fn go_reason(reason: &str) -> String {
    let reason = reason.split(" (os error").next().unwrap_or(reason);
    let mut chars = reason.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}
