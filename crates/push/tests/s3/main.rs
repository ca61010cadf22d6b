//! Releases in a bucket.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod bucket;
mod sharing;

use bucket::Bucket;
use bytes::Bytes;
use files::{Fields, Method, Piece, Request as FileRequest};
use push::{Assets, Blob, Draft, DraftEntry, Error, Hash, PushConfig};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Registry;

/// Two parts of an upload to the bucket, and three of a push.
const LARGE_BYTES: usize = (8 << 20) + 5;

fn config(endpoint: &str, dir: &Path) -> PushConfig {
    for (name, text) in [("key", "key"), ("secret", "secret")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let text = format!(
        "precompress = false\ns3 = {{ bucket = \"bucket\", endpoint = \"{endpoint}\", prefix = \"web\", access_key = {{ file = \"{}\" }}, secret_key = {{ file = \"{}\" }} }}",
        dir.join("key").display(),
        dir.join("secret").display()
    );
    toml::from_str(&text).unwrap()
}

async fn open(endpoint: &str, dir: &Path) -> Result<Arc<Assets>, Error> {
    Assets::open("assets", &config(endpoint, dir), dir, dir, &Registry::new()).await
}

async fn push(assets: &Assets, path: &str, text: &[u8]) {
    let blob = Blob { hash: Hash::of(text), size_bytes: text.len() as u64 };
    for part in 0..=text.len() / push::PART_BYTES_MAX {
        let from = part * push::PART_BYTES_MAX;
        let sent = Bytes::copy_from_slice(&text[from..text.len().min(from + push::PART_BYTES_MAX)]);
        assets.upload(blob, from as u64, Some("text/plain"), sent).await.unwrap();
    }
    assets.release(draft(&[path], text), SystemTime::now()).await.unwrap();
}

fn draft(paths: &[&str], text: &[u8]) -> Draft {
    let entry = DraftEntry {
        hash: Hash::of(text),
        size_bytes: text.len() as u64,
        media_type: None,
        expires_unix_ms: None,
    };
    let files = paths.iter().map(|path| (path.parse().unwrap(), entry.clone()));
    Draft { files: files.collect(), ..Draft::default() }
}

fn get(assets: &Assets, path: &str) -> (u16, Vec<u8>) {
    let path = Cow::Borrowed(path.as_bytes());
    let request = FileRequest {
        method: Method::Get,
        url_path: path.clone(),
        path,
        query: Cow::Borrowed(b""),
        fields: Fields::default(),
    };
    let answer = assets.answer(&request, SystemTime::now());
    let (status, mut pieces, mut text) = (answer.status, answer.body.into_pieces(), Vec::new());
    while let Some(piece) = pieces.next() {
        let Piece::File { file, offset, len } = piece else { panic!("it is a file") };
        let mut part = vec![0; len as usize];
        let read = file.read_blocking(offset, &mut part).unwrap();
        text.extend_from_slice(&part[..read]);
        pieces.advance(read as u64);
    }
    (status, text)
}

#[tokio::test]
async fn a_release_of_one_node_is_served_by_another() {
    let (bucket, at) = Bucket::start().await;
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (open(&at, one.path()).await.unwrap(), open(&at, other.path()).await.unwrap());
    let large: Vec<u8> = (0..LARGE_BYTES).map(|at| (at / 7) as u8).collect();
    push(&here, "large", &large).await;
    assert_eq!(get(&there, "/large").0, 404);
    assert!(there.follow().await.unwrap(), "there is something new");
    assert!(get(&there, "/large") == (200, large), "all of it, and nothing else");
    assert!(!there.follow().await.unwrap(), "there is nothing new");
    push(&there, "small", b"small").await;
    here.follow().await.unwrap();
    assert_eq!(get(&here, "/small"), (200, b"small".to_vec()));
    assert_eq!(get(&here, "/large").0, 404);
    assert_eq!(bucket.names("web/releases/"), ["web/releases/r1.json", "web/releases/r2.json"]);
}

#[tokio::test]
async fn a_node_that_lost_its_disk_has_everything_again() {
    let (_bucket, at) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    push(&open(&at, dir.path()).await.unwrap(), "a", b"one").await;
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(get(&open(&at, empty.path()).await.unwrap(), "/a"), (200, b"one".to_vec()));
}

#[tokio::test]
async fn what_no_release_needs_leaves_the_bucket_after_its_grace() {
    let (bucket, at) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    let assets = open(&at, dir.path()).await.unwrap();
    push(&assets, "a", b"one").await;
    push(&assets, "a", b"two").await;
    assets.delete(&"r1".parse().unwrap()).await.unwrap();
    let late = SystemTime::now() + Duration::from_secs(7200);
    assert_eq!(assets.collect(late).await.unwrap().objects, 0, "it has just come");
    bucket.age();
    assert_eq!(assets.collect(late).await.unwrap().objects, 0, "a release may just be made of it");
    assert_eq!(assets.collect(late).await.unwrap().objects, 1);
    let two = Hash::of(b"two").to_string();
    assert_eq!(bucket.names("web/blobs/"), [format!("web/blobs/{}/{two}", &two[..2])]);
}

#[tokio::test]
async fn a_bucket_that_lies_about_a_blob_is_not_believed() {
    let (bucket, at) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    push(&open(&at, dir.path()).await.unwrap(), "a", b"one").await;
    let name = bucket.names("web/blobs/").remove(0);
    bucket.put(&name, b"0ne".to_vec());
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(open(&at, empty.path()).await, Err(Error::NotStored(_))));
}

#[tokio::test]
async fn a_bucket_that_refuses_is_an_error_and_what_is_served_stays() {
    let (bucket, at) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    let assets = open(&at, dir.path()).await.unwrap();
    push(&assets, "a", b"one").await;
    *bucket.is_down.lock().unwrap() = true;
    assert!(matches!(assets.follow().await, Err(Error::Storage(_))));
    assert_eq!(get(&assets, "/a"), (200, b"one".to_vec()));
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(open(&at, other.path()).await, Err(Error::Storage(_))));
}
