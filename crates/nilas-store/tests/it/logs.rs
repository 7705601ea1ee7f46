//! Logs: order, resuming, limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nilas_model::SimClock;
use nilas_store::{
    GroupQuery, LogQuery, LogRecord, LogRow, Logs, StoreError, StreamCursor, StreamOrder,
    StreamQuery,
};

use super::{fresh, fresh_with};

const G: &str = "000000000000/us-east-1//aws/lambda/f";
const DAY_MS: u64 = 86_400_000;

fn rows(messages: &[(u64, &str)]) -> Vec<LogRow> {
    let row = |&(timestamp_ms, message): &(u64, &str)| LogRow {
        timestamp_ms,
        message: message.to_owned(),
    };
    messages.iter().map(row).collect()
}

fn all(group: &str) -> LogQuery {
    LogQuery { group: group.to_owned(), limit: 1_000, bytes_max: 1_000_000, ..LogQuery::default() }
}

async fn messages(logs: &Logs, query: LogQuery) -> Vec<String> {
    logs.range(query).await.unwrap().into_iter().map(|record| record.message).collect()
}

async fn three_streams() -> (tempfile::TempDir, Logs) {
    let (dir, store) = fresh();
    let logs = store.logs();
    logs.append(G, "a", rows(&[(10, "a10"), (30, "a30"), (20, "a20")]));
    logs.append(G, "b", rows(&[(20, "b20"), (40, "b40")]));
    logs.append(G, "c", rows(&[(15, "c15")]));
    logs.append("other", "a", rows(&[(20, "other")]));
    logs.flush().await.unwrap();
    (dir, logs)
}

#[tokio::test]
async fn ranges_are_ordered_across_streams() {
    let (_dir, logs) = three_streams().await;
    assert_eq!(messages(&logs, all(G)).await, ["a10", "c15", "a20", "b20", "a30", "b40"]);
    let one = LogQuery { streams: vec!["a".to_owned()], ..all(G) };
    assert_eq!(messages(&logs, one).await, ["a10", "a20", "a30"]);
    let two = LogQuery { streams: vec!["b".to_owned(), "a".to_owned()], ..all(G) };
    assert_eq!(
        messages(&logs, LogQuery { descending: true, limit: 3, ..two }).await,
        ["b40", "a30", "b20"]
    );
    let prefixed = LogQuery { stream_prefix: Some("c".to_owned()), ..all(G) };
    assert_eq!(messages(&logs, prefixed).await, ["c15"]);
    let within = LogQuery { start_ms: Some(15), end_ms: Some(30), ..all(G) };
    assert_eq!(messages(&logs, within).await, ["c15", "a20", "b20"]);
    assert_eq!(messages(&logs, LogQuery { bytes_max: 4, ..all(G) }).await, ["a10", "c15"]);
}

#[tokio::test]
async fn ranges_resume_where_they_stopped() {
    let (_dir, logs) = three_streams().await;
    for descending in [false, true] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page =
                logs.range(LogQuery { after, limit: 1, descending, ..all(G) }).await.unwrap();
            let Some(record) = page.into_iter().next() else { break };
            after = Some(record.position());
            seen.push(record.message);
        }
        if descending {
            seen.reverse();
        }
        assert_eq!(seen, ["a10", "c15", "a20", "b20", "a30", "b40"]);
    }
}

