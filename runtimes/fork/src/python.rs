//! The door for Python, called by ctypes with the interpreter's lock held.

use std::ffi::c_char;

use crate::{obstacle, zygote};

/// Serves as a zygote; returns in each child.
#[unsafe(no_mangle)]
pub extern "C" fn nilas_fork_serve() {
    zygote::serve();
}

/// In a child: waits for what it is for. Gives the length of its environment, of which as much as fits is in `into`.
///
/// # Safety
/// `into` is valid for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nilas_fork_go(into: *mut c_char, capacity: usize) -> usize {
    let environment = zygote::go();
    let length = environment.len().min(capacity);
    // SAFETY: both are valid for `length` bytes, and one of them is new.
    // JUSTIFICATION: a C interface.
    unsafe { std::ptr::copy_nonoverlapping(environment.as_ptr().cast(), into, length) };
    environment.len()
}

/// Whether this process is to be a template after its init.
#[unsafe(no_mangle)]
pub extern "C" fn nilas_fork_is_template() -> bool {
    zygote::is_template()
}

/// Why the process cannot be a template, although up to `threads` of its threads may be lost: its words' length, of which as much
/// as fits is in `into`. 0 if it can.
///
/// # Safety
/// `into` is valid for `capacity` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nilas_fork_obstacle(
    threads: usize,
    into: *mut c_char,
    capacity: usize,
) -> usize {
    let words = obstacle::obstacle(|count| count <= threads).unwrap_or_default();
    let length = words.len().min(capacity);
    // SAFETY: as in `nilas_fork_go`.
    // JUSTIFICATION: a C interface.
    unsafe { std::ptr::copy_nonoverlapping(words.as_ptr().cast(), into, length) };
    length
}

/// Serves as a template; returns in each child.
#[unsafe(no_mangle)]
pub extern "C" fn nilas_fork_serve_as_template() {
    zygote::serve_as_template();
}
