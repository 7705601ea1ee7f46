//! An environment that is restored from a snapshot: forked from its version's template.

use std::sync::Arc;
use std::time::Duration;

use nilas_model::{Restore, limits};

use super::process::{How, InitFailure, Process};
use super::template::Template;
use super::{Clocked, Environment, Job};
use crate::api::InvokeError;
use crate::logs::{RestoreReport, RuntimeVersion, lock};
use crate::pool::Event;

impl Environment {
    /// None: the environment is over and the job answered. What cannot be forked is initialised as any other.
    pub(super) async fn restore(
        &mut self,
        job: Job,
        template: Arc<Template>,
    ) -> Option<(Process, Job, Clocked)> {
        let version = RuntimeVersion::of(&self.snapshot);
        lock(&self.journal).restore_start(&version, &self.snapshot);
        let started_us = self.engine.clock.monotonic_us();
        let mut hooks_us = started_us;
        let restored = self.fork(template, &mut hooks_us).await;
        let now_us = self.engine.clock.monotonic_us();
        let report = |duration_us, status, error_type| {
            let report = RestoreReport { duration_us, status, error_type };
            lock(&self.journal).restore_report(&report);
        };
        match restored {
            Ok(process) => {
                report(now_us - started_us, "success", None);
                self.engine.step(Event::Initialized { slot: self.slot });
                let restore = Restore {
                    duration_us: now_us - started_us,
                    billed_ms: (now_us - hooks_us).div_ceil(1_000),
                };
                let clocked = Clocked { restore: Some(restore), ..Clocked::at(now_us) };
                Some((process, job, clocked))
            }
            Err(InitFailure::Fork(reason)) => {
                tracing::warn!(environment = %self.id, reason, "fork of a template failed; starting plainly");
                self.boot(job).await
            }
            Err(InitFailure::Platform(error)) => self.abandon(job, error),
            Err(InitFailure::TimedOut) => {
                report(limits::RESTORE_MS_MAX * 1_000, "timeout", None);
                self.abandon(job, InvokeError::RestoreTimedOut)
            }
            Err(InitFailure::Fault(fault)) => {
                report(now_us - started_us, "error", Some(fault.error_type().to_owned()));
                self.abandon(job, InvokeError::RestoreFailed)
            }
        }
    }

    /// A process whose hooks have run. `hooks_us` becomes the time when they began.
    async fn fork(
        &mut self,
        template: Arc<Template>,
        hooks_us: &mut u64,
    ) -> Result<Process, InitFailure> {
        let engine = Arc::clone(&self.engine);
        let (snapshot, how) = (&self.snapshot, How::Restored(template));
        let process = Process::start(&engine, snapshot, self.id, 0, how, &self.journal).await?;
        *hooks_us = engine.clock.monotonic_us();
        self.await_first_event(process, Duration::from_millis(limits::RESTORE_MS_MAX)).await
    }
}
