//! Runs a function in a process that shares this one's memory, as `vfork` does, and lets it fork back out.
//!
//! A child that may enter namespaces must not be a copy of the interpreter: copying its page tables takes a
//! millisecond. So the two helpers that a fork needs (see `fork`) borrow the memory and the stack of their parent,
//! which the kernel stops meanwhile.

use std::arch::asm;
use std::ffi::c_void;

/// What runs in the borrowed process. It ends by `_exit`; only in a process forked from it (which has memory of its own)
/// it may return.
pub(crate) type Helper = unsafe extern "C" fn(*mut c_void);

/// `clone_args` of the kernel, version 2.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// libc's constant of this name has overflowed to 0.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The helper's pid, a negative errno, or 0 in a process that the helper forked and that returned from it. With a `group`
/// the helper is born in that.
///
/// # Safety
/// `helper` makes system calls and allocates nothing; `argument` is what it takes, and outlives the call.
pub(crate) unsafe fn borrow(helper: Helper, argument: *mut c_void, group: Option<i32>) -> i64 {
    let flags = u64::from((libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned());
    let signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let Some(group) = group else {
        // A template's filter knows this call only, since it cannot look into the arguments of the newer one.
        // SAFETY: without a stack the child keeps the parent's; the rest is asked of our caller.
        // JUSTIFICATION: see `call`.
        return unsafe { call(helper, argument, libc::SYS_clone, flags | signal, 0) };
    };
    let args = CloneArgs {
        flags: flags | CLONE_INTO_CGROUP,
        exit_signal: signal,
        cgroup: u64::from(group.cast_unsigned()),
        ..CloneArgs::default()
    };
    let address = (&raw const args) as u64;
    // SAFETY: a valid structure of the size given, without a stack.
    // JUSTIFICATION: see `call`.
    unsafe { call(helper, argument, libc::SYS_clone3, address, size_of::<CloneArgs>() as u64) }
}

/// Calls `number`, one of clone's, with two arguments, any others 0.
///
/// # Safety
/// As `borrow`; the arguments ask for CLONE_VM and CLONE_VFORK, and for no stack.
#[inline(never)]
unsafe fn call(helper: Helper, argument: *mut c_void, number: i64, first: u64, second: u64) -> i64 {
    let result: i64;
    // SAFETY: with CLONE_VFORK this thread stands still until the child has ended or executed something, so that only
    // one of the two uses the stack. The child comes back from the system call at the same place and calls the helper
    // at once: it writes below the stack pointer only, where this function has nothing (an asm block without `nostack`
    // leaves no red zone), and callee-saved registers are each process's own. A helper that returns does so in a process
    // with a copy of all memory, taken while the frames above were whole.
    // JUSTIFICATION: libc's `vfork` returns twice, which Rust cannot express, and its `clone` needs a second stack, from
    // which the forked child could not return into the interpreter.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r13",
            "call r12",
            "xor eax, eax",
            "2:",
            in("r12") helper,
            in("r13") argument,
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            clobber_abi("C"),
        );
    }
    // SAFETY: as above; x20 and x21 survive both the system call and the call.
    // JUSTIFICATION: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "mov x20, {argument}",
            "mov x21, {helper}",
            "svc #0",
            "cbnz x0, 2f",
            "mov x0, x20",
            "blr x21",
            "mov x0, #0",
            "2:",
            helper = in(reg) helper,
            argument = in(reg) argument,
            inlateout("x0") first => result,
            in("x1") second,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x8") number,
            out("x20") _,
            out("x21") _,
            clobber_abi("C"),
        );
    }
    result
}
