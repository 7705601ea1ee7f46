//! Records: revisions, batches, lists, watches; and the directory they are in.

use std::time::Duration;

use bytes::Bytes;
use nilas_store::{Change, Expect, Store, StoreError, WatchEvent};

use super::fresh;

fn put(key: &str, value: &'static str, expect: Expect) -> Change {
    Change::Put { space: "s".to_owned(), key: key.to_owned(), value: Bytes::from(value), expect }
}

#[tokio::test]
async fn gets_what_was_put() {
    let (_dir, store) = fresh();
    let records = store.records();
    let revision = records.put("s", "k", Bytes::from("v"), Expect::Absent).await.unwrap();
    let record = records.get("s", "k").await.unwrap().unwrap();
    assert_eq!((record.value.as_ref(), record.revision), (b"v".as_slice(), revision));
    assert_eq!(records.get("t", "k").await.unwrap(), None);
    assert!(records.delete("s", "k", Expect::Revision(revision)).await.unwrap());
    assert!(!records.delete("s", "k", Expect::Any).await.unwrap());
    assert!(records.put("s", "k", Bytes::new(), Expect::Any).await.unwrap() > revision);
}

#[tokio::test]
async fn refuses_what_is_not_as_expected() {
    let (_dir, store) = fresh();
    let records = store.records();
    let revision = records.put("s", "k", Bytes::from("v"), Expect::Any).await.unwrap();
    for expect in [Expect::Absent, Expect::Revision(revision + 1)] {
        let refused = records.put("s", "k", Bytes::new(), expect).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
        let refused = records.delete("s", "k", expect).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(records.get("s", "k").await.unwrap().unwrap().revision, revision);
}

#[tokio::test]
async fn a_batch_happens_whole_or_not_at_all() {
    let (_dir, store) = fresh();
    let records = store.records();
    records.put("s", "taken", Bytes::new(), Expect::Any).await.unwrap();
    let refused =
        records.batch(vec![put("new", "v", Expect::Any), put("taken", "v", Expect::Absent)]).await;
    assert!(matches!(refused, Err(StoreError::Conflict { key, .. }) if key == "taken"));
    assert_eq!(records.get("s", "new").await.unwrap(), None);
    let delete =
        Change::Delete { space: "s".to_owned(), key: "taken".to_owned(), expect: Expect::Any };
    records.batch(vec![put("new", "v", Expect::Absent), delete]).await.unwrap();
    assert!(records.get("s", "new").await.unwrap().is_some());
    assert_eq!(records.get("s", "taken").await.unwrap(), None);
}

#[tokio::test]
async fn lists_by_prefix_in_pages() {
    let (_dir, store) = fresh();
    let records = store.records();
    for key in ["a", "f/", "f/1", "f/2", "f/3", "f0", "g"] {
        records.put("s", key, Bytes::new(), Expect::Any).await.unwrap();
    }
    let keys = async |prefix: &str, after: Option<&str>, limit| {
        let found = records.list("s", prefix, after, limit).await.unwrap();
        found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys("f/", None, 2).await, ["f/", "f/1"]);
    assert_eq!(keys("f/", Some("f/1"), 9).await, ["f/2", "f/3"]);
    assert_eq!(keys("f/", Some("a"), 9).await.len(), 4);
    assert_eq!(keys("", None, 99).await.len(), 7);
    assert!(keys("z", None, 9).await.is_empty());
}

#[tokio::test]
async fn many_writers_share_commits_and_revisions_stay_unique() {
    let (_dir, store) = fresh();
    let records = store.records();
    let tasks: Vec<_> = (0..500)
        .map(|number| {
            let records = records.clone();
            tokio::spawn(async move {
                records.put("s", &number.to_string(), Bytes::new(), Expect::Absent).await
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap().unwrap());
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 500);
}

#[tokio::test]
async fn watchers_see_changes_of_their_prefix_only() {
    let (_dir, store) = fresh();
    let records = store.records();
    let mut watch = records.watch("s", "f/");
    records.put("s", "g/1", Bytes::new(), Expect::Any).await.unwrap();
    records.put("t", "f/1", Bytes::new(), Expect::Any).await.unwrap();
    let revision = records.put("s", "f/1", Bytes::new(), Expect::Any).await.unwrap();
    records.delete("s", "f/1", Expect::Any).await.unwrap();
    let key = "f/1".to_owned();
    assert_eq!(watch.next().await, Some(WatchEvent::Changed { key: key.clone(), revision }));
    assert_eq!(watch.next().await, Some(WatchEvent::Changed { key, revision: revision + 1 }));
}

#[tokio::test]
async fn refuses_what_is_too_large() {
    let (_dir, store) = fresh();
    let records = store.records();
    let refused = records.put("s", "k", Bytes::from(vec![0; 5_000_000]), Expect::Any).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    let refused = records.put("s", &"k".repeat(5_000), Bytes::new(), Expect::Any).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

#[tokio::test]
async fn one_process_a_directory() {
    let (dir, store) = fresh();
    match Store::open(dir.path()) {
        Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(store);
    // The writers end by themselves, soon after the last handle.
    for _ in 0..200 {
        match Store::open(dir.path()) {
            Ok(_) => return,
            Err(StoreError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("still locked");
}

#[test]
fn refuses_a_directory_of_a_newer_version() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("records.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let newer = "CREATE TABLE schema_version (version INTEGER NOT NULL); INSERT INTO schema_version VALUES (99);";
    connection.execute_batch(newer).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    let expected = format!(
        "{} was written by a newer nilas: its format is 99, this one reads up to 1",
        path.display()
    );
    assert_eq!(refused.to_string(), expected);
}