/// Times in and out of order, near and far apart, in many appends: what is read is what a sorted list gives.
#[tokio::test]
async fn ranges_are_those_of_a_sorted_list() {
    let (_dir, store) = fresh();
    let logs = store.logs();
    let mut state = 42_u64; // Knuth's generator
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for number in 0..300 {
        let stream = random(3).to_string();
        let base = random(1_000);
        let appended: Vec<LogRow> = (0..random(6))
            .map(|line| LogRow {
                timestamp_ms: base + random(250),
                message: format!("{stream} {number} {line}"),
            })
            .collect();
        logs.append(G, &stream, appended);
        if random(20) == 0 {
            logs.flush().await.unwrap();
        }
    }
    logs.flush().await.unwrap();
    let everything = logs.range(all(G)).await.unwrap();
    assert!(everything.len() > 500 && everything.is_sorted_by_key(LogRecord::position));
    for _ in 0..200 {
        let start = random(1_200);
        let after = (random(2) == 0).then(|| everything[random(500) as usize].position());
        let query = LogQuery {
            start_ms: (random(2) == 0).then_some(start),
            end_ms: (random(2) == 0).then_some(start + random(400)),
            streams: if random(2) == 0 { vec!["1".to_owned(), "2".to_owned()] } else { vec![] },
            descending: random(2) == 0,
            after,
            limit: 1 + random(50) as usize,
            ..all(G)
        };
        let asked = |record: &&LogRecord| {
            query.start_ms.is_none_or(|start| record.timestamp_ms >= start)
                && query.end_ms.is_none_or(|end| record.timestamp_ms < end)
                && (query.streams.is_empty() || query.streams.contains(&record.stream))
                && query.after.is_none_or(|after| match query.descending {
                    false => record.position() > after,
                    true => record.position() < after,
                })
        };
        let mut expected: Vec<LogRecord> = everything.iter().filter(asked).cloned().collect();
        if query.descending {
            expected.reverse();
        }
        expected.truncate(query.limit);
        assert_eq!(logs.range(query.clone()).await.unwrap(), expected, "{query:?}");
    }
}

/// Written before rows held several events.
#[tokio::test]
async fn events_of_an_older_file_stay() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = rusqlite::Connection::open(dir.path().join("logs.db")).unwrap();
    file.execute_batch(include_str!("logs_version_1.sql")).unwrap();
    drop(file);
    let logs = nilas_store::Store::open(dir.path()).unwrap().logs();
    assert_eq!(messages(&logs, all(G)).await, ["first", "second\n", ""]);
    logs.append(G, "a", rows(&[(15, "new"), (25, "newer")]));
    logs.flush().await.unwrap();
    assert_eq!(messages(&logs, all(G)).await, ["first", "new", "second\n", "newer", ""]);
    let ids: Vec<u64> = logs.range(all(G)).await.unwrap().iter().map(|record| record.id).collect();
    assert_eq!(ids, [1, 4, 2, 5, 3]);
}

#[tokio::test]
async fn says_which_group_or_stream_is_missing() {
    let (_dir, logs) = three_streams().await;
    assert!(matches!(logs.range(all("none")).await, Err(StoreError::NoSuchGroup(_))));
    let query = LogQuery { streams: vec!["a".to_owned(), "none".to_owned()], ..all(G) };
    assert!(
        matches!(logs.range(query).await, Err(StoreError::NoSuchStream { stream, .. }) if stream == "none")
    );
    assert!(matches!(logs.put("none", "a", vec![]).await, Err(StoreError::NoSuchGroup(_))));
    assert!(matches!(logs.put(G, "none", vec![]).await, Err(StoreError::NoSuchStream { .. })));
    assert!(matches!(logs.create_stream("none", "a").await, Err(StoreError::NoSuchGroup(_))));
    assert!(matches!(logs.delete_stream(G, "none").await, Err(StoreError::NoSuchStream { .. })));
    assert!(matches!(logs.set_retention("none", Some(1)).await, Err(StoreError::NoSuchGroup(_))));
    assert!(!logs.delete_group("none").await.unwrap());
}

#[tokio::test]
async fn lists_streams_by_name_and_by_last_event() {
    let (_dir, logs) = three_streams().await;
    assert!(!logs.create_stream(G, "empty").await.unwrap());
    assert!(logs.create_stream(G, "empty").await.unwrap());
    let query = StreamQuery { group: G.to_owned(), limit: 2, ..StreamQuery::default() };
    let names = async |query: StreamQuery| {
        let streams = logs.streams(query).await.unwrap();
        streams.into_iter().map(|stream| stream.name).collect::<Vec<_>>()
    };
    let after =
        |last_event_ms, name: &str| Some(StreamCursor { last_event_ms, name: name.to_owned() });
    assert_eq!(names(query.clone()).await, ["a", "b"]);
    assert_eq!(names(StreamQuery { after: after(0, "b"), ..query.clone() }).await, ["c", "empty"]);
    assert_eq!(names(StreamQuery { prefix: "em".to_owned(), ..query.clone() }).await, ["empty"]);
    let newest = StreamQuery { order: StreamOrder::LastEvent, descending: true, ..query };
    assert_eq!(names(newest.clone()).await, ["b", "a"]);
    assert_eq!(
        names(StreamQuery { after: after(30, "a"), ..newest.clone() }).await,
        ["c", "empty"]
    );
    let info = logs.streams(StreamQuery { limit: 1, ..newest }).await.unwrap().remove(0);
    assert_eq!(
        (info.first_event_ms, info.last_event_ms, info.stored_bytes),
        (Some(20), Some(40), 2 * (3 + 26))
    );
}

