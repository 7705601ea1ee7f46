//! Which environment serves which invocation, as a pure state machine.

mod budget;
mod core;
mod event;
mod function;
mod ledger;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod simulation;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use self::core::Pool;
pub(crate) use self::event::{
    Action, Concurrency, Event, Eviction, PoolConfig, Remains, Slot, Ticket, Wanted,
};
pub use self::event::{ProvisionFailure, ThrottleReason};
pub use self::state::EnvironmentState;
