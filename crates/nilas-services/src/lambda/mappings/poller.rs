//! Polls the queue of one mapping: collects batches, runs as many at once as its pace allows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use nilas_model::Clock;
use nilas_model::limits::SQS_RECEIVE_MAX;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::batch::{Batch, Item};
use super::filter::Filters;
use super::pace::Pace;
use super::record::{MappingId, MappingRecord};
use super::run::{Course, Sign, release, run_batch};
use crate::lambda::Lambda;
use crate::lambda::call::target_of;
use crate::sqs::PolledQueue;
use crate::wait;

/// Between two looks at a queue that cannot be read, or that holds nothing within reach, milliseconds.
const PAUSE_MS: u64 = 100;
/// What the semaphore of bytes counts.
const KIB: usize = 1_024;

/// Why polling has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The mapping is another one now.
    Changed,
    QueueGone,
    FunctionGone,
    /// The settings make no sense; they were checked when they came.
    Damaged,
    ServerStops,
}

/// What is kept of a mapping from one setting to the next.
#[derive(Debug)]
pub(super) struct Poller {
    id: MappingId,
    running: JoinSet<Sign>,
    pace: Arc<Mutex<Pace>>,
}

/// Polling with one setting.
struct Polling<'a> {
    running: &'a mut JoinSet<Sign>,
    course: Arc<Course>,
    filters: Filters,
    batch_size: usize,
    window_ms: u64,
    open: Option<Batch>,
    /// Received, and too large for the open batch.
    left: VecDeque<Item>,
}

/// What collecting has come to.
enum Collected {
    Batch(Batch),
    /// A batch that is not full yet, or nothing.
    Waits,
}

impl Poller {
    pub(super) fn new(id: MappingId, record: &MappingRecord, now_ms: u64) -> Self {
        let pace = Pace::new(&record.settings, now_ms);
        Self { id, running: JoinSet::new(), pace: Arc::new(Mutex::new(pace)) }
    }

    /// Polls until the mapping changes or cannot be polled any more. Batches that run go on running.
    pub(super) async fn poll(
        &mut self,
        lambda: &Weak<Lambda>,
        record: &MappingRecord,
        changes: &mut watch::Receiver<Arc<MappingRecord>>,
    ) -> Ended {
        let patterns = record.settings.filters.as_deref().unwrap_or_default();
        let (Some(target), Ok(filters)) =
            (target_of(&record.function_arn), Filters::parse(patterns))
        else {
            return Ended::Damaged;
        };
        let course = Arc::new(Course {
            id: self.id.clone(),
            target,
            source_arn: record.source_arn.clone(),
            reports_failures: record.settings.reports_failures,
            pace: Arc::clone(&self.pace),
        });
        course.pace().set(&record.settings);
        let mut polling = Polling {
            running: &mut self.running,
            course,
            filters,
            batch_size: record.settings.batch_size as usize,
            window_ms: u64::from(record.settings.window_s) * 1_000,
            open: None,
            left: VecDeque::new(),
        };
        let ended = polling.until_end(lambda, changes).await;
        if let Some(lambda) = lambda.upgrade() {
            polling.release(&lambda);
        }
        ended
    }
}

