//! Blobs: files that are what their name says.

use bytes::Bytes;
use nilas_store::{BlobHash, Store, StoreError};

use super::fresh;

#[tokio::test]
async fn reads_what_was_put_under_its_hash() {
    let (_dir, store) = fresh();
    let blobs = store.blobs();
    let hash = blobs.put(Bytes::from("hello")).await.unwrap();
    assert_eq!(
        hash.to_string(),
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    assert_eq!(BlobHash::parse(&hash.to_string()), Some(hash));
    assert_eq!(blobs.put(Bytes::from("hello")).await.unwrap(), hash);
    assert_eq!(blobs.read(&hash).await.unwrap(), "hello");
    assert_eq!(std::fs::read(blobs.path(&hash)).unwrap(), b"hello");
    assert_eq!(blobs.list().await.unwrap(), [hash]);
    assert!(blobs.delete(&hash).await.unwrap());
    assert!(!blobs.delete(&hash).await.unwrap());
    assert!(matches!(blobs.read(&hash).await, Err(StoreError::NoSuchBlob(_))));
}

#[tokio::test]
async fn tells_when_the_disk_changed_a_blob() {
    let (_dir, store) = fresh();
    let hash = store.blobs().put(Bytes::from("hello")).await.unwrap();
    std::fs::write(store.blobs().path(&hash), "hellx").unwrap();
    assert!(matches!(store.blobs().read(&hash).await, Err(StoreError::DamagedBlob(_))));
}

#[test]
fn removes_half_written_files_at_start() {
    let dir = tempfile::TempDir::new().unwrap();
    let half = dir.path().join("blobs/tmp/0");
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(&half, "hel").unwrap();
    let _store = Store::open(dir.path()).unwrap();
    assert!(!half.exists());
}

#[test]
fn parses_only_hashes() {
    for text in ["", "2cf2", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
        assert_eq!(BlobHash::parse(text), None, "{text}");
    }
}
