//! What was acknowledged is there after a kill, and after a file lost its end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use bytes::Bytes;
use nilas_store::{Change, Expect, LogRow, Store};
use tempfile::TempDir;

const DIR: &str = "NILAS_TEST_CRASH_DIR";
const ROUND: &str = "NILAS_TEST_CRASH_ROUND";

/// Not a test: the child that the next one kills. Says each number once its two records are stored.
#[test]
#[ignore = "run by survives_being_killed"]
fn child_writes_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(dir.as_ref()).unwrap();
        let writers = (0..8).map(|writer| {
            let (store, round) = (store.clone(), round.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("{round}/{writer}/{number}");
                    let put = |space: &str| Change::Put {
                        space: space.to_owned(),
                        key: key.clone(),
                        value: Bytes::from(vec![b'x'; number % 5_000]),
                        expect: Expect::Absent,
                    };
                    store.records().batch(vec![put("left"), put("right")]).await.unwrap();
                    if number % 16 == 0 {
                        let hash = store.blobs().put(Bytes::from(key.clone())).await.unwrap();
                        std::io::stdout().write_all(format!("blob {hash}\n").as_bytes()).unwrap();
                    }
                    store.logs().append(
                        "g",
                        &key,
                        vec![LogRow { timestamp_ms: 1, message: key.clone() }],
                    );
                    std::io::stdout().write_all(format!("record {key}\n").as_bytes()).unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

#[tokio::test]
async fn survives_being_killed() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child_writes_until_killed", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = |line: &String| line.starts_with("record ") || line.starts_with("blob ");
        acknowledged.extend(lines.by_ref().filter(said).take(20 + round * 90));
        child.kill().unwrap();
        // What it said between the last line read and its end counts too.
        acknowledged.extend(lines.filter(said));
        child.wait().unwrap();
    }
    assert!(acknowledged.len() > 1_000, "only {} lines", acknowledged.len());

    let store = Store::open(dir.path()).unwrap();
    let keys = async |space| {
        let found = store.records().list(space, "", None, usize::MAX).await.unwrap();
        found.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>()
    };
    let (left, right) = (keys("left").await, keys("right").await);
    assert_eq!(left, right, "a batch was torn");
    for line in &acknowledged {
        match line.split_once(' ') {
            Some(("record", key)) => assert!(left.contains(key), "{key} is lost"),
            Some((_, hash)) => {
                let hash = nilas_store::BlobHash::parse(hash).unwrap();
                store.blobs().read(&hash).await.unwrap();
            }
            None => unreachable!("filtered above"),
        }
    }
    store.logs().flush().await.unwrap();
}

/// A write-ahead log that ends anywhere: what is before stays, what is behind is gone, nothing is half there.
#[tokio::test]
async fn opens_with_a_torn_write_ahead_log() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for number in 0..40_u32 {
        let value = Bytes::from(vec![b'x'; 700]);
        store.records().put("s", &format!("{number:03}"), value, Expect::Any).await.unwrap();
    }
    let database = std::fs::read(dir.path().join("records.db")).unwrap();
    let wal = std::fs::read(dir.path().join("records.db-wal")).unwrap();
    let mut counts = BTreeSet::new();
    for part in 0..=24 {
        let torn = TempDir::new().unwrap();
        std::fs::write(torn.path().join("records.db"), &database).unwrap();
        let mut rest = wal[..wal.len() * part / 24].to_vec();
        if part % 2 == 1 {
            let at = rest.len() - 9;
            rest[at..].fill(0xa5);
        }
        std::fs::write(torn.path().join("records.db-wal"), rest).unwrap();
        let store = Store::open(torn.path()).unwrap();
        let found = store.records().list("s", "", None, 99).await.unwrap();
        for (number, (key, record)) in found.iter().enumerate() {
            assert_eq!((key.as_str(), record.value.len()), (format!("{number:03}").as_str(), 700));
        }
        counts.insert(found.len());
        store.records().put("s", "again", Bytes::new(), Expect::Absent).await.unwrap();
    }
    assert!(counts.contains(&40) && counts.len() > 5, "{counts:?}");
}
