//! Several nodes, and what goes wrong between them.

use super::{draft, get, open, push};
use crate::bucket::Bucket;
use push::{Assets, Draft, Error, Hash, ReleaseName};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tempfile::TempDir;

/// Two nodes with one bucket.
struct World {
    bucket: Arc<Bucket>,
    at: String,
    _dirs: [TempDir; 2],
    here: Arc<Assets>,
    there: Arc<Assets>,
}

impl World {
    async fn new() -> Self {
        let (bucket, at) = Bucket::start().await;
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (here, there) =
            (open(&at, dirs[0].path()).await.unwrap(), open(&at, dirs[1].path()).await.unwrap());
        Self { bucket, at, _dirs: dirs, here, there }
    }

    /// Releases of one node that the other follows.
    async fn with(texts: &[&[u8]]) -> Self {
        let world = Self::new().await;
        for text in texts {
            push(&world.here, "a", text).await;
        }
        world.there.follow().await.unwrap();
        world
    }

    async fn another(&self) -> (TempDir, Result<Arc<Assets>, Error>) {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(&self.at, dir.path()).await;
        (dir, opened)
    }
}

fn name(text: &str) -> ReleaseName {
    text.parse().unwrap()
}

fn names(assets: &Assets) -> Vec<String> {
    assets.releases().iter().map(|seen| seen.release.to_string()).collect()
}

fn named(name: &str, text: &[u8]) -> Draft {
    Draft { release: Some(name.parse().unwrap()), ..draft(&["a"], text) }
}

fn blob_name(text: &[u8]) -> String {
    let hash = Hash::of(text).to_string();
    format!("web/blobs/{}/{hash}", &hash[..2])
}

fn leave_partial(dir: &Path, text: &[u8], left: &[u8]) {
    let folder = dir.join("push/assets/partial");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(Hash::of(text).to_string()), left).unwrap();
}

