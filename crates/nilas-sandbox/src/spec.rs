//! What a sandbox is asked to be, and what comes back: the whole interface of this crate to the layers above.

use std::future::Future;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A process tree to run in isolation. Knows nothing of Lambda.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Unique among live sandboxes, `[a-z0-9]{1,40}`; names it in errors.
    pub id: String,
    /// Absolute path inside the sandbox, then arguments.
    pub argv: Vec<String>,
    /// The complete environment; nothing of the server's is inherited.
    pub env: Vec<(String, String)>,
    /// Directory inside the sandbox to start in.
    pub cwd: PathBuf,
    /// Read-only binds beside the base system (`/usr`, `/lib*`, `/bin`, a minimal `/etc`, `/dev`, `/proc`).
    pub mounts: Vec<ReadOnlyMount>,
    /// Symbolic links to make in the sandbox's root: (path, target).
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    pub limits: Limits,
    pub origin: Origin,
    /// Once its init is over the main process may serve as a template, of which other sandboxes are forked. Only for one
    /// forked from a zygote, and where there is an id range or none is needed.
    pub template: bool,
    /// TCP ports on the sandbox's own loopback whose listening sockets are handed to the caller, in this order.
    pub listeners: Vec<u16>,
    pub outbound: Outbound,
}

/// Where a main process comes from. The sandbox is the same in each case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Origin {
    /// `argv` is executed.
    Program,
    /// Forked from the zygote if it can be, else `argv` is executed. The zygote's mounts must be among the sandbox's.
    Zygote(Zygote),
    /// Forked from the main process of the sandbox of this id, which was started as a template, serves as one now, and
    /// must outlive this one: the kernel ends them together. Starts nothing else if that fails.
    Template(String),
}

/// A program that is booted once and then forked: an interpreter that has loaded its bootstrap, and nothing of any
/// sandbox. It loads nilas-fork and serves on fd 3; each fork gets its sandbox's `env` from that call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Zygote {
    /// For people: the program's path on the host.
    pub name: String,
    /// Absolute path inside, then arguments.
    pub argv: Vec<String>,
    /// Of the program itself; what it reads of it while it boots, forks keep.
    pub env: Vec<(String, String)>,
    pub mounts: Vec<ReadOnlyMount>,
    pub symlinks: Vec<(PathBuf, PathBuf)>,
}

/// Host directories or files shown read-only at `target`. Several sources at one target are merged, the last on top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReadOnlyMount {
    pub sources: Vec<PathBuf>,
    pub target: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Anonymous memory of the tree, bytes; over it everything is killed and `Exit::out_of_memory` is set.
    pub memory_bytes: u64,
    /// Thousandths of a CPU, once `Control::share_cpu` has been called; until then there is no limit.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub processes: u32,
    /// RLIMIT_NOFILE.
    pub files: u64,
    /// Size of `/tmp`, bytes. Does not count towards `memory_bytes`.
    pub tmp_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outbound {
    /// Loopback only.
    None,
    /// The outside world, but neither the host's own addresses nor link-local (cloud metadata) ones.
    Internet,
}

/// A started sandbox: its processes exist, its jail is complete, `argv` is being executed.
#[derive(Debug)]
pub struct Started {
    pub control: Arc<dyn Control>,
    /// Inherited by the process as fd 3: a connected stream socket for the framed protocol, non-blocking on this side.
    pub channel: UnixStream,
    /// Read end of a pipe that is the process's fd 4 (`_LAMBDA_TELEMETRY_LOG_FD`), non-blocking.
    pub telemetry: OwnedFd,
    /// Read end of the pipe that is both stdout and stderr, non-blocking.
    pub output: OwnedFd,
    /// One per `SandboxSpec::listeners`, non-blocking, bound to 127.0.0.1 in the sandbox's network namespace.
    pub listeners: Vec<TcpListener>,
}

/// How the main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out_of_memory: bool,
}

/// Handle on a running sandbox. Dropping the last clone kills it.
pub trait Control: Send + Sync + std::fmt::Debug {
    /// Asks the kernel to stop scheduling the tree; takes effect within microseconds, asynchronously.
    fn freeze(&self) -> std::io::Result<()>;
    /// Undoes `freeze`.
    fn thaw(&self) -> std::io::Result<()>;
    /// Holds the tree to its `cpu_millis` from now on; a sandbox starts with every CPU of the host.
    fn share_cpu(&self) -> std::io::Result<()>;
    /// SIGTERM to the main process, for a runtime that gets a shutdown phase.
    fn terminate(&self) -> std::io::Result<()>;
    /// Kills everything at once, frozen or not. Idempotent.
    fn kill(&self);
    /// Resolves once, when the main process has ended and nothing of the tree is left. Every caller gets the same answer.
    fn exited(&self) -> Exited;
    /// Highest memory use so far, bytes, at most `memory_bytes`: resident memory, code included, as AWS reports it.
    fn memory_peak_bytes(&self) -> u64;
    /// Memory of the machine it holds now, bytes: what its processes have to themselves, and `/tmp`. Takes the kernel
    /// some microseconds to find out.
    fn memory_bytes(&self) -> u64;
    /// Whether the memory guard should watch: true between dispatch and settle, false while idle. Frozen trees cannot grow.
    fn watch_memory(&self, on: bool);
}

/// The end of a sandbox, for whoever waits for it.
pub type Exited = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// Starts sandboxes. `LinuxSandbox` is the real one, `FakeSandbox` the one for tests of the layers above.
pub trait Sandbox: Send + Sync + std::fmt::Debug {
    fn start(
        &self,
        spec: SandboxSpec,
    ) -> Pin<Box<dyn Future<Output = Result<Started, StartError>> + Send + '_>>;

    /// Boots `zygote`, so that it is ready when it is needed. Does not wait for it.
    fn warm(&self, zygote: &Zygote);

    /// The template in the sandbox of the id `template` has done its init: freezes it between its forks, and keeps a few of
    /// them ready, each in the sandbox of `spec`. What is started of it later is the same but for its variables.
    fn expect_forks(&self, template: &str, spec: SandboxSpec);
}

impl SandboxSpec {
    /// The zygote to fork, if one is wanted.
    pub(crate) fn zygote(&self) -> Option<&Zygote> {
        match &self.origin {
            Origin::Zygote(zygote) => Some(zygote),
            Origin::Program | Origin::Template(_) => None,
        }
    }
}

/// Why a sandbox did not start. `step` is the jail step that failed, such as `mount /var/task`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("sandbox {id}: {step} failed: {reason}")]
    Step { id: String, step: String, reason: String },
    #[error("the executable {path} is missing or not executable: {reason}")]
    Exec { path: String, reason: String },
    #[error("sandbox {id}: {step} failed in the fork: {reason}")]
    Fork { id: String, step: String, reason: String },
    #[error("the spawner is gone")]
    SpawnerGone,
    #[error("no free slot: {live} sandboxes are alive")]
    Full { live: u32 },
}
