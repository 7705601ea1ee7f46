//! From a configuration to a running server, and back to nothing.
//!
//! As root the order is fixed: what needs privileges (data directory, spawner, socket) comes before they are
//! dropped, and all of it before the first thread, because the spawner must be forked from a process that has one.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nilas_edge::{Edge, EdgeConfig, Identity};
use nilas_engine::{Engine, EngineConfig};
use nilas_model::{Clock, Origin, SystemClock, VirtualClock};
use nilas_sandbox::{Finding, LaunchError, LinuxSandbox, Outbound, PrivilegeError, SandboxConfig};
use nilas_services::lambda::{RuntimeCatalog, SigningKey};
use nilas_services::{Services, ServicesConfig};
use nilas_store::{DirectoryLock, Store, StoreConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::commands::Context;
use crate::config::{Config, USER};
use crate::failure::{Chain, Failure};
use crate::server::adapters::{AllServices, StoreLogSink};
use crate::server::listen::listen;
use crate::server::runtimes::{ChildSearch, runtimes_config, search_paths};
use crate::server::signals::Signals;
use crate::server::{data_dir, pressure, user};

/// Time for the last answers to reach their clients, after the last invocation has ended.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot drop root's privileges")]
    Privileges { source: PrivilegeError },
    #[error("cannot start the sandbox's spawner")]
    Sandbox { source: LaunchError },
    #[error("cannot {step}")]
    Step { step: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Runs the server until a signal ends it.
pub(crate) fn serve(cx: &Context) -> Result<ExitCode, Failure> {
    let config = &cx.config;
    let root = rustix::process::geteuid().is_root();
    let owner = if root { Some(user::find(&config.user, config.is_chosen(&USER))?) } else { None };
    // First of all: a second server must not touch what the first one has running.
    let lock = data_dir::prepare(&config.data_dir, owner)?;
    let listener = listen(config.listen)?;
    // Before the privileges go, for the spawner keeps them, and before any thread.
    let memory_bytes = memory_bytes(config)?;
    let sandbox =
        LinuxSandbox::launch(&sandbox_config(config, memory_bytes)).map_err(no_sandbox)?;
    let sandbox = Arc::new(sandbox);
    let mut runtimes = RuntimeCatalog::new(runtimes_config(config), search_paths(&cx.env));
    if let Some(user) = owner {
        let search = ChildSearch::start(config).map_err(step("look for runtimes"))?;
        runtimes = RuntimeCatalog::new(runtimes_config(config), search);
        nilas_sandbox::drop_privileges(user.uid, user.gid)
            .map_err(|source| Failure::new(StartError::Privileges { source }))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .thread_name("nilas:worker")
        .build()?;
    let done = runtime.block_on(run(cx, lock, listener, sandbox.clone(), runtimes));
    // The spawner cleans up while the tasks end. Packet filter rules take it tens of milliseconds.
    sandbox.begin_shut_down();
    // A detached task of a connection may not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Returns when every process, cgroup and interface of the environments is gone.
    sandbox.shut_down();
    if done.is_ok() {
        info!("stopped");
    }
    done
}

async fn run(
    cx: &Context,
    lock: DirectoryLock,
    listener: TcpListener,
    sandbox: Arc<LinuxSandbox>,
    runtimes: RuntimeCatalog,
) -> Result<ExitCode, Failure> {
    let config = &cx.config;
    // Before the rest, so that a signal during the start is not lost.
    let mut signals = Signals::install()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let identity = Identity::load_or_create(&config.data_dir)
        .map_err(step("read the keys of the data directory"))?;
    let identity = Arc::new(identity);
    let store_config = StoreConfig { clock: Arc::clone(&clock), ..StoreConfig::default() };
    let store = Store::open_locked(lock, store_config).map_err(step("open the store"))?;
    let engine = Engine::new(
        engine_config(config)?,
        sandbox.clone(),
        Arc::new(StoreLogSink(store.logs())),
        identity.clone(),
        Arc::clone(&clock),
    )
    .map_err(step("start the engine"))?;
    // Moved time is for what the services wait for; what functions and signatures see is the machine's.
    let virtual_clock = config.virtual_clock.then(|| Arc::new(VirtualClock::default()));
    let services_clock: Arc<dyn Clock> = match &virtual_clock {
        Some(clock) => Arc::<VirtualClock>::clone(clock),
        None => Arc::clone(&clock),
    };
    let services = Services::new(
        services_config(config, &identity, virtual_clock),
        store.clone(),
        engine.clone(),
        runtimes.clone(),
        identity.clone(),
        services_clock,
    )
    .await
    .map_err(step("start the services"))?;
    let edge_config = edge_config(config);
    let edge = Edge::new(edge_config, AllServices(services), identity, clock);
    engine.set_endpoint_server(Arc::new(edge.clone()));

    let (stop, stopping) = watch::channel(false);
    let origin = origin_of(config.listen);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(async move { edge.serve(listener, origin, stopping).await });
    tokio::spawn(pressure::watch(engine.clone()));
    announce(cx, address, origin);
    // Waits for the network, which is still being made.
    tokio::task::spawn_blocking(move || tell_lacks(&sandbox.capabilities()));
    // Last, for it makes a dozen interpreters tell their versions. Whoever creates a function sooner waits for it.
    runtimes.start_detection();

    let name = signals.next().await;
    info!(signal = name, "stopping");
    stop.send_replace(true);
    tokio::select! {
        () = finish(&engine, &store, serving, config.limits.shutdown) => Ok(ExitCode::SUCCESS),
        name = signals.next() => {
            // The kernel and the spawner end the environments when this process is gone.
            warn!(signal = name, "stopping at once");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Ends what runs, in the order in which it depends on each other; nothing new is accepted any more.
async fn finish(engine: &Engine, store: &Store, serving: JoinHandle<()>, limit: Duration) {
    // Running invocations first: their answers are what open connections wait for.
    engine.shutdown(limit).await;
    if tokio::time::timeout(ANSWERS_MAX, serving).await.is_err() {
        warn!("connections were still open at the end");
    }
    if let Err(error) = store.logs().flush().await {
        warn!(error = %Chain(&error), "the last log lines were not written");
    }
}

/// Says what the host cannot give: never silently missing.
fn tell_lacks(findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| !finding.ok) {
        let cost = finding.cost.as_deref().unwrap_or_default();
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        warn!(feature = %finding.feature, detail = finding.detail, cost, remedy, "this host lacks a feature");
    }
}

/// Says that the server is ready.
fn announce(cx: &Context, address: SocketAddr, origin: Origin) {
    if origin == Origin::Network {
        warn!(%address, "reachable from other machines over plain HTTP; the key pair test/test is refused");
    }
    let data_dir = cx.config.data_dir.display();
    let start_ms = u64::try_from(cx.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    info!(%address, %data_dir, start_ms, version = env!("CARGO_PKG_VERSION"), "ready");
}

/// One worker for two CPUs: the others are for what the functions do, which takes as long as what we do for them. And
/// workers that find nothing to do wake each other in vain, at each request and each answer.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().div_ceil(2))
}

fn origin_of(listen: SocketAddr) -> Origin {
    if listen.ip().is_loopback() { Origin::Loopback } else { Origin::Network }
}

/// Of all environments together.
fn memory_bytes(config: &Config) -> Result<u64, Failure> {
    let total = nilas_sandbox::memory_bytes_total().map_err(step("find out about memory"))?;
    Ok(config.limits.memory.bytes(total))
}

fn engine_config(config: &Config) -> Result<EngineConfig, Failure> {
    Ok(EngineConfig {
        memory_bytes_max: memory_bytes(config)?,
        memory_overcommit_percent: config.limits.memory_overcommit_percent,
        account_concurrency: config.limits.concurrency,
        idle_ms_max: config.limits.idle_ms,
        age_ms_max: config.limits.age_ms,
        freeze_after_ms: config.limits.freeze_after_ms,
        init_ms_max: config.limits.init_ms,
        runtime_dir: config.data_dir.join("runtime"),
        outbound: outbound(config),
        zygotes: config.zygotes,
        ..EngineConfig::default()
    })
}

fn outbound(config: &Config) -> Outbound {
    if config.outbound { Outbound::Internet } else { Outbound::None }
}

fn services_config(
    config: &Config,
    identity: &Identity,
    virtual_clock: Option<Arc<VirtualClock>>,
) -> ServicesConfig {
    let key = identity.root_key();
    ServicesConfig {
        data_dir: config.data_dir.clone(),
        account_concurrency: config.limits.concurrency,
        signing_key: SigningKey {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
        },
        virtual_clock,
        roles_administer: config.roles_administer,
    }
}

fn edge_config(config: &Config) -> EdgeConfig {
    let default = EdgeConfig::default();
    // Functions get a quarter of the descriptors; the rest is for their environments, the store and people.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = usize::try_from(files.unwrap_or(u64::MAX) / 4).unwrap_or(usize::MAX);
    let all_environments_connections_max = default.all_environments_connections_max.min(quarter);
    EdgeConfig { account: config.account.clone(), all_environments_connections_max, ..default }
}

fn sandbox_config(config: &Config, memory_bytes: u64) -> SandboxConfig {
    let lock = Some(config.data_dir.join("spawner.lock"));
    SandboxConfig {
        lock,
        shells: Some(outbound(config)),
        memory_bytes_max: Some(memory_bytes),
        ..SandboxConfig::for_data_dir(&config.data_dir)
    }
}

fn no_sandbox(source: LaunchError) -> Failure {
    Failure::new(StartError::Sandbox { source }).hint("`nilas doctor` tells what this host lacks")
}

/// For `map_err`: what the server was about to do.
fn step<E: std::error::Error + Send + Sync + 'static>(
    step: &'static str,
) -> impl FnOnce(E) -> Failure {
    move |error| Failure::new(StartError::Step { step, source: Box::new(error) })
}
