//! The scheduling core against a naive model, and queues over restarts.

use std::sync::Arc;

use bytes::Bytes;

use super::core::{Core, History};
use super::{LeaseId, MessageId, NewMessage, Settle};
use crate::{Queues, Store};

const QUEUE: &str = "q";

/// A small generator with a seed: a failure can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn message(due_ms: u64, expires_ms: u64, group: Option<String>) -> NewMessage {
    NewMessage {
        body: Bytes::from_static(b"body"),
        note: Bytes::new(),
        pushed_ms: 0,
        due_ms,
        expires_ms,
        group,
    }
}

/// One message as a reader of the documentation would keep it.
#[derive(Debug, Clone)]
struct Plain {
    id: MessageId,
    due_ms: u64,
    expires_ms: u64,
    group: Option<String>,
    lease: Option<(LeaseId, u64)>,
}

#[derive(Debug, Default)]
struct Model(Vec<Plain>);

impl Model {
    fn end_leases(&mut self, now_ms: u64) {
        for plain in &mut self.0 {
            if let Some((_, until_ms)) = plain.lease
                && until_ms <= now_ms
            {
                plain.lease = None;
                plain.due_ms = until_ms;
            }
        }
    }

    fn is_leasable(&self, at: usize, now_ms: u64) -> bool {
        let plain = &self.0[at];
        let is_due = |plain: &Plain| plain.due_ms <= now_ms && plain.expires_ms > now_ms;
        let same = |other: &&Plain| plain.group.is_some() && other.group == plain.group;
        plain.lease.is_none()
            && is_due(plain)
            && !self.0.iter().filter(same).any(|other| other.lease.is_some())
            && self.0[..at].iter().filter(same).all(is_due)
    }

    fn leasable(&self, now_ms: u64) -> Vec<MessageId> {
        (0..self.0.len())
            .filter(|at| self.is_leasable(*at, now_ms))
            .map(|at| self.0[at].id)
            .collect()
    }

    fn find(&mut self, id: MessageId) -> &mut Plain {
        self.0.iter_mut().find(|plain| plain.id == id).expect("the core knows it")
    }
}

fn run(seed: u64) {
    let (mut dice, mut core, mut model) = (Dice(seed), Core::default(), Model::default());
    let (mut now_ms, mut newest) = (1_000, 0);
    let mut leases: Vec<(MessageId, LeaseId)> = Vec::new();
    for _ in 0..300 {
        model.end_leases(now_ms);
        match dice.roll(7) {
            0 | 1 => {
                newest += 1;
                let group = (dice.roll(2) == 0).then(|| format!("g{}", dice.roll(3)));
                let (due_ms, expires_ms) = (now_ms + dice.roll(20), now_ms + 50 + dice.roll(300));
                let new = message(due_ms, expires_ms, group.clone());
                core.insert(QUEUE, MessageId(newest), &new, 4, History::default());
                let id = MessageId(newest);
                model.0.push(Plain { id, due_ms, expires_ms, group, lease: None });
            }
            2 => now_ms += dice.roll(30),
            3 => {
                let (max, until_ms) = (1 + dice.roll(4) as usize, now_ms + 1 + dice.roll(60));
                let wanted = model.leasable(now_ms);
                let taken = core.lease(QUEUE, max, now_ms, until_ms);
                assert_eq!(taken.len(), wanted.len().min(max), "{seed}: {model:?} at {now_ms}");
                for one in taken {
                    assert!(wanted.contains(&one.id), "{seed}: {one:?} of {wanted:?}");
                    let group = model.find(one.id).group.clone();
                    let before = model.0.iter().find(|plain| {
                        plain.id < one.id
                            && plain.group.is_some()
                            && plain.group == group
                            && plain.lease.is_none()
                    });
                    assert!(before.is_none(), "{seed}: {before:?} is before {one:?}");
                    model.find(one.id).lease = Some((one.lease, until_ms));
                    leases.push((one.id, one.lease));
                }
            }
            4 if !leases.is_empty() => {
                let (id, lease) = leases[dice.roll(leases.len() as u64) as usize];
                let holds = model.0.iter().any(|plain| {
                    plain.id == id && plain.lease.is_some_and(|(held, _)| held == lease)
                });
                let until_ms = now_ms + dice.roll(40);
                assert_eq!(core.extend(QUEUE, id, lease, now_ms, until_ms), holds, "{seed}");
                if holds {
                    let plain = model.find(id);
                    plain.lease = (until_ms > now_ms).then_some((lease, until_ms));
                    if until_ms <= now_ms {
                        plain.due_ms = now_ms;
                    }
                }
            }
            5 if !leases.is_empty() => {
                let (id, lease) = leases.swap_remove(dice.roll(leases.len() as u64) as usize);
                // A lease that has ended unnoticed still holds: nobody else has the message.
                core.counts(QUEUE, now_ms);
                let queue = QUEUE.to_owned();
                let due_ms = now_ms + dice.roll(10);
                let part = if dice.roll(2) == 0 {
                    Settle::Ack { queue, id, lease: Some(lease) }
                } else {
                    Settle::Retry { queue, id, lease: Some(lease), due_ms, note: Bytes::new() }
                };
                let holds = model.0.iter().any(|plain| {
                    plain.id == id && plain.lease.is_some_and(|(held, _)| held == lease)
                });
                assert_eq!(core.begin(std::slice::from_ref(&part)), holds, "{seed}");
                if holds && dice.roll(4) == 0 {
                    let due_ms = core_due(&core, id);
                    core.abandon(std::slice::from_ref(&part));
                    let plain = model.find(id);
                    (plain.lease, plain.due_ms) = (None, due_ms);
                } else if holds {
                    let is_ack = matches!(part, Settle::Ack { .. });
                    core.finish(vec![part], &[]);
                    if is_ack {
                        model.0.retain(|plain| plain.id != id);
                    } else {
                        let plain = model.find(id);
                        (plain.lease, plain.due_ms) = (None, due_ms);
                    }
                }
            }
            6 => {
                for id in core.expired(QUEUE, now_ms) {
                    let part = Settle::Ack { queue: QUEUE.to_owned(), id, lease: None };
                    assert!(core.begin(std::slice::from_ref(&part)), "{seed}");
                    core.finish(vec![part], &[]);
                    assert!(model.find(id).expires_ms <= now_ms, "{seed}");
                    model.0.retain(|plain| plain.id != id);
                }
            }
            _ => {}
        }
        model.end_leases(now_ms);
        let counts = core.counts(QUEUE, now_ms);
        let leased = model.0.iter().filter(|plain| plain.lease.is_some()).count() as u64;
        let all = model.0.len() as u64;
        assert_eq!((counts.due + counts.delayed + counts.leased, counts.leased), (all, leased));
        assert_eq!((core.messages(), counts.bytes), (all, 4 * all), "{seed}");
        if !model.leasable(now_ms).is_empty() {
            assert!(core.next_due_ms(QUEUE, now_ms).is_some_and(|due| due <= now_ms), "{seed}");
        }
    }
}

