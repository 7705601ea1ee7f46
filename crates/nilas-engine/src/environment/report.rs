//! What an environment writes about itself and its invocations.

use nilas_model::Report;

use super::{Clocked, Environment};
use crate::fault::FunctionFault;
use crate::launch::Start;
use crate::logs::{ReportLine, RuntimeVersion, lock};

impl Environment {
    pub(super) fn announce_init(&self, start: &Start) {
        let version = RuntimeVersion::of(&self.snapshot);
        lock(&self.journal).init_start(&version, &self.snapshot, start);
    }

    pub(super) fn report(&self, clocked: Clocked, fault: Option<&FunctionFault>) -> Report {
        let elapsed_us = self.engine.clock.monotonic_us().saturating_sub(clocked.started_us);
        let duration_us = match fault {
            Some(FunctionFault::Timeout { timeout_ms }) => timeout_ms * 1_000,
            _ => elapsed_us,
        };
        // Since August 2025 AWS bills init of managed runtimes too, as it always did that of custom ones.
        let billed_us = duration_us + clocked.init_us.unwrap_or(0);
        let restored_ms = clocked.restore.map_or(0, |restore| restore.billed_ms);
        Report {
            duration_us,
            billed_ms: billed_us.div_ceil(1_000).max(1) + restored_ms,
            memory_mib: self.snapshot.memory_mib,
            memory_used_mib: 0,
            init_us: clocked.init_us,
            restore: clocked.restore,
        }
    }

    pub(super) fn memory_mib(&self, bytes: u64) -> u32 {
        const MIB: u64 = 1_048_576;
        u32::try_from(bytes.div_ceil(MIB)).unwrap_or(u32::MAX).min(self.snapshot.memory_mib)
    }

    /// END and REPORT; answers with the tail.
    pub(super) fn write_end(
        &self,
        request_id: nilas_model::RequestId,
        report: &Report,
        fault: Option<&FunctionFault>,
    ) -> Option<bytes::Bytes> {
        let mut journal = lock(&self.journal);
        journal.end(&ReportLine {
            request_id,
            report,
            fault: fault.map(|fault| (fault.status(), fault.error_type())),
            visible: fault.is_some_and(FunctionFault::is_platform_visible),
        });
        journal.take_tail()
    }
}
