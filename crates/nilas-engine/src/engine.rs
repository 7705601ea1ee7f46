//! The engine: performs what the pool decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nilas_model::{
    Clock, CredentialIssuer, FunctionId, FunctionKey, Outcome, Principal, VersionSnapshot, limits,
};
use nilas_sandbox::Sandbox;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::api::{
    EndpointServer, EngineConfig, EngineError, EnvironmentStatus, FunctionConcurrency, Invocation,
    InvokeError, LogSink, ProvisionedStatus,
};
use crate::bootstraps;
use crate::environment::credentials::Issue;
use crate::environment::{self, Handle, Job, Order};
use crate::launch;
use crate::memory::{self, Evictions};
use crate::pool::{Action, Concurrency, Event, Pool, PoolConfig, Remains, Slot, Ticket, Wanted};
use crate::snapshot::Templates;

/// Runs functions. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

/// What every environment's task shares.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) endpoint: OnceLock<Arc<dyn EndpointServer>>,
    credentials: Arc<dyn CredentialIssuer>,
    shared: Mutex<Shared>,
    /// Something ended: for who waits at shutdown.
    changed: Notify,
    ticker: OnceLock<()>,
    pub(crate) templates: Templates,
}

/// Never locked across an await; what happens under it neither blocks nor writes.
#[derive(Debug)]
struct Shared {
    pool: Pool,
    next_ticket: u64,
    /// Admitted invocations that no environment has yet.
    jobs: HashMap<Ticket, Job>,
    handles: HashMap<Slot, Handle>,
    /// What provisioned environments are made of.
    provisioned: HashMap<FunctionKey, Arc<VersionSnapshot>>,
    evictions: Evictions,
}

// === impl Engine ===