#[tokio::test]
async fn a_put_of_nothing_changes_nothing() {
    let (_dir, logs) = three_streams().await;
    let query = StreamQuery { group: G.to_owned(), limit: 9, ..StreamQuery::default() };
    let before = logs.streams(query.clone()).await.unwrap();
    logs.put(G, "a", vec![]).await.unwrap();
    assert_eq!(logs.streams(query).await.unwrap(), before);
}

#[tokio::test]
async fn lists_groups_of_a_scope() {
    let (_dir, store) = fresh();
    let logs = store.logs();
    for name in ["s/a", "s/ab", "s/b", "t/a"] {
        assert!(!logs.create_group(name).await.unwrap());
    }
    assert!(logs.create_group("s/a").await.unwrap());
    let names = async |query: GroupQuery| {
        let groups = logs.groups(query).await.unwrap();
        groups.into_iter().map(|group| group.name).collect::<Vec<_>>()
    };
    let query = GroupQuery { scope: "s/".to_owned(), limit: 9, ..GroupQuery::default() };
    assert_eq!(names(query.clone()).await, ["s/a", "s/ab", "s/b"]);
    assert_eq!(
        names(GroupQuery { prefix: "a".to_owned(), limit: 1, ..query.clone() }).await,
        ["s/a"]
    );
    assert_eq!(
        names(GroupQuery { after: Some("s/a".to_owned()), ..query.clone() }).await,
        ["s/ab", "s/b"]
    );
    assert_eq!(
        names(GroupQuery { contains: "b".to_owned(), ..query.clone() }).await,
        ["s/ab", "s/b"]
    );
    assert!(names(GroupQuery { contains: "s".to_owned(), ..query }).await.is_empty());
    logs.set_retention("s/a", Some(7)).await.unwrap();
    assert_eq!(logs.group("s/a").await.unwrap().unwrap().retention_days, Some(7));
}

#[tokio::test]
async fn a_group_made_again_is_empty() {
    let (_dir, logs) = three_streams().await;
    assert!(logs.delete_group(G).await.unwrap());
    assert!(logs.group(G).await.unwrap().is_none());
    logs.append(G, "a", rows(&[(1, "new")]));
    logs.flush().await.unwrap();
    assert_eq!(messages(&logs, all(G)).await, ["new"]);
    logs.delete_stream(G, "a").await.unwrap();
    assert!(messages(&logs, all(G)).await.is_empty());
    assert_eq!(logs.group(G).await.unwrap().unwrap().stored_bytes, 0);
}

#[tokio::test]
async fn followers_hear_of_their_group() {
    let (_dir, store) = fresh();
    let logs = store.logs();
    let mut follow = logs.follow(G);
    logs.append("other", "a", rows(&[(1, "x")]));
    logs.flush().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), follow.changed()).await.is_err());
    logs.append(G, "a", rows(&[(1, "x")]));
    assert!(follow.changed().await);
    assert_eq!(messages(&logs, all(G)).await, ["x"]);
}

#[tokio::test]
async fn says_in_the_stream_what_was_dropped() {
    let (_dir, store) = fresh();
    let logs = store.logs();
    // More in one piece than the queue takes.
    logs.append(G, "a", vec![LogRow { timestamp_ms: 1, message: String::new() }; 100_001]);
    logs.flush().await.unwrap();
    let expected = "nilas: 100001 log events dropped: they came faster than they could be written";
    assert_eq!(messages(&logs, all(G)).await, [expected]);
}

