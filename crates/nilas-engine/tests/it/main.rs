//! The engine against a scripted sandbox: real sockets and pipes, and where it says so real runtimes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod custom;
mod faults;
mod framed;
mod harness;
mod lifecycle;
mod logs;
mod provisioned;
mod real_runtimes;
mod snapshot;
