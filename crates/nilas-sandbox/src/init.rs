//! Pid 1 of a sandbox: builds the jail, starts the main process, reaps, and tells how it ended.
//!
//! It goes on in the image forked from the spawner, with no rights left and a system call filter of its own. When it
//! ends, the kernel ends everything else in the namespace; so its own end is the one way to end a sandbox for certain.

use std::convert::Infallible;
use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::jail::{self, Plan, StepError, Tools, step};
use crate::order::{REPORT_BYTES, REPORT_FAILED, REPORT_FORKED, REPORT_RUNNING, Step};
use crate::protocol::{self, Failure, FromInit, Go, Order, Program};
use crate::seccomp::{self, Filter};
use crate::sys::{self, Side};

/// The descriptors of the main process.
#[derive(Debug)]
pub(crate) struct Stdio {
    pub(crate) null: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) channel: OwnedFd,
    pub(crate) telemetry: OwnedFd,
}

/// Everything pid 1 needs, prepared by the spawner before the fork.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) plan: Plan,
    pub(crate) tools: Tools,
    /// Hears from a fork of a zygote.
    pub(crate) report: OwnedFd,
    /// The v2 group's list of processes, if the fork cannot be born in it.
    pub(crate) procs: Option<OwnedFd>,
    pub(crate) stdio: Stdio,
    pub(crate) orders: OwnedFd,
    pub(crate) function_filter: Filter,
    pub(crate) init_filter: Filter,
}

/// A program as `execve` takes it.
#[derive(Debug)]
pub(crate) struct Executable {
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: PathBuf,
}

impl Stdio {
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            null: self.null.try_clone()?,
            output: self.output.try_clone()?,
            channel: self.channel.try_clone()?,
            telemetry: self.telemetry.try_clone()?,
        })
    }
}

impl Executable {
    pub(crate) fn of(program: &Program) -> Result<Self, StepError> {
        let string = |text: &str| step("read the program", CString::new(text));
        let env = program.env.iter().map(|(name, value)| string(&format!("{name}={value}")));
        Ok(Self {
            argv: program.argv.iter().map(|argument| string(argument)).collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, _>>()?,
            cwd: program.cwd.clone(),
        })
    }

    /// Returns only on failure.
    pub(crate) fn execute(&self) -> Errno {
        let path = self.argv.first().cloned().unwrap_or_default();
        sys::execve(&path, &self.argv, &self.env)
    }
}

/// The rest of pid 1's life.
pub(crate) fn run(mut birth: Birth) -> ! {
    let code = match live(&mut birth) {
        Ok(()) => 0,
        Err(failure) => {
            // If the spawner is gone there is nobody left to tell.
            drop(protocol::send(
                &birth.tools.status,
                &FromInit::Failed(failure),
                &[],
                SendFlags::DONTWAIT,
            ));
            1
        }
    };
    sys::exit_now(code)
}

fn live(birth: &mut Birth) -> Result<(), Failure> {
    // A name for people who look at a process list; nothing depends on it.
    sys::best_effort(rustix::thread::set_name(c"nilas:init"));
    // From the terminal or log that the spawner inherited.
    for place in 0..=2 {
        step("detach from the spawner's output", sys::dup_to(birth.stdio.null.as_raw_fd(), place))?;
    }
    keep_only_own_descriptors(birth)?;
    jail::prepare(&birth.plan, &mut birth.tools)?;
    let status = &birth.tools.status;
    let prepared = protocol::send(status, &FromInit::Prepared, &[], SendFlags::empty());
    step("report the shell", prepared)?;
    let (outfit, trees) = jail::wait_for_outfit(status)?;
    let listeners = jail::fit(&outfit, trees, birth.plan.id_range)?;
    let handed: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    step(
        "report the jail",
        protocol::send(status, &FromInit::Jailed, &handed, SendFlags::empty()),
    )?;
    drop(listeners);
    let program = outfit.program.as_ref().map(Executable::of).transpose()?;
    jail::wait_for(&Go::Run, status)?;
    let main = match &program {
        Some(program) => start_main(birth, program)?,
        None => await_fork(&birth.report)?,
    };
    if let Some(procs) = &birth.procs {
        // While it waits to be told what it is for: what it starts then is in the group as well.
        let pid = main.as_raw_nonzero().to_string();
        // One that has ended already needs no group.
        sys::best_effort(rustix::io::retry_on_intr(|| rustix::io::write(procs, pid.as_bytes())));
    }
    step("report the start", protocol::send(status, &FromInit::Running, &[], SendFlags::empty()))?;
    // Pid 1 must not hold the function's sockets and pipes open after the function has closed them.
    let children = step("open signal descriptor", sys::signal_fd(&[libc::SIGCHLD]))?;
    let keep = [status.as_raw_fd(), birth.orders.as_raw_fd(), children.as_raw_fd()];
    step("close descriptors", sys::close_all_but(3, &keep))?;
    step("filter pid 1", seccomp::install(&birth.init_filter))?;
    supervise(main, status, &birth.orders, &children);
    Ok(())
}

/// The fork copied all of the spawner's descriptors, other sandboxes' among them.
fn keep_only_own_descriptors(birth: &Birth) -> Result<(), StepError> {
    let Birth { tools, stdio, orders, report, procs, .. } = birth;
    let mut keep = vec![
        tools.status.as_raw_fd(),
        report.as_raw_fd(),
        orders.as_raw_fd(),
        stdio.null.as_raw_fd(),
        stdio.output.as_raw_fd(),
        stdio.channel.as_raw_fd(),
        stdio.telemetry.as_raw_fd(),
    ];
    keep.extend(procs.iter().map(AsRawFd::as_raw_fd));
    keep.extend(tools.cgroup_doors.iter().map(AsRawFd::as_raw_fd));
    keep.extend(tools.mounts.iter().flat_map(jail::OpenedMount::descriptors));
    step("close the spawner's descriptors", sys::close_all_but(sys::LOW_DESCRIPTORS, &keep))
}

