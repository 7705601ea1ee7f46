//! The load generator: keep-alive HTTP/1.1 over blocking sockets, one thread a connection, the same for every target.
//!
//! Invariant: knows nothing of AWS and signs nothing. A request is signed once by whoever makes it and repeated as it
//! is, so that the generator's own hashing takes no cycles from a server on the same cores; a signature's age limits
//! for how long.
#![forbid(unsafe_code)]

mod connection;
mod interpreter;
mod latencies;
mod load;
mod patterns;

pub use connection::Connection;
pub use interpreter::Interpreter;
pub use latencies::Latencies;
pub use load::{Load, LoadError, http1};
pub use patterns::{
    Burst, answer_times, at_fixed_rate, at_once, cold_burst, cold_start, throughput,
};
