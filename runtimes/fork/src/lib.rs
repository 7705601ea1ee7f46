//! The native part of the bootstraps: lets a booted Node or Python be forked into a prepared sandbox.
//!
//! An interpreter that has booted calls `serve` and does not come back: the process is a *zygote* then, and returns from
//! the call once in each child that the spawner orders, inside that child's sandbox, with every right dropped. Built as
//! one shared library with two doors, an N-API addon for Node and a C function for Python's ctypes.
//!
//! Invariant: links neither Node nor Python; what it needs of Node it looks up when Node loads it.

mod descriptors;
mod fork;
pub mod node;
mod obstacle;
#[cfg_attr(not(test), expect(dead_code, reason = "the other half is the spawner's"))]
mod order;
mod platform;
pub mod python;
mod trace;
mod vfork;
mod zygote;
