//! Networks on the real kernel. Needs root, and skips loudly without it.
//!
//! Each test makes a world of its own: the thread moves into a fresh network namespace that plays the host,
//! another plays the outside, and children with a user and a network namespace each play sandboxes. No packet
//! and no rule touches the machine's own network.

#![expect(clippy::print_stdout, reason = "skips and figures are for whoever runs the tests")]

mod pasta;
mod routed;
mod world;
