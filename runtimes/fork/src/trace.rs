//! The one variable that every invocation changes.
//!
//! `setenv` keeps each value it was ever given, and looks for a new one among all of them first: with a trace id for
//! each invocation a process grows as long as it lives, and gets slower. Here the text is in memory of this library.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAME: &[u8] = b"_X_AMZN_TRACE_ID=";
const TEXT_BYTES_MAX: usize = 1_024;

/// The environment points to one of them. They take turns, so that a thread that is just reading the last value has it
/// until the next but one.
static ROOMS: [Room; 2] = [const { Room(UnsafeCell::new([0; TEXT_BYTES_MAX])) }; 2];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// `NAME=TEXT` and a zero, which the last byte always is.
struct Room(UnsafeCell<[u8; TEXT_BYTES_MAX]>);

// SAFETY: written by the interpreter's one thread alone, as `set` asks for; others read it as they read any variable.
// JUSTIFICATION: the environment is a list of pointers.
unsafe impl Sync for Room {}

/// Sets the variable to the text that `write` puts into the bytes it is given, with a zero behind it, and of which it
/// says the length. False if there may be more of it: then nothing is set.
///
/// # Safety
/// Called by one thread of the process only.
pub(crate) unsafe fn set(write: impl FnOnce(&mut [u8]) -> usize) -> bool {
    let at = NEXT.load(Ordering::Relaxed);
    // SAFETY: nobody else writes to the room, and the environment does not point to it: it had its turn before the last.
    // JUSTIFICATION: see the module.
    let room = unsafe { &mut *ROOMS[at % ROOMS.len()].0.get() };
    room[..NAME.len()].copy_from_slice(NAME);
    let text = &mut room[NAME.len()..];
    let room_for_text = text.len() - 1;
    if write(text) >= room_for_text {
        return false;
    }
    NEXT.store(at.wrapping_add(1), Ordering::Relaxed);
    // SAFETY: a string with a zero at its end that is never freed.
    // JUSTIFICATION: `setenv` makes a copy, which is what is to be avoided.
    unsafe { libc::putenv(room.as_mut_ptr().cast()) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> bool {
        let write = |into: &mut [u8]| {
            let length = text.len().min(into.len() - 1);
            into[..length].copy_from_slice(&text.as_bytes()[..length]);
            into[length] = 0;
            length
        };
        // SAFETY: the only test that sets it.
        // JUSTIFICATION: it is what is tested.
        unsafe { set(write) }
    }

    #[test]
    fn the_variable_is_the_last_text_that_fits() {
        let found = || std::env::var("_X_AMZN_TRACE_ID").ok();
        assert_eq!(found(), None);
        for text in ["Root=1-2-3;Sampled=0", "", "Root=1-2"] {
            assert!(put(text));
            assert_eq!(found().as_deref(), Some(text));
        }
        assert!(!put(&"x".repeat(TEXT_BYTES_MAX)));
        assert_eq!(found().as_deref(), Some("Root=1-2"));
        let own = std::env::vars().filter(|(name, _)| name == "_X_AMZN_TRACE_ID");
        assert_eq!(own.count(), 1);
    }
}
