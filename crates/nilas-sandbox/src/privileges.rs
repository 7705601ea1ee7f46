//! How the server gives its privileges up, once its spawner runs.

use std::fs;

use rustix::process::DumpableBehavior;

use crate::jail::{StepError, drop_bounding_set, drop_capabilities};
use crate::sys;

#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error(
        "{threads} threads run already; capabilities belong to threads, so this must come before any other"
    )]
    Threads { threads: usize },
    #[error("cannot {step}: {reason}")]
    Step { step: String, reason: String },
    #[error("root could be taken back")]
    Regained,
}

/// Becomes `uid` and `gid` for good, with no groups, no capabilities and no way back.
///
/// Call it after `LinuxSandbox::launch` and before any thread is started.
pub fn drop_privileges(uid: u32, gid: u32) -> Result<(), PrivilegeError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count());
    if threads != 1 {
        return Err(PrivilegeError::Threads { threads });
    }
    // While CAP_SETPCAP is there.
    drop_bounding_set()?;
    // Groups before ids: afterwards there is no right to change them.
    failed("drop groups", rustix::thread::set_thread_groups(&[]))?;
    failed("change ids", sys::set_process_ids(uid, gid))?;
    // The kernel has dropped them with the ids, unless securebits say otherwise.
    drop_capabilities()?;
    failed("set no_new_privs", rustix::thread::set_no_new_privs(true))?;
    // Changed ids make the process undumpable; said once more, since others of this user must not read its keys.
    failed(
        "become undumpable",
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable),
    )?;
    if uid != 0 && sys::set_process_ids(0, gid).is_ok() {
        return Err(PrivilegeError::Regained);
    }
    Ok(())
}

fn failed<T>(step: &str, result: rustix::io::Result<T>) -> Result<T, PrivilegeError> {
    result
        .map_err(|error| PrivilegeError::Step { step: step.to_owned(), reason: error.to_string() })
}

impl From<StepError> for PrivilegeError {
    fn from(error: StepError) -> Self {
        Self::Step { step: error.step, reason: error.reason }
    }
}
