//! A batch while it fills: by count, by bytes, by time.

use bytes::Bytes;
use nilas_model::limits::SYNC_PAYLOAD_BYTES_MAX;
use tokio::sync::OwnedSemaphorePermit;

use super::event;
use crate::sqs::{Polled, Receipt};

/// A message is not waited with longer than until so much before it becomes visible again.
const BEFORE_VISIBLE_MS: u64 = 1_000;

/// A message and its part of the event.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) receipt: Receipt,
    pub(super) message_id: String,
    pub(super) visible_ms: u64,
    record: String,
}

/// Messages for one invocation; never without any.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    bytes: usize,
    /// When its window ends.
    closes_ms: u64,
    /// For its bytes, in KiB.
    permit: Option<OwnedSemaphorePermit>,
}

impl Item {
    pub(super) fn new(polled: &Polled, source_arn: &str, is_windowed: bool) -> Self {
        Self {
            receipt: polled.receipt,
            message_id: polled.message_id.clone(),
            visible_ms: polled.visible_ms,
            record: event::record(polled, source_arn, is_windowed),
        }
    }

    /// Its share of an event, with the comma.
    pub(super) fn bytes(&self) -> usize {
        self.record.len() + 1
    }
}

impl Batch {
    /// One that begins with `first`, received at `now_ms`.
    pub(super) fn new(
        first: Item,
        permit: OwnedSemaphorePermit,
        now_ms: u64,
        window_ms: u64,
    ) -> Self {
        let closes_ms =
            (now_ms + window_ms).min(first.visible_ms.saturating_sub(BEFORE_VISIBLE_MS));
        let bytes = event::HEAD.len() + event::TAIL.len() + first.bytes();
        Self { items: vec![first], bytes, closes_ms, permit: Some(permit) }
    }

    /// The item comes back if there is no room for it.
    pub(super) fn add(&mut self, item: Item, permit: OwnedSemaphorePermit) -> Option<Item> {
        if !self.has_room_for(&item) {
            return Some(item);
        }
        self.bytes += item.bytes();
        self.items.push(item);
        match &mut self.permit {
            Some(ours) => ours.merge(permit),
            None => self.permit = Some(permit),
        }
        None
    }

    pub(super) fn has_room_for(&self, item: &Item) -> bool {
        self.bytes + item.bytes() <= SYNC_PAYLOAD_BYTES_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn closes_ms(&self) -> u64 {
        self.closes_ms
    }

    /// When the first of them becomes visible again.
    pub(super) fn visible_ms(&self) -> u64 {
        self.items.iter().map(|item| item.visible_ms).min().unwrap_or_default()
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = Receipt> + '_ {
        self.items.iter().map(|item| item.receipt)
    }

    pub(super) fn message_ids(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.message_id.as_str()).collect()
    }

    /// The event. What the batch has kept for it is gone then.
    pub(super) fn take_event(&mut self) -> Bytes {
        let mut text = String::with_capacity(self.bytes);
        text.push_str(event::HEAD);
        for (at, item) in self.items.iter_mut().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&std::mem::take(&mut item.record));
        }
        text.push_str(event::TAIL);
        text.into()
    }
}