/// Forks the main process and waits until it has been executed.
fn start_main(birth: &Birth, program: &Executable) -> Result<Pid, Failure> {
    // Closed by a successful exec; a byte in it means that the child has reported a failure.
    let (executed, not_executed) = step("open pipe", pipe_with(PipeFlags::CLOEXEC))?;
    match step("fork", sys::fork())? {
        Side::Child => {
            let Err(failure) = become_main(birth, program);
            drop(protocol::send(
                &birth.tools.status,
                &FromInit::Failed(failure),
                &[],
                SendFlags::DONTWAIT,
            ));
            sys::best_effort(rustix::io::write(&not_executed, b"x"));
            sys::exit_now(127)
        }
        Side::Parent(main) => {
            drop(not_executed);
            match rustix::io::read(&executed, &mut [0; 1]) {
                Ok(0) => Ok(main),
                // The child's own report has been sent first.
                _ => sys::exit_now(1),
            }
        }
    }
}

fn become_main(birth: &Birth, program: &Executable) -> Result<Infallible, Failure> {
    // A session of its own, so that the process group of pid 1 is not the function's to signal.
    step("start session", rustix::process::setsid())?;
    step("reset signals", sys::reset_signals())?;
    step("enter working directory", rustix::process::chdir(&program.cwd))?;
    let Stdio { null, output, channel, telemetry } = &birth.stdio;
    // The spawner keeps all real descriptors above these numbers, so no place is taken. The rest close on exec.
    for (descriptor, place) in [(null, 0), (output, 1), (output, 2), (channel, 3), (telemetry, 4)] {
        step("place descriptor", sys::dup_to(descriptor.as_raw_fd(), place))?;
    }
    // The filter comes last: from here on only exec and the report of its failure are needed.
    step("filter the function", seccomp::install(&birth.function_filter))?;
    let reason = std::io::Error::from(program.execute()).to_string();
    let path = program.argv.first().cloned().unwrap_or_default();
    Err(Failure::Exec { path: path.to_string_lossy().into_owned(), reason })
}

/// Waits for the fork of a zygote or template that is to be the main process, and until its makers have let go of it: only
/// then is it our child, whose end we hear of. A template may be frozen from here on.
fn await_fork(report: &OwnedFd) -> Result<Pid, Failure> {
    let (mut main, mut running) = (None, false);
    loop {
        let mut bytes = [0; REPORT_BYTES];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(report, &mut bytes));
        if step("hear the fork", read)? != REPORT_BYTES {
            // Nobody can say anything any more: the helpers have ended, and the fork goes on.
            return main.filter(|_| running).ok_or_else(|| Failure::Fork {
                step: "wait for the fork".to_owned(),
                reason: "the zygote or its fork has ended".to_owned(),
            });
        }
        let [what, value] = [0, 4]
            .map(|at| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        match what {
            REPORT_FORKED => main = Pid::from_raw(value),
            REPORT_RUNNING => running = true,
            failed => {
                let step = Step::name(failed - REPORT_FAILED).to_owned();
                let reason = std::io::Error::from_raw_os_error(value).to_string();
                return Err(Failure::Fork { step, reason });
            }
        }
    }
}

/// Until the main process ends or one of those above us is gone.
fn supervise(main: Pid, status: &OwnedFd, orders: &OwnedFd, children: &OwnedFd) {
    loop {
        let mut ready = [
            PollFd::new(children, PollFlags::IN),
            PollFd::new(orders, PollFlags::IN),
            PollFd::new(status, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [children_ready, orders_ready, status_ready] =
            ready.map(|descriptor| !descriptor.revents().is_empty());
        if children_ready {
            // Only its arrival matters; several signals may be one.
            sys::best_effort(rustix::io::read(children, &mut [0; 128]));
        }
        if let Some(ended) = reap(main) {
            let (code, signal) = (ended.exit_status(), ended.terminating_signal());
            drop(protocol::send(
                status,
                &FromInit::Ended { code, signal },
                &[],
                SendFlags::DONTWAIT,
            ));
            return;
        }
        // The spawner says nothing any more: something to read is its end.
        if status_ready || (orders_ready && obey(orders, main).is_break()) {
            return;
        }
    }
}

/// Reaps all that is dead; tells how the main process ended, if it did.
fn reap(main: Pid) -> Option<WaitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == main {
            ended = Some(status);
        }
    }
    ended
}

/// Carries out one order. Break means: end the sandbox.
fn obey(orders: &OwnedFd, main: Pid) -> ControlFlow<()> {
    let mut order = [0; 1];
    match rustix::net::recv(orders, &mut order, RecvFlags::DONTWAIT) {
        Ok((1, _)) => {}
        Err(Errno::AGAIN | Errno::INTR) => return ControlFlow::Continue(()),
        // The server is gone.
        _ => return ControlFlow::Break(()),
    }
    let done = match Order::from_byte(order[0]) {
        Some(Order::Terminate) => rustix::process::kill_process(main, Signal::TERM),
        Some(Order::Stop) => sys::signal_everyone_else(libc::SIGSTOP),
        Some(Order::Continue) => sys::signal_everyone_else(libc::SIGCONT),
        Some(Order::Kill) | None => return ControlFlow::Break(()),
    };
    // Fails only if nobody is left to signal, which the next reap tells.
    sys::best_effort(done);
    ControlFlow::Continue(())
}