#[tokio::test]
async fn a_manifest_of_very_many_files_is_read_again() {
    let world = World::with(&[b"one"]).await;
    let long = "0123456789/".repeat(70);
    let paths: Vec<String> = (0..11_000).map(|at| format!("{long}{at}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    world.here.release(draft(&paths, b"one"), SystemTime::now()).await.unwrap();
    assert!(world.bucket.objects.lock().unwrap()["web/releases/r2.json"].bytes.len() > 17 << 20);
    assert!(world.there.follow().await.unwrap());
    assert_eq!(get(&world.there, &format!("/{}", paths[7])), (200, b"one".to_vec()));
    let (_dir, started) = world.another().await;
    assert_eq!(names(&started.unwrap()), ["r2", "r1"]);
}

#[tokio::test]
async fn a_copy_that_was_cut_before_it_got_its_name_is_finished() {
    let world = World::with(&[b"one"]).await;
    for left in [b"one".as_slice(), b"0ne", b"o", b"0", b"longer"] {
        let dir = tempfile::tempdir().unwrap();
        leave_partial(dir.path(), b"one", left);
        let started = open(&world.at, dir.path()).await.unwrap();
        assert_eq!(get(&started, "/a"), (200, b"one".to_vec()), "{left:?}");
        assert_eq!(started.stored_bytes(), 3, "{left:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_used_again_leads_every_node_to_its_new_content() {
    let world = World::with(&[b"one", b"two"]).await;
    world.here.release(named("v1", b"two"), SystemTime::now()).await.unwrap();
    world.there.follow().await.unwrap();
    world.here.roll_back(None, SystemTime::now()).await.unwrap();
    world.here.delete(&name("v1")).await.unwrap();
    world.here.release(named("v1", b"one"), SystemTime::now()).await.unwrap();
    assert!(world.there.follow().await.unwrap());
    assert_eq!(get(&world.there, "/a"), (200, b"one".to_vec()));
    assert!(!world.there.follow().await.unwrap(), "there is nothing new");
}

#[tokio::test]
async fn what_another_node_threw_away_is_sent_again_before_a_release_names_it() {
    let (bucket, at) = Bucket::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = super::config(&at, dir.path());
    let config = push::PushConfig { precompress: true, ..config };
    let registry = telemetry::Registry::new();
    let assets = Assets::open("assets", &config, dir.path(), dir.path(), &registry).await.unwrap();
    let text = b"body { color: red }\n".repeat(100);
    push(&assets, "a.css", &text).await;
    let blobs = bucket.names("web/blobs/");
    assert!(blobs.len() > 1, "there are codings");
    push(&assets, "b", b"two").await;
    assets.delete(&name("r1")).await.unwrap();
    bucket.objects.lock().unwrap().retain(|name, _| !blobs.contains(name));
    assets.release(draft(&["a.css"], &text), SystemTime::now()).await.unwrap();
    let here = bucket.names("web/blobs/");
    assert!(blobs.iter().all(|blob| here.contains(blob)), "{here:?} has all of {blobs:?}");
}

#[tokio::test]
async fn what_is_old_and_of_no_release_is_sent_again_before_a_release_names_it() {
    let world = World::with(&[b"one", b"two"]).await;
    world.here.delete(&name("r1")).await.unwrap();
    world.bucket.age();
    world.here.release(draft(&["a"], b"one"), SystemTime::now()).await.unwrap();
    let objects = world.bucket.objects.lock().unwrap();
    assert!(!objects[&blob_name(b"one")].is_old, "no other node throws it away");
    assert!(objects[&blob_name(b"two")].is_old, "a release needs it");
}

#[tokio::test]
async fn going_back_and_removing_are_decided_by_what_other_nodes_have_done() {
    let world = World::with(&[b"one", b"two", b"six"]).await;
    let now = SystemTime::now();
    world.here.roll_back(Some(&name("r2")), now).await.unwrap();
    let served = world.there.delete(&name("r2")).await;
    assert!(matches!(served, Err(Error::Current(_))), "{served:?}");
    world.here.roll_back(Some(&name("r1")), now).await.unwrap();
    world.here.delete(&name("r2")).await.unwrap();
    let gone = world.there.roll_back(Some(&name("r2")), now).await;
    assert!(matches!(gone, Err(Error::Unknown(_))), "{gone:?}");
    let first = world.there.roll_back(None, now).await;
    assert!(matches!(first, Err(Error::NothingBefore)), "{first:?}");
    world.there.follow().await.unwrap();
    assert_eq!(get(&world.there, "/a"), (200, b"one".to_vec()));
}

#[tokio::test]
async fn an_old_release_that_is_not_whole_keeps_nobody_from_the_others() {
    let world = World::with(&[b"one", b"two"]).await;
    let lost = world.bucket.objects.lock().unwrap().remove(&blob_name(b"one")).unwrap();
    let (_dir, started) = world.another().await;
    let started = started.unwrap();
    assert_eq!(names(&started), ["r2"]);
    push(&started, "a", b"six").await;
    assert_eq!(get(&started, "/a"), (200, b"six".to_vec()));
    let missing = started.roll_back(Some(&name("r1")), SystemTime::now()).await;
    assert!(matches!(missing, Err(Error::NotStored(_))), "{missing:?}");
    world.bucket.put(&blob_name(b"one"), lost.bytes);
    assert!(started.follow().await.unwrap());
    assert_eq!(names(&started), ["r3", "r2", "r1"]);
}

#[tokio::test]
async fn nobody_waits_for_what_is_being_copied() {
    let world = World::with(&[b"one", b"two"]).await;
    push(&world.here, "a", b"six").await;
    *world.bucket.held.lock().unwrap() = Some(blob_name(b"six"));
    let follower = world.there.clone();
    let following = tokio::spawn(async move { follower.follow().await });
    world.bucket.is_asked.notified().await;
    world.there.roll_back(Some(&name("r1")), SystemTime::now()).await.unwrap();
    assert_eq!(get(&world.there, "/a"), (200, b"one".to_vec()));
    *world.bucket.held.lock().unwrap() = None;
    world.bucket.go_on.notify_one();
    assert!(following.await.unwrap().unwrap());
    assert_eq!(names(&world.there), ["r3", "r2", "r1"]);
    assert_eq!(get(&world.there, "/a"), (200, b"one".to_vec()));
}

#[tokio::test]
async fn two_nodes_that_are_pushed_to_at_once_both_make_their_release() {
    let world = World::with(&[b"one"]).await;
    let first = world.bucket.objects.lock().unwrap()["web/releases/r1.json"].bytes.clone();
    let rival = String::from_utf8(first).unwrap();
    let rival = rival.replace("\"r1\"", "\"r2\"").replace("\"sequence\":1", "\"sequence\":2");
    *world.bucket.rival.lock().unwrap() = Some(("web/releases/r2.json".into(), rival.into()));
    push(&world.there, "a", b"two").await;
    assert_eq!(names(&world.there), ["r3", "r2", "r1"]);
    assert_eq!(get(&world.there, "/a"), (200, b"two".to_vec()));
}
