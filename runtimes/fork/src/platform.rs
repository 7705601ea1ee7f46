//! Tells V8 that this Node has no worker threads, since its forks have none.
//!
//! `--v8-pool-size=0` starts none, but Node counts the thread of its delayed tasks as one. V8 then hands parts of a
//! garbage collection to it, of which Node waits for the end before it says `beforeExit`: in a fork, for ever. And at exit
//! Node destroys what that thread waits on, which waits for the thread. Both are virtual functions of `NodePlatform`,
//! so both are replaced in its table.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};

const TABLE: &CStr = c"_ZTVN4node12NodePlatformE";
const NUMBER_OF_WORKER_THREADS: &CStr = c"_ZN4node12NodePlatform21NumberOfWorkerThreadsEv";
/// The destructor that `delete` calls.
const DELETE: &CStr = c"_ZN4node12NodePlatformD0Ev";
/// What a fork is about to exit with; -1 before it knows.
pub(crate) static EXIT_CODE: AtomicI32 = AtomicI32::new(-1);
/// More entries than the table has.
const ENTRIES_MAX: usize = 48;
const PAGE_BYTES: usize = 4_096;

/// Whether this Node could be told. Before its first garbage collection of everything.
pub(crate) fn without_workers() -> bool {
    // SAFETY: `replace` asks for functions that can stand for those named: the platform is not used as an object here,
    // and it is deleted only right before the process ends.
    // JUSTIFICATION: Node has no switch for it.
    unsafe {
        replace(NUMBER_OF_WORKER_THREADS, no_workers as *const c_void)
            && replace(DELETE, no_delete as *const c_void)
    }
}

unsafe extern "C" fn no_workers(_platform: *mut c_void) -> c_int {
    0
}

/// The process is about to exit. What Node would still do is for threads that a fork lacks, some of it fatal; so a fork
/// that has said with what code ends here.
unsafe extern "C" fn no_delete(_platform: *mut c_void) {
    let code = EXIT_CODE.load(Ordering::Relaxed);
    if code >= 0 {
        // SAFETY: no preconditions.
        // JUSTIFICATION: see above.
        unsafe { libc::_exit(code) }
    }
}

/// # Safety
/// `with` has the type of the function named, and may be called in its place.
unsafe fn replace(function: &CStr, with: *const c_void) -> bool {
    // SAFETY: static names. The table is a symbol of data with at least as many entries as virtual functions, and the
    // search ends at the entry looked for; entries are words, aligned as such. Its page is written by this thread alone.
    // JUSTIFICATION: see the module.
    unsafe {
        let table = libc::dlsym(libc::RTLD_DEFAULT, TABLE.as_ptr()).cast::<*const c_void>();
        let function = libc::dlsym(libc::RTLD_DEFAULT, function.as_ptr()).cast_const();
        if table.is_null() || function.is_null() {
            return false;
        }
        let Some(entry) = (0..ENTRIES_MAX).map(|at| table.add(at)).find(|at| **at == function)
        else {
            return false;
        };
        let page = (entry as usize & !(PAGE_BYTES - 1)) as *mut c_void;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        if libc::mprotect(page, PAGE_BYTES, writable) != 0 {
            return false;
        }
        *entry = with;
        libc::mprotect(page, PAGE_BYTES, libc::PROT_READ) == 0
    }
}