fn core_due(core: &Core, id: MessageId) -> u64 {
    core.list(QUEUE, Some(MessageId(id.0 - 1)), 1)[0].due_ms
}

#[test]
fn messages_are_leased_as_a_naive_model_says() {
    for seed in 1..400 {
        run(seed * 7_919);
    }
}

async fn drain(queues: &Queues, now_ms: u64) -> Vec<(u64, String, u32)> {
    let leased = queues.lease(QUEUE, 100, now_ms, now_ms + 1_000).await.expect("lease");
    let row = |one: super::Leased| {
        (one.id.0, String::from_utf8_lossy(&one.body).into_owned(), one.receives)
    };
    leased.into_iter().map(row).collect()
}

fn with_body(body: &str) -> NewMessage {
    NewMessage { body: Bytes::copy_from_slice(body.as_bytes()), ..message(10, u64::MAX >> 1, None) }
}

#[tokio::test]
async fn what_was_pushed_is_there_after_a_restart_and_what_was_settled_is_not() {
    let dir = tempfile::tempdir().expect("directory");
    let store = Store::open(dir.path()).expect("open");
    let queues = store.queues();
    let messages = vec![with_body("a"), with_body("b"), with_body("c")];
    queues.push(QUEUE, messages).await.expect("push");
    let leased = queues.lease(QUEUE, 2, 10, 20).await.expect("lease");
    let settle = vec![
        Settle::Ack { queue: QUEUE.to_owned(), id: leased[0].id, lease: Some(leased[0].lease) },
        Settle::Retry {
            queue: QUEUE.to_owned(),
            id: leased[1].id,
            lease: Some(leased[1].lease),
            due_ms: 15,
            note: Bytes::from_static(b"once"),
        },
        Settle::Push { queue: QUEUE.to_owned(), message: with_body("d") },
    ];
    assert!(queues.settle(settle.clone()).await.expect("settle").is_some());
    assert_eq!(queues.settle(settle).await.expect("settle"), None, "nothing is done twice");
    drop((store, queues));

    let queues = loop {
        // The writer ends a moment after the last handle.
        match Store::open(dir.path()) {
            Ok(store) => break store.queues(),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    assert_eq!(queues.list(QUEUE, None, 10)[0].note, Bytes::from_static(b"once"));
    let found = drain(&queues, 15).await;
    assert_eq!(found, [(3, "c".into(), 1), (4, "d".into(), 1), (2, "b".into(), 2)]);
    assert_eq!(queues.purge(QUEUE).await.expect("purge"), 3);
    assert_eq!(queues.counts(QUEUE, 15), super::Counts::default());
}

#[tokio::test]
async fn who_watches_hears_of_messages() {
    let dir = tempfile::tempdir().expect("directory");
    let queues = Store::open(dir.path()).expect("open").queues();
    let mut watch = queues.watch(QUEUE);
    let other = queues.clone();
    let pushed = tokio::spawn(async move { other.push(QUEUE, vec![with_body("a")]).await });
    watch.changed().await.expect("the queue is there");
    assert_eq!(drain(&queues, 10).await.len(), 1);
    pushed.await.expect("task").expect("push");
}

#[tokio::test]
async fn many_callers_share_commits() {
    let dir = tempfile::tempdir().expect("directory");
    let queues = Arc::new(Store::open(dir.path()).expect("open").queues());
    let push = |number: usize| {
        let queues = Arc::clone(&queues);
        tokio::spawn(async move { queues.push(QUEUE, vec![with_body(&number.to_string())]).await })
    };
    let tasks: Vec<_> = (0..500).map(push).collect();
    for task in tasks {
        task.await.expect("task").expect("push");
    }
    assert_eq!(queues.counts(QUEUE, 10).due, 500);
}
