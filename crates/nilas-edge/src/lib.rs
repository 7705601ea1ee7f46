//! The front door: listens, bounds what comes in, verifies who asks, routes to a service.
//!
//! Invariant: nothing reaches a service without a verified signature; nothing here knows what an operation means.
#![forbid(unsafe_code)]

mod answer_body;
mod authenticate;
mod backend;
mod body;
mod edge;
mod guard;
mod health;
mod identity;
mod listen;
mod route;

pub use backend::Backend;
pub use edge::{Edge, EdgeConfig};
pub use identity::{Identity, IdentityError, RootKey};
