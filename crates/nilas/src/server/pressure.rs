//! Watches the machine's memory, and ends idle environments before the kernel ends something else.

use std::time::Duration;

use nilas_engine::Engine;
use nilas_sandbox::{HostMemory, PressureWatch};
use tokio::time::Instant;
use tracing::{debug, warn};

/// Between two looks, unless the kernel says before that tasks wait for memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks while there is too little: what was ended before must have had time to go.
const RELIEVE_EVERY: Duration = Duration::from_millis(200);
/// Between two lines of the log about it.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// What to have back each time, bytes.
const RELIEVE_BYTES: u64 = 128 * MIB;
const MIB: u64 = 1_048_576;

/// For as long as the server runs.
pub(crate) async fn watch(engine: Engine) {
    let mut watch = PressureWatch::open();
    debug!(told = watch.is_told(), "watching the machine's memory");
    let mut said: Option<Instant> = None;
    loop {
        let mut stalled = watch.wait(LOOK_EVERY).await;
        while let Some(memory) = short(stalled) {
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                let available_mib = memory.available_bytes / MIB;
                let stalled_percent = memory.stalled_percent;
                warn!(available_mib, stalled_percent, "the machine is short of memory");
            }
            engine.relieve(RELIEVE_BYTES);
            tokio::time::sleep(RELIEVE_EVERY).await;
            stalled = false;
        }
    }
}

/// What there is, if it is too little.
fn short(stalled: bool) -> Option<HostMemory> {
    // A machine that does not tell has its budget all the same.
    HostMemory::read().ok().filter(|memory| memory.is_short(stalled))
}