impl Polling<'_> {
    async fn until_end(
        &mut self,
        lambda: &Weak<Lambda>,
        changes: &mut watch::Receiver<Arc<MappingRecord>>,
    ) -> Ended {
        let mut sign = Sign::Fine;
        loop {
            while let Some(ended) = self.running.try_join_next() {
                sign = sign.or(ended.unwrap_or(Sign::Fine));
            }
            // An error says that the mapping is gone, as far as anybody can see.
            if changes.has_changed().unwrap_or(true) {
                return Ended::Changed;
            }
            let Some(strong) = lambda.upgrade() else { return Ended::ServerStops };
            // A batch of before may say so of a function that the mapping had before.
            if std::mem::replace(&mut sign, Sign::Fine) == Sign::FunctionGone
                && !strong.has_target(&self.course.target)
            {
                return Ended::FunctionGone;
            }
            let mappings = Arc::clone(&strong);
            let mut queues = mappings.mappings.sqs().watch_queues();
            let Some(queue) = mappings.mappings.sqs().polled(&self.course.source_arn) else {
                return Ended::QueueGone;
            };
            let mut watch = queue.watch();
            if self.running.len() < self.course.pace().at_once() {
                match self.collect(&strong, &queue).await {
                    Some(Collected::Batch(batch)) => {
                        let course = Arc::clone(&self.course);
                        self.running.spawn(run_batch(Weak::clone(lambda), course, batch));
                        continue;
                    }
                    Some(Collected::Waits) => {}
                    None => wait::until(strong.clock.as_ref(), strong.now_ms() + PAUSE_MS).await,
                }
            }
            let clock = Arc::clone(&strong.clock);
            let next_ms = self.next_ms(&queue, clock.epoch_ms());
            drop((strong, mappings));
            sign = self.wait(clock.as_ref(), next_ms, changes, (&mut watch, &mut queues)).await;
        }
    }

    /// When there is something to do again, as far as is known now.
    fn next_ms(&self, queue: &PolledQueue<'_>, now_ms: u64) -> Option<u64> {
        let due_ms = queue.next_due_ms(now_ms);
        let mut pace = self.course.pace();
        if self.running.len() >= pace.at_once() {
            if due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                pace.busy(now_ms);
            } else {
                pace.spare(now_ms);
            }
            return if self.running.len() < pace.at_once() { Some(now_ms) } else { pace.next_ms() };
        }
        if self.running.is_empty() && due_ms.is_none() {
            pace.idle(now_ms);
        } else {
            pace.spare(now_ms);
        }
        // What was due just now was out of reach: others of its group are at work.
        let due_ms = due_ms.map(|due_ms| due_ms.max(now_ms + PAUSE_MS));
        let closes_ms = self.open.as_ref().map(Batch::closes_ms);
        due_ms.into_iter().chain(closes_ms).min()
    }

    async fn wait(
        &mut self,
        clock: &dyn Clock,
        next_ms: Option<u64>,
        changes: &mut watch::Receiver<Arc<MappingRecord>>,
        (messages, queues): (&mut watch::Receiver<u64>, &mut watch::Receiver<u64>),
    ) -> Sign {
        let is_full = self.running.len() >= self.course.pace().at_once();
        let due = async {
            match next_ms {
                Some(next_ms) => wait::until(clock, next_ms).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => Sign::Fine,
            // Looked at when the loop begins anew; an end of it, too.
            _ = changes.changed() => { changes.mark_changed(); Sign::Fine }
            Some(ended) = self.running.join_next() => ended.unwrap_or(Sign::Fine),
            // While all that may run are running, a message more changes nothing.
            _ = messages.changed(), if !is_full => Sign::Fine,
            // It may be gone.
            _ = queues.changed() => Sign::Fine,
        }
    }

    /// Receives what there is, up to a batch. None if the queue cannot be read now.
    async fn collect(&mut self, lambda: &Lambda, queue: &PolledQueue<'_>) -> Option<Collected> {
        loop {
            while let Some(item) = self.left.pop_front() {
                if let Some(batch) = self.place(lambda, item).await {
                    return Some(Collected::Batch(batch));
                }
            }
            let held = self.open.as_ref().map_or(0, Batch::len);
            let is_over =
                self.open.as_ref().is_some_and(|open| open.closes_ms() <= lambda.now_ms());
            if held >= self.batch_size || is_over {
                return Some(self.close());
            }
            let polled = queue.poll((self.batch_size - held).min(SQS_RECEIVE_MAX)).await?;
            if polled.is_empty() {
                return Some(Collected::Waits);
            }
            let (admitted, refused): (Vec<_>, Vec<_>) =
                polled.into_iter().partition(|polled| self.filters.admit(polled));
            let refused: Vec<_> = refused.iter().map(|polled| polled.receipt).collect();
            queue.delete(&refused).await;
            let source_arn = &self.course.source_arn;
            let is_windowed = self.window_ms > 0;
            let items = admitted.iter().map(|polled| Item::new(polled, source_arn, is_windowed));
            self.left.extend(items);
        }
    }

    /// Puts an item into the open batch, or opens one with it. A batch comes back that must run first.
    async fn place(&mut self, lambda: &Lambda, item: Item) -> Option<Batch> {
        let now_ms = lambda.now_ms();
        let kib = u32::try_from(item.bytes().div_ceil(KIB)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(lambda.mappings.bytes());
        let Some(open) = &mut self.open else {
            // Nothing is held meanwhile that others could wait for.
            let permit: OwnedSemaphorePermit = bytes.acquire_many_owned(kib).await.ok()?;
            self.open = Some(Batch::new(item, permit, now_ms, self.window_ms));
            return None;
        };
        let left = match bytes.try_acquire_many_owned(kib) {
            Ok(permit) => open.add(item, permit),
            Err(_) => Some(item),
        };
        self.left.push_front(left?);
        self.open.take()
    }

    fn close(&mut self) -> Collected {
        self.open.take().map_or(Collected::Waits, Collected::Batch)
    }

    /// Gives back what was received and has not run.
    fn release(&mut self, lambda: &Lambda) {
        let source_arn = &self.course.source_arn;
        if let Some(open) = self.open.take() {
            release(lambda, source_arn, &open);
        }
        if let Some(queue) = lambda.mappings.sqs().polled(source_arn) {
            queue.release(self.left.drain(..).map(|item| item.receipt));
        }
    }
}