impl Engine {
    /// Writes the bootstraps to `config.runtime_dir`.
    pub fn new(
        config: EngineConfig,
        sandbox: Arc<dyn Sandbox>,
        logs: Arc<dyn LogSink>,
        credentials: Arc<dyn CredentialIssuer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        bootstraps::write(&config.runtime_dir)?;
        let pool = Pool::new(PoolConfig {
            concurrency_max: usize::try_from(config.account_concurrency).unwrap_or(usize::MAX),
            starts_max: limits::STARTS_MAX,
            waiters_max: limits::LEASE_WAITERS_MAX,
            function_waiters_max: limits::FUNCTION_WAITERS_MAX,
            provision_retry_ms: limits::PROVISION_RETRY_MS,
            idle_ms_max: config.idle_ms_max,
            age_ms_max: config.age_ms_max,
            freeze_after_ms: config.freeze_after_ms,
            memory_bytes_max: config.memory_bytes_max,
            memory_wait_ms_max: limits::MEMORY_WAIT_MS_MAX,
        });
        let shared = Shared {
            pool,
            next_ticket: 0,
            jobs: HashMap::new(),
            handles: HashMap::new(),
            provisioned: HashMap::new(),
            evictions: Evictions::default(),
        };
        let inner = Inner {
            config,
            sandbox,
            logs,
            clock,
            endpoint: OnceLock::new(),
            credentials,
            shared: Mutex::new(shared),
            changed: Notify::new(),
            ticker: OnceLock::new(),
            templates: Templates::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Gives environments their AWS endpoint. Only the first call counts.
    pub fn set_endpoint_server(&self, server: Arc<dyn EndpointServer>) {
        self.inner.endpoint.get_or_init(|| server);
    }

    /// Gets ready what a first invocation of the function will need. Does not wait for it.
    pub fn expect(&self, snapshot: &VersionSnapshot) {
        if let Some(zygote) = launch::zygote(&self.inner.config, snapshot) {
            self.inner.sandbox.warm(&zygote);
        }
    }

    /// Runs the function once. Dropping the future does not stop the function, as on AWS.
    pub async fn invoke(
        &self,
        snapshot: &Arc<VersionSnapshot>,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let (reply, answer) = oneshot::channel();
        self.inner.admit(snapshot, invocation, reply);
        answer.await.unwrap_or(Err(InvokeError::Lost))
    }

    /// Ends environments of older generations: idle ones now, busy ones after their invocation.
    pub fn retire(&self, key: &FunctionKey, older_than_generation: u64) {
        let older_than = older_than_generation;
        self.inner.templates.retire(key, older_than);
        self.inner.step(Event::Retire { function: key.clone(), older_than });
    }

    /// Sets a function's reserved and provisioned concurrency; replaces all that was set before.
    pub fn configure(&self, function: &FunctionId, concurrency: FunctionConcurrency) {
        self.inner.configure(function, concurrency);
    }

    /// The machine is short of memory: ends environments that have been idle longest, which hold so much together.
    pub fn relieve(&self, bytes: u64) {
        self.inner.step(Event::Relieve { bytes });
    }

    /// How many environments a version has that were provisioned; None if none are wanted.
    pub fn provisioned(&self, key: &FunctionKey) -> Option<ProvisionedStatus> {
        let status = self.inner.lock().pool.provision_status(key)?;
        let allocated = u32::try_from(status.allocated).unwrap_or(u32::MAX);
        Some(ProvisionedStatus { allocated, failure: status.failure })
    }

    /// Every environment that is not gone.
    pub fn environments(&self) -> Vec<EnvironmentStatus> {
        let now_ms = self.inner.now_ms();
        let shared = self.inner.lock();
        let known = shared.pool.environments();
        known
            .filter_map(|(slot, environment)| {
                let handle = shared.handles.get(&slot)?;
                let idle = environment.state.is_idle();
                let idle_ms = now_ms.saturating_sub(environment.idle_since_ms);
                Some(EnvironmentStatus {
                    id: handle.id,
                    function: environment.function.clone(),
                    generation: environment.generation,
                    state: environment.state,
                    invocations: environment.invocations,
                    log_stream: handle.log_stream.clone(),
                    idle_ms: if idle { idle_ms } else { 0 },
                })
            })
            .collect()
    }

    /// Refuses new invocations, waits for running ones, then ends every environment.
    pub async fn shutdown(&self, finish_within: Duration) {
        self.inner.step(Event::Shutdown);
        self.inner.wait_until(finish_within, |pool| pool.active() == 0).await;
        self.inner.step(Event::StopAll);
        self.inner.templates.clear();
        let stop_within = Duration::from_millis(limits::SHUTDOWN_MS_MAX);
        if !self.inner.wait_until(stop_within, Pool::is_empty).await {
            tracing::warn!("environments are left at shutdown");
        }
    }
}

// === impl Inner ===

impl Inner {
    fn admit(
        self: &Arc<Self>,
        snapshot: &Arc<VersionSnapshot>,
        invocation: Invocation,
        reply: oneshot::Sender<Result<Outcome, InvokeError>>,
    ) {
        let now_ms = self.now_ms();
        let function = snapshot.key();
        let mut shared = self.lock();
        let ticket = Ticket(shared.next_ticket);
        shared.next_ticket += 1;
        let job = Job { ticket, snapshot: Arc::clone(snapshot), invocation, reply };
        shared.jobs.insert(ticket, job);
        let memory_bytes = memory::busy_bytes(&self.config, snapshot);
        let generation = snapshot.generation;
        let event = Event::Invoke { ticket, function, generation, memory_bytes };
        let actions = shared.pool.step(now_ms, event);
        self.perform(shared, actions);
    }

    fn configure(self: &Arc<Self>, function: &FunctionId, concurrency: FunctionConcurrency) {
        let now_ms = self.now_ms();
        let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let mut provisioned = BTreeMap::new();
        let mut shared = self.lock();
        shared.provisioned.retain(|key, _| key.function != *function);
        for (snapshot, count) in concurrency.provisioned {
            let wanted = Wanted {
                generation: snapshot.generation,
                count: number(count),
                memory_bytes: memory::busy_bytes(&self.config, &snapshot),
            };
            provisioned.insert(snapshot.version, wanted);
            shared.provisioned.insert(snapshot.key(), snapshot);
        }
        let concurrency = Concurrency { reserved: concurrency.reserved.map(number), provisioned };
        let event = Event::Configure { function: function.clone(), concurrency };
        let actions = shared.pool.step(now_ms, event);
        self.perform(shared, actions);
    }

    /// Lets the pool decide and performs what it says.
    pub(crate) fn step(self: &Arc<Self>, event: Event) {
        let now_ms = self.now_ms();
        let mut shared = self.lock();
        let actions = shared.pool.step(now_ms, event);
        self.perform(shared, actions);
        self.changed.notify_waiters();
    }

    /// Whether the environment, idle for the delay, is to be frozen now. Its own task freezes and thaws it, so
    /// that the two cannot overtake each other.
    pub(crate) fn rested(self: &Arc<Self>, slot: Slot, held_bytes: u64) -> bool {
        let now_ms = self.now_ms();
        let memory_bytes = memory::idle_bytes(held_bytes);
        let mut shared = self.lock();
        let actions = shared.pool.step(now_ms, Event::Rested { slot, memory_bytes });
        let freeze = actions.contains(&Action::Freeze { slot });
        self.perform(shared, actions);
        freeze
    }

    /// Nothing of the environment is left. An order that it did not take any more goes to another one.
    /// `failed_init`: it was to be provisioned, and the function's init failed.
    pub(crate) fn ended(
        self: &Arc<Self>,
        slot: Slot,
        orders: &mut mpsc::Receiver<Order>,
        undelivered: Option<Job>,
        failed_init: bool,
    ) {
        let now_ms = self.now_ms();
        let mut shared = self.lock();
        shared.handles.remove(&slot);
        // Orders are sent under this lock only: after it none can come.
        let undelivered = undelivered.or_else(|| orders.try_recv().ok().map(|order| order.job));
        let remains = match &undelivered {
            Some(_) => Remains::Undelivered,
            None if failed_init => Remains::FailedInit,
            None => Remains::Nothing,
        };
        if let Some(job) = undelivered {
            shared.jobs.insert(job.ticket, job);
        }
        let actions = shared.pool.step(now_ms, Event::Ended { slot, remains });
        self.perform(shared, actions);
        self.changed.notify_waiters();
    }

    /// Good for as long as an environment may live, its last invocation included.
    pub(crate) fn issue_credentials(&self, snapshot: &VersionSnapshot) -> Issue {
        let ttl_ms = self.config.age_ms_max
            + self.config.idle_ms_max
            + u64::from(limits::TIMEOUT_S_MAX) * 1_000;
        let credentials = Arc::clone(&self.credentials);
        let account = snapshot.account.clone();
        let principal = Principal::Role {
            role_arn: snapshot.role_arn.clone(),
            session: snapshot.name.as_str().to_owned(),
        };
        Arc::new(move || credentials.issue(&account, &principal, ttl_ms))
    }

    /// Returns once the engine shuts down.
    pub(crate) async fn closes(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().pool.is_closing() {
                return;
            }
            changed.await;
        }
    }

    /// Performs what was decided under the lock, then unlocks and launches.
    fn perform(self: &Arc<Self>, mut shared: MutexGuard<'_, Shared>, actions: Vec<Action>) {
        let mut launches = Vec::new();
        for action in actions {
            match action {
                Action::Start { slot, ticket } => {
                    if let Some(job) = shared.jobs.remove(&ticket) {
                        let snapshot = Arc::clone(&job.snapshot);
                        let prepared = environment::prepare(self, slot, snapshot, Some(job));
                        shared.handles.insert(slot, prepared.0);
                        launches.push(prepared.1);
                    }
                }
                Action::Provision { slot, function } => {
                    debug_assert!(shared.provisioned.contains_key(&function), "set with its event");
                    if let Some(snapshot) = shared.provisioned.get(&function).cloned() {
                        let prepared = environment::prepare(self, slot, snapshot, None);
                        shared.handles.insert(slot, prepared.0);
                        launches.push(prepared.1);
                    }
                }
                Action::Dispatch { slot, ticket, thaw } => {
                    dispatch(&mut shared, slot, ticket, thaw);
                }
                // Ordered by `rested` alone, which performs it.
                Action::Freeze { .. } => {}
                Action::Stop { slot } => stop(&shared, slot),
                Action::Evict { slot, cause } => {
                    stop(&shared, slot);
                    shared.evictions.count(cause);
                }
                Action::Throttle { ticket, reason } => {
                    refuse(&mut shared, ticket, InvokeError::Throttled { reason });
                }
                Action::Refuse { ticket } => {
                    refuse(&mut shared, ticket, InvokeError::ShuttingDown);
                }
                Action::TooLarge { ticket } => {
                    let job = shared.jobs.get(&ticket);
                    let memory_mib = job.map_or(0, |job| job.snapshot.memory_mib);
                    refuse(&mut shared, ticket, InvokeError::TooLarge { memory_mib });
                }
            }
        }
        let evicted = shared.evictions.due(self.now_ms());
        drop(shared);
        if let Some(evicted) = evicted {
            evicted.log();
        }
        if !launches.is_empty() {
            self.start_ticker();
        }
        launches.into_iter().for_each(environment::Launch::spawn);
    }

    /// Idle and old environments are looked for now and then, from the first start on.
    fn start_ticker(self: &Arc<Self>) {
        const TICK_MS_MIN: u64 = 10;
        const TICK_MS_MAX: u64 = 1_000;
        self.ticker.get_or_init(|| {
            let tick_ms = (self.config.idle_ms_max / 4).clamp(TICK_MS_MIN, TICK_MS_MAX);
            let weak = Arc::downgrade(self);
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
            runtime.spawn(async move {
                let mut interval = tokio::time::interval(Duration::from_millis(tick_ms));
                loop {
                    interval.tick().await;
                    let Some(inner) = weak.upgrade() else { return };
                    inner.step(Event::Tick);
                }
            });
        });
    }

    /// Whether `done` held within the time.
    async fn wait_until(&self, within: Duration, done: impl Fn(&Pool) -> bool) -> bool {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(&self.lock().pool) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.monotonic_us() / 1_000
    }

    /// The pool's own assertions fire in tests; in production a poisoned lock must not end every function.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stop(shared: &Shared, slot: Slot) {
    if let Some(handle) = shared.handles.get(&slot) {
        handle.stop.notify_one();
    }
}

fn dispatch(shared: &mut Shared, slot: Slot, ticket: Ticket, thaw: bool) {
    let job = shared.jobs.remove(&ticket);
    if let (Some(job), Some(handle)) = (job, shared.handles.get(&slot)) {
        let sent = handle.orders.try_send(Order { job, thaw });
        debug_assert!(sent.is_ok(), "one order at a time fits the channel");
    }
}

fn refuse(shared: &mut Shared, ticket: Ticket, error: InvokeError) {
    if let Some(job) = shared.jobs.remove(&ticket) {
        // The caller may have gone away.
        drop(job.reply.send(Err(error)));
    }
}
