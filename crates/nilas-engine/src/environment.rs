//! One environment: a task that boots a runtime, serves invocations one at a time, and ends it.

mod ahead;
pub(crate) mod credentials;
mod frames;
mod link;
mod process;
mod report;
mod restore;
mod runtime_api;
mod stop;
pub(crate) mod template;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nilas_model::{EnvironmentId, FunctionErrorKind, Outcome, Restore, VersionSnapshot};
use nilas_sandbox::Exit;
use tokio::sync::{Notify, mpsc, oneshot};

use self::process::{How, InitFailure, Process};
pub(crate) use self::stop::Stop;
use crate::api::{Invocation, InvokeError};
use crate::engine::Inner;
use crate::fault::FunctionFault;
use crate::launch::{Start, initialization_type};
use crate::logs::{InitPhase, InitReport, Journal, Place, lock, rfc3339_ms, stream_name};
use crate::pool::{Event, Slot, Ticket};

/// An admitted invocation on its way to an environment.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) snapshot: Arc<VersionSnapshot>,
    pub(crate) invocation: Invocation,
    pub(crate) reply: oneshot::Sender<Result<Outcome, InvokeError>>,
}

/// An invocation for a booted environment.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) job: Job,
    pub(crate) thaw: bool,
}

/// What the engine keeps of a running environment.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: EnvironmentId,
    pub(crate) log_stream: String,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) stop: Arc<Notify>,
}

/// Orders in flight: the next one may come while the last is being settled.
const ORDERS_MAX: usize = 2;

/// A prepared environment. Dropped without `spawn` it ends, and its caller hears so.
#[derive(Debug)]
pub(crate) struct Launch {
    environment: Environment,
    job: Option<Job>,
}

/// The task's own state.
#[derive(Debug)]
struct Environment {
    engine: Arc<Inner>,
    slot: Slot,
    id: EnvironmentId,
    snapshot: Arc<VersionSnapshot>,
    journal: Arc<Mutex<Journal>>,
    orders: mpsc::Receiver<Order>,
    stop: Stop,
    /// Initialised ahead of any invocation, and kept.
    provisioned: bool,
    failed_init: bool,
    ended: bool,
}

/// When an invocation began and what went before, for its report.
#[derive(Debug, Clone, Copy)]
struct Clocked {
    started_us: u64,
    /// Of the init before the first invocation, when it succeeded.
    init_us: Option<u64>,
    /// Of the restore before the first invocation.
    restore: Option<Restore>,
}

impl Clocked {
    /// Of an invocation that has nothing before it.
    fn at(started_us: u64) -> Self {
        Self { started_us, init_us: None, restore: None }
    }
}

/// How one invocation left its environment.
enum Served {
    Sound,
    Over,
}

/// What an environment without an invocation does.
enum Idle {
    Rested,
    Disturbed,
}

/// Makes an environment that will run `job` once it is launched and initialised; without one it is provisioned.
pub(crate) fn prepare(
    engine: &Arc<Inner>,
    slot: Slot,
    snapshot: Arc<VersionSnapshot>,
    job: Option<Job>,
) -> (Handle, Launch) {
    let id = EnvironmentId::random();
    let log_stream = stream_name(engine.clock.epoch_ms(), snapshot.version, id);
    let (account, region) = (snapshot.account.as_str(), snapshot.region.as_str());
    let journal = Journal::new(Place {
        group: format!("{account}/{region}/{}", snapshot.logging.group),
        logging: snapshot.logging.clone(),
        stream: log_stream.clone(),
        sink: Arc::clone(&engine.logs),
        clock: Arc::clone(&engine.clock),
    });
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    let stop = Arc::new(Notify::new());
    let environment = Environment {
        engine: Arc::clone(engine),
        slot,
        id,
        snapshot,
        journal: Arc::new(Mutex::new(journal)),
        orders,
        stop: Stop::on(Arc::clone(&stop)),
        provisioned: job.is_none(),
        failed_init: false,
        ended: false,
    };
    (Handle { id, log_stream, orders: sender, stop }, Launch { environment, job })
}

// === impl Launch ===

