//! Linux isolation: starts, freezes, thaws and kills a process tree described by a `SandboxSpec`.
//!
//! Invariant: this crate knows nothing of Lambda, HTTP or AWS. It is the only crate with `unsafe`.
//!
//! Three kinds of process: the server (`launch`, `control`, `guard`), the privileged single-threaded spawner
//! (`spawner`), and each sandbox's pid 1 (`init`), which builds its own `jail`.

mod cgroup;
mod control;
mod doctor;
pub mod fake;
mod finding;
mod guard;
mod host;
mod init;
mod jail;
mod launch;
mod memory;
mod net;
#[path = "../../../runtimes/fork/src/order.rs"]
#[expect(dead_code, reason = "the other half is the zygote's")]
mod order;
mod privileges;
mod probe;
mod protocol;
mod rootfs;
mod seccomp;
mod spawner;
mod spec;
mod sys;

pub use doctor::{can_run, inspect_host};
pub use finding::Finding;
pub use host::{HostMemory, PressureWatch, memory_bytes_total};
pub use launch::{LaunchError, LinuxSandbox, SPAWNER_ARGUMENT, SandboxConfig};
pub use net::{
    Attachment, HostNetwork, Namespaces, NetConfig, NetError, ProgramError, Subnet, SubnetError,
    loopback_up, nameservers, resolv_conf_text,
};
pub use privileges::{PrivilegeError, drop_privileges};
pub use spawner::spawner_main;
pub use spec::{
    Control, Exit, Exited, Limits, Origin, Outbound, ReadOnlyMount, Sandbox, SandboxSpec,
    StartError, Started, Zygote,
};
