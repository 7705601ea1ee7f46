//! Where long computations go, so that short requests do not wait for them.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Hashing or parsing as much takes a few dozen microseconds: as long as handing a worker's other tasks to another thread.
const INLINE_BYTES_MAX: usize = 128 * 1_024;

/// Does `work`, which takes the longer the more `bytes` there are. With many of them the tasks of this thread go on on
/// another one meanwhile: on a small machine there is one worker for all connections.
pub fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let can_move = || {
        Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if bytes > INLINE_BYTES_MAX && can_move() { tokio::task::block_in_place(work) } else { work() }
}