impl Launch {
    /// Not under the engine's lock: where the runtime is being shut down the task is dropped at once, and ends.
    pub(crate) fn spawn(self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.environment.run(self.job));
        }
    }
}

// === impl Environment ===

impl Environment {
    async fn run(mut self, job: Option<Job>) {
        let (mut process, mut served) = match job {
            Some(job) => {
                let Some((mut process, job, clocked)) = self.begin(job).await else { return };
                let served = self.serve(&mut process, job, clocked).await;
                (process, served)
            }
            None => {
                let Some(process) = self.boot_ahead().await else { return };
                (process, Served::Sound)
            }
        };
        while let Served::Sound = served {
            let Some(order) = self.next_order(&mut process).await else { break };
            if order.thaw
                && let Err(error) = process.control.thaw()
            {
                tracing::warn!(environment = %self.id, %error, "thaw failed");
                process.end().await;
                self.end(Some(order.job));
                return;
            }
            let clocked = Clocked::at(self.engine.clock.monotonic_us());
            served = self.serve(&mut process, order.job, clocked).await;
        }
        process.end().await;
        self.end(None);
    }

    /// Restored if there is something to restore it from, else initialised.
    async fn begin(&mut self, job: Job) -> Option<(Process, Job, Clocked)> {
        match self.engine.template(&self.snapshot) {
            Some(template) => self.restore(job, template).await,
            None => self.boot(job).await,
        }
    }

    /// Init, and again within the first invocation if it fails; see "Lambda execution environment lifecycle",
    /// "Failures during the Init phase". None: the environment is over and the job answered.
    async fn boot(&mut self, job: Job) -> Option<(Process, Job, Clocked)> {
        self.announce_init(&self.start());
        let started_us = self.engine.clock.monotonic_us();
        let init_limit = Duration::from_millis(self.engine.config.init_ms_max);
        let failure = match self.attempt(0, init_limit, self.start()).await {
            Ok(process) => {
                self.engine.step(Event::Initialized { slot: self.slot });
                let now_us = self.engine.clock.monotonic_us();
                let init_us = Some(now_us - started_us);
                let clocked = Clocked { init_us, ..Clocked::at(now_us) };
                return Some((process, job, clocked));
            }
            Err(failure) => failure,
        };
        if let Err(error) = self.report_init(InitPhase::Init, started_us, init_limit, failure) {
            return self.abandon(job, error);
        }
        let started_us = self.engine.clock.monotonic_us();
        let timeout = Duration::from_millis(self.snapshot.timeout_ms);
        let clocked = Clocked::at(started_us);
        match self.attempt(1, timeout, self.start()).await {
            Ok(process) => {
                self.engine.step(Event::Initialized { slot: self.slot });
                Some((process, job, clocked))
            }
            Err(failure) => match self.report_init(InitPhase::Invoke, started_us, timeout, failure)
            {
                Ok(fault) => {
                    self.fail(job, clocked, &fault, 0);
                    None
                }
                Err(error) => self.abandon(job, error),
            },
        }
    }

    async fn attempt(
        &mut self,
        attempt: u32,
        limit: Duration,
        start: Start,
    ) -> Result<Process, InitFailure> {
        let engine = Arc::clone(&self.engine);
        let (snapshot, how) = (&self.snapshot, How::Fresh(start));
        let process =
            Process::start(&engine, snapshot, self.id, attempt, how, &self.journal).await?;
        // Init has every CPU, as on AWS; its retry, which may take as long as an invocation, has the function's share.
        if attempt > 0 {
            self.share_cpu(&process);
        }
        self.await_first_event(process, limit).await
    }

    /// Until the runtime of a started process asks for an event.
    async fn await_first_event(
        &mut self,
        mut process: Process,
        limit: Duration,
    ) -> Result<Process, InitFailure> {
        self.engine.step(Event::SandboxStarted { slot: self.slot });
        match process.initialize(limit, &mut self.stop).await {
            Ok(()) => {
                self.share_cpu(&process);
                Ok(process)
            }
            Err(failure) => {
                process.end().await;
                Err(failure)
            }
        }
    }

