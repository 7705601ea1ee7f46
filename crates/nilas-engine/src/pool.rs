//! Which environment serves which invocation, as a pure state machine.

mod core;
#[cfg(test)]
mod simulation;
mod state;

pub use self::core::ThrottleReason;
pub(crate) use self::core::{Action, Event, Pool, PoolConfig, Slot, Ticket};
pub use self::state::EnvironmentState;