#[tokio::test]
async fn expired_events_go() {
    let clock = Arc::new(SimClock::at_epoch_ms(100 * DAY_MS));
    let (_dir, store) = fresh_with(&clock, u64::MAX);
    let logs = store.logs();
    logs.append(G, "a", rows(&[(92 * DAY_MS, "old"), (94 * DAY_MS, "young")]));
    logs.append("kept", "a", rows(&[(1, "ancient")]));
    logs.flush().await.unwrap();
    logs.set_retention(G, Some(7)).await.unwrap();
    clock.advance_us(120_000_000);
    until(async || messages(&logs, all(G)).await == ["young"], &logs).await;
    assert_eq!(messages(&logs, all("kept")).await, ["ancient"]);
    assert_eq!(logs.group(G).await.unwrap().unwrap().stored_bytes, 5 + 26);
}

#[tokio::test]
async fn the_oldest_events_go_when_the_logs_are_full() {
    let clock = Arc::new(SimClock::at_epoch_ms(1));
    let (dir, store) = fresh_with(&clock, 4 * 1_048_576);
    let logs = store.logs();
    let message = "x".repeat(1_000);
    for number in 0..200 {
        logs.append(
            G,
            &format!("{}", number / 100),
            vec![LogRow { timestamp_ms: number, message: message.clone() }; 100],
        );
        logs.flush().await.unwrap();
    }
    until(async || logs.group(G).await.unwrap().unwrap().stored_bytes < 4 * 1_048_576, &logs).await;
    let newest =
        logs.range(LogQuery { descending: true, limit: 1, ..all(G) }).await.unwrap().remove(0);
    assert_eq!((newest.timestamp_ms, newest.id), (199, 20_000));
    let oldest = logs.range(LogQuery { limit: 1, ..all(G) }).await.unwrap().remove(0);
    assert!(oldest.timestamp_ms > 100, "{oldest:?}");
    let file_bytes = std::fs::metadata(dir.path().join("logs.db")).unwrap().len();
    assert!(file_bytes < 16 * 1_048_576, "{file_bytes}");
}

#[tokio::test]
async fn a_flood_pushes_out_its_own_groups_events_only() {
    let clock = Arc::new(SimClock::at_epoch_ms(1));
    let (_dir, store) = fresh_with(&clock, 4 * 1_048_576);
    let logs = store.logs();
    logs.append("quiet", "s", rows(&[(1, "older than all the others")]));
    let message = "x".repeat(1_000);
    for number in 0..100 {
        let row = LogRow { timestamp_ms: 2 + number, message: message.clone() };
        logs.append(G, "s", vec![row; 100]);
        logs.flush().await.unwrap();
    }
    until(async || logs.group(G).await.unwrap().unwrap().stored_bytes < 4 * 1_048_576, &logs).await;
    assert_eq!(messages(&logs, all("quiet")).await, ["older than all the others"]);
}

/// Upkeep comes after each write: keep writing until it is done.
async fn until(done: impl AsyncFn() -> bool, logs: &Logs) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        logs.flush().await.unwrap();
    }
    panic!("never came true");
}

/// Prints a figure: `cargo test -p nilas-store --test it -- --ignored --nocapture appends_per_second`.
#[tokio::test]
#[ignore = "a measurement"]
async fn appends_per_second() {
    let (_dir, store) = fresh();
    let logs = store.logs();
    let events = 1_000_000_u64;
    let message = "2024-01-01T00:00:00.000Z\t0c7c6e5a-0000-0000-0000-000000000000\tINFO\thello world, this is a line\n";
    let begun = Instant::now();
    for number in 0..events / 100 {
        let row = LogRow { timestamp_ms: 1_700_000_000_000 + number, message: message.to_owned() };
        logs.append(G, &format!("stream {}", number % 50), vec![row; 100]);
        if number % 500 == 0 {
            logs.flush().await.unwrap();
        }
    }
    logs.flush().await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{events} events in {seconds:.2} s: {:.0} a second", events as f64 / seconds);
    let begun = Instant::now();
    let page =
        logs.range(LogQuery { limit: 10_000, bytes_max: usize::MAX, ..all(G) }).await.unwrap();
    println!("{} read in {:.1} ms", page.len(), begun.elapsed().as_secs_f64() * 1e3);
    let streams = (0..50).map(|number| format!("stream {number}")).collect();
    let begun = Instant::now();
    let page = logs
        .range(LogQuery { streams, limit: 10_000, bytes_max: usize::MAX, ..all(G) })
        .await
        .unwrap();
    println!(
        "{} of 50 streams merged in {:.1} ms",
        page.len(),
        begun.elapsed().as_secs_f64() * 1e3
    );
}