    fn start(&self) -> Start {
        if self.provisioned { Start::Provisioned } else { Start::OnDemand }
    }

    fn share_cpu(&self, process: &Process) {
        if let Err(error) = process.control.share_cpu() {
            tracing::warn!(environment = %self.id, %error, "cpu share not set");
        }
    }

    /// Writes INIT_REPORT for what was the function's fault; hands back the rest.
    fn report_init(
        &self,
        phase: InitPhase,
        started_us: u64,
        limit: Duration,
        failure: InitFailure,
    ) -> Result<FunctionFault, InvokeError> {
        let elapsed_us = self.engine.clock.monotonic_us() - started_us;
        let (fault, report) = match failure {
            InitFailure::Platform(error) => return Err(error),
            // Only a restored environment depends on a fork.
            InitFailure::Fork(_) => return Err(InvokeError::Lost),
            InitFailure::TimedOut => {
                let duration_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
                let timeout_ms = self.snapshot.timeout_ms;
                (FunctionFault::Timeout { timeout_ms }, (duration_us, "timeout", None))
            }
            InitFailure::Fault(fault) => {
                let error_type = Some(fault.error_type().to_owned());
                (fault, (elapsed_us, "error", error_type))
            }
        };
        let (duration_us, status, error_type) = report;
        let initialization = initialization_type(&self.snapshot, &self.start());
        let report = InitReport { phase, initialization, duration_us, status, error_type };
        lock(&self.journal).init_report(&report);
        Ok(fault)
    }

