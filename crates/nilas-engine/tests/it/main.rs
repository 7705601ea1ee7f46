//! The engine against a scripted sandbox: real sockets and pipes, no processes.

mod custom;
mod faults;
mod framed;
mod harness;
mod lifecycle;
mod logs;
