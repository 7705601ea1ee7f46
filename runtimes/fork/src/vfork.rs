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

/// The helper's pid, a negative errno, or 0 in a process that the helper forked and that returned from it.
///
/// # Safety
/// `helper` makes system calls and allocates nothing; `argument` is what it takes, and outlives the call.
#[inline(never)]
pub(crate) unsafe fn borrow(helper: Helper, argument: *mut c_void, group: Option<i32>) -> i64 {
    let mut args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK).cast_unsigned().into(),
        exit_signal: libc::SIGCHLD.cast_unsigned().into(),
        ..CloneArgs::default()
    };
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.cast_unsigned());
    }
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
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const args,
            in("rsi") size_of::<CloneArgs>(),
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
            inlateout("x0") &raw const args => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            out("x20") _,
            out("x21") _,
            clobber_abi("C"),
        );
    }
    result
}