    /// Runs one invocation and answers it. The environment is given back before the answer goes out, so that a
    /// caller's next invocation finds it.
    async fn serve(&mut self, process: &mut Process, job: Job, clocked: Clocked) -> Served {
        let engine = Arc::clone(&self.engine);
        let timeout_us = self.snapshot.timeout_ms * 1_000;
        let left_us = timeout_us
            .saturating_sub(engine.clock.monotonic_us().saturating_sub(clocked.started_us));
        let deadline_ms = engine.clock.epoch_ms() + left_us / 1_000;
        process.control.watch_memory(true);
        let want_tail = job.invocation.want_log_tail;
        lock(&self.journal).start(job.invocation.request_id, self.snapshot.version, want_tail);

        let left = Duration::from_micros(left_us);
        let answer = process.invoke(&job.invocation, deadline_ms, left, &mut self.stop).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(process::InvokeEnd::Stopped) => {
                process.kill().await;
                self.abandon::<()>(job, InvokeError::ShuttingDown);
                return Served::Over;
            }
            Err(process::InvokeEnd::TimedOut) => {
                // What is killed tells nothing any more.
                process.measure_memory();
                Err(FunctionFault::Timeout { timeout_ms: self.snapshot.timeout_ms })
            }
            Err(process::InvokeEnd::Exited(exit)) => Err(FunctionFault::Exited(exit)),
        };
        match answer {
            Err(fault) if !leaves_sound(&fault) => {
                process.kill().await;
                process.output.drain();
                self.fail(job, clocked, &fault, process.control.memory_peak_bytes());
                Served::Over
            }
            answer => {
                self.settle(process, job, clocked, answer);
                Served::Sound
            }
        }
    }

    /// Answers an invocation whose environment goes on.
    fn settle(
        &self,
        process: &mut Process,
        job: Job,
        clocked: Clocked,
        answer: Result<bytes::Bytes, FunctionFault>,
    ) {
        let mut report = self.report(clocked, answer.as_ref().err());
        let request_id = job.invocation.request_id;
        let fault = answer.as_ref().err();
        let mut log_tail = None;
        if job.invocation.want_log_tail {
            process.measure_memory();
            report.memory_used_mib = self.memory_mib(process.memory_peak_bytes);
            log_tail = self.write_end(request_id, &report, fault);
        } else {
            report.memory_used_mib = self.memory_mib(process.memory_peak_bytes);
        }
        let outcome = Outcome {
            payload: answer.clone().unwrap_or_else(|fault| fault.payload(request_id)),
            error: fault.map(|_| FunctionErrorKind::Unhandled),
            log_tail,
            report: report.clone(),
        };
        self.engine.step(Event::Returned { slot: self.slot, ticket: job.ticket });
        let wanted_tail = job.invocation.want_log_tail;
        // A caller that has gone away is no reason to end the environment.
        drop(job.reply.send(Ok(outcome)));

        process.control.watch_memory(false);
        if !wanted_tail {
            process.measure_memory();
            report.memory_used_mib = self.memory_mib(process.memory_peak_bytes);
            self.write_end(request_id, &report, fault);
        }
        lock(&self.journal).flush();
    }

    /// Answers an invocation that took its environment with it.
    fn fail(&mut self, job: Job, clocked: Clocked, fault: &FunctionFault, memory_bytes: u64) {
        let request_id = job.invocation.request_id;
        let mut report = self.report(clocked, Some(fault));
        report.memory_used_mib = match fault {
            FunctionFault::Exited(Exit { out_of_memory: true, .. }) => self.snapshot.memory_mib,
            _ => self.memory_mib(memory_bytes),
        };
        let time = rfc3339_ms(self.engine.clock.epoch_ms());
        let mut journal = lock(&self.journal);
        if journal.needs_start() {
            let want_tail = job.invocation.want_log_tail;
            journal.start(request_id, self.snapshot.version, want_tail);
        }
        if let Some(line) = fault.log_message(request_id, &time) {
            journal.plain(line);
        }
        drop(journal);
        let outcome = Outcome {
            payload: fault.payload(request_id),
            error: Some(FunctionErrorKind::Unhandled),
            log_tail: self.write_end(request_id, &report, Some(fault)),
            report,
        };
        self.end(None);
        drop(job.reply.send(Ok(outcome)));
    }

    /// Answers with an error of the platform.
    fn abandon<T>(&mut self, job: Job, error: InvokeError) -> Option<T> {
        self.warn(&error);
        self.end(None);
        drop(job.reply.send(Err(error)));
        None
    }

    fn warn(&self, error: &InvokeError) {
        let function_s = matches!(error, InvokeError::RestoreFailed | InvokeError::RestoreTimedOut);
        if !function_s && !matches!(error, InvokeError::ShuttingDown) {
            let cause = std::error::Error::source(error);
            tracing::warn!(environment = %self.id, %error, cause, "environment start failed");
        }
    }

    /// Waits, and freezes meanwhile. None: the environment is to end.
    async fn next_order(&mut self, process: &mut Process) -> Option<Order> {
        let rest = Duration::from_millis(self.engine.config.freeze_after_ms);
        let mut frozen = false;
        let Process { control, end, link, output, rest: timer, .. } = process;
        loop {
            let idle = async {
                link.parked().await;
                if !frozen {
                    timer.set(rest);
                }
                tokio::select! {
                    () = link.disturbed() => Idle::Disturbed,
                    () = timer.elapsed(), if !frozen => Idle::Rested,
                }
            };
            let idle = tokio::select! {
                biased;
                () = self.stop.told() => return None,
                exit = end.reached() => {
                    tracing::debug!(environment = %self.id, ?exit, "environment ended while idle");
                    return None;
                }
                order = self.orders.recv() => return order,
                idle = idle => idle,
                () = output.pump() => return None,
            };
            match idle {
                Idle::Disturbed => return None,
                Idle::Rested => frozen = self.engine.rested(self.slot, control.memory_bytes()),
            }
            if frozen && let Err(error) = control.freeze() {
                tracing::warn!(environment = %self.id, %error, "freeze failed");
            }
        }
    }

    /// Tells the pool, once. An order that came too late goes back to it.
    fn end(&mut self, undelivered: Option<Job>) {
        if !std::mem::replace(&mut self.ended, true) {
            lock(&self.journal).flush();
            self.engine.ended(self.slot, &mut self.orders, undelivered, self.failed_init);
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// Whether the runtime goes on waiting for events after this.
fn leaves_sound(fault: &FunctionFault) -> bool {
    matches!(
        fault,
        FunctionFault::Reported { .. }
            | FunctionFault::ResponseTooLarge { .. }
            | FunctionFault::TruncatedResponse
    )
}
