//! An environment that is initialised before anybody invokes it.

use std::time::Duration;

use nilas_model::limits;

use super::Environment;
use super::process::Process;
use crate::launch::Start;
use crate::logs::InitPhase;
use crate::pool::Event;

impl Environment {
    /// Init of a provisioned environment: nobody waits for it, and it has longer; see "Lambda execution environment
    /// lifecycle". None: the environment is over, and the pool tries again later.
    pub(super) async fn boot_ahead(&mut self) -> Option<Process> {
        self.announce_init(&Start::Provisioned);
        let started_us = self.engine.clock.monotonic_us();
        let limit_ms = limits::PROVISIONED_INIT_MS_MAX.max(self.snapshot.timeout_ms);
        let limit = Duration::from_millis(limit_ms);
        match self.attempt(0, limit, Start::Provisioned).await {
            Ok(process) => {
                process.control.watch_memory(false);
                self.engine.step(Event::Initialized { slot: self.slot });
                Some(process)
            }
            Err(failure) => {
                match self.report_init(InitPhase::Init, started_us, limit, failure) {
                    Ok(_) => self.failed_init = true,
                    Err(error) => self.warn(&error),
                }
                self.end(None);
                None
            }
        }
    }
}
