//! AWS's wire: requests and responses, faults in every protocol's shape, SigV4 and SigV2, time formats.
//!
//! Invariant: this crate opens nothing, spawns nothing and reads no clock. Every parser here takes hostile bytes.
#![forbid(unsafe_code)]

pub mod event_stream;
mod fault;
mod message;
pub mod percent;
pub mod query;
pub mod s3_host;
mod service;
mod sig_error;
pub mod sigv2;
pub mod sigv4;
pub mod time;
pub mod xml;

pub use fault::{Fault, FaultShape, Protocol, encode_fault};
pub use message::{ApiRequest, ApiResponse, BodySource, BrokenOff, Rest};
pub use service::Service;
pub use sig_error::{Mismatch, SigError};
// A fault says whose it is; callers name it together with the fault.
pub use nilas_model::Blame;
