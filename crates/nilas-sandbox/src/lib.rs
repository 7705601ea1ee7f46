//! Linux isolation: starts, freezes, thaws and kills a process tree described by a `SandboxSpec`.
//!
//! Invariant: this crate knows nothing of Lambda, HTTP or AWS. It is the only crate with `unsafe`.

mod doctor;
pub mod fake;
mod finding;
mod net;
mod spec;

pub use doctor::{can_run, inspect_host};
pub use finding::Finding;
pub use net::{
    Attachment, HostNetwork, NetConfig, NetError, ProgramError, Subnet, SubnetError, loopback_up,
    nameservers, resolv_conf_text,
};
pub use spec::{
    Control, Exit, Limits, Outbound, ReadOnlyMount, Sandbox, SandboxSpec, StartError, Started,
};
