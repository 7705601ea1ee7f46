//! AWS services that hold resources, and the HTTP front doors of functions.
//!
//! Invariant: nothing here listens. A request comes in parsed and authenticated, an answer goes out, faults included; the
//! only calls to the outside are those of APIs' HTTP integrations.
//! Invariant: nothing of the control plane is on the path of an invocation but one read of a map.
#![forbid(unsafe_code)]

mod access;
mod admin;
mod apigateway;
mod apigatewayv2;
mod aside;
mod blob_use;
mod calls;
mod cloudformation;
mod deliver;
mod ecr;
mod events;
pub mod front;
mod iam;
mod json_api;
mod kms;
pub mod lambda;
mod logs;
mod pattern;
mod s3;
mod seal;
mod secrets;
mod services;
mod shelf;
mod sns;
mod sqs;
mod ssm;
mod sts;
mod vtl;
mod wait;

pub use aside::aside;
pub use calls::{Calls, Refusal};
pub use nilas_wire::Service;
pub use s3::ObjectAddress;
pub use services::{Services, ServicesConfig, ServicesStartError};
