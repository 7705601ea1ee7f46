//! Who has how much of the account's concurrency.
//!
//! See "Understanding Lambda function scaling": what one function has reserved no other can use, and the function no
//! more than that; the others share the rest. A provisioned environment counts whether or not it is busy, an
//! invocation outside of them while it lasts.

use super::event::ThrottleReason;
use super::function::Function;

/// Invariants: `used` ≤ `max`; `shared` is the part of it that functions without a reservation use.
#[derive(Debug)]
pub(super) struct Ledger {
    max: usize,
    /// Sum of all reservations.
    reserved: usize,
    shared: usize,
    used: usize,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(max: usize) -> Self {
        Self { max, reserved: 0, shared: 0, used: 0 }
    }

    /// Whether the function can use one more.
    pub(super) fn check(&self, function: &Function) -> Result<(), ThrottleReason> {
        match function.reserved {
            Some(reserved) if function.used >= reserved => {
                Err(ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded)
            }
            None if self.shared >= self.max.saturating_sub(self.reserved) => {
                Err(ThrottleReason::ConcurrentInvocationLimitExceeded)
            }
            // Others may still use what has only now been reserved.
            _ if self.used >= self.max => Err(ThrottleReason::ConcurrentInvocationLimitExceeded),
            _ => Ok(()),
        }
    }

    pub(super) fn take(&mut self, function: &mut Function) {
        function.used += 1;
        self.used += 1;
        if function.reserved.is_none() {
            self.shared += 1;
        }
    }

    pub(super) fn give_back(&mut self, function: &mut Function) {
        function.used -= 1;
        self.used -= 1;
        if function.reserved.is_none() {
            self.shared -= 1;
        }
    }

    pub(super) fn reserve(&mut self, function: &mut Function, reserved: Option<usize>) {
        match function.reserved {
            Some(before) => self.reserved -= before,
            None => self.shared -= function.used,
        }
        function.reserved = reserved;
        match reserved {
            Some(now) => self.reserved += now,
            None => self.shared += function.used,
        }
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn used(&self) -> usize {
        self.used
    }
}
