//! A store on a folder of its own, pushed to and asked.

mod switching;

use super::{Assets, Uploaded};
use crate::config::PushConfig;
use crate::error::Error;
use crate::fingerprint::fingerprinted;
use crate::hash::Hash;
use crate::manifest::{Blob, Draft, DraftEntry};
use bytes::Bytes;
use files::{Answer, Fields, Method, Request};
use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Registry;

struct World {
    data: tempfile::TempDir,
    config: PushConfig,
    assets: Arc<Assets>,
    now: SystemTime,
}

impl World {
    async fn new(config: PushConfig) -> Self {
        let data = tempfile::tempdir().unwrap();
        let assets =
            Assets::open("assets", &config, data.path(), data.path(), &Registry::new()).await.unwrap();
        Self { data, config, assets, now: SystemTime::now() }
    }

    /// The same folder, as a process finds it that starts.
    async fn restart(&mut self) {
        let (data, config) = (self.data.path(), &self.config);
        self.assets = Assets::open("assets", config, data, data, &Registry::new()).await.unwrap();
    }

    async fn upload(&self, text: &[u8], media_type: &str) -> Blob {
        let blob = blob(text);
        let sent = Bytes::copy_from_slice(text);
        assert_eq!(self.assets.upload(blob, 0, Some(media_type), sent).await.unwrap(), Uploaded::Whole);
        blob
    }

    /// Uploads these and makes a release of them.
    async fn push(&self, files: &[(&str, &[u8])]) -> String {
        self.push_until(files, None).await
    }

    async fn push_until(&self, files: &[(&str, &[u8])], end: Option<SystemTime>) -> String {
        for (_, text) in files {
            self.upload(text, "text/plain").await;
        }
        let draft = Draft { expires_unix_ms: end.map(crate::served::unix_ms), ..draft(files) };
        self.assets.release(draft, self.now).await.unwrap().release.to_string()
    }

    fn get_at(&self, path: &str, fields: Fields<'_>, now: SystemTime) -> Answer {
        let request = Request {
            method: Method::Get,
            path: Cow::Borrowed(path.as_bytes()),
            url_path: Cow::Borrowed(path.as_bytes()),
            query: Cow::Borrowed(b""),
            fields,
        };
        self.assets.answer(&request, now)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.get_at(path, Fields::default(), self.now);
        (answer.status, body(answer))
    }

    fn blob_path(&self, hash: &Hash) -> PathBuf {
        self.data.path().join("push/assets/blobs").join(super::blob_name(hash))
    }
}

fn blob(text: &[u8]) -> Blob {
    Blob { hash: Hash::of(text), size_bytes: text.len() as u64 }
}

fn draft(files: &[(&str, &[u8])]) -> Draft {
    let entry = |text: &[u8]| DraftEntry {
        hash: Hash::of(text),
        size_bytes: text.len() as u64,
        media_type: None,
        expires_unix_ms: None,
    };
    let files = files.iter().map(|(path, text)| (path.parse().unwrap(), entry(text)));
    Draft { files: files.collect(), ..Draft::default() }
}

fn body(answer: Answer) -> String {
    let mut text = Vec::new();
    let mut pieces = answer.body.into_pieces();
    while let Some(piece) = pieces.next() {
        let sent = match piece {
            files::Piece::Bytes(bytes) => {
                text.extend_from_slice(bytes);
                bytes.len() as u64
            }
            files::Piece::File { file, offset, len } => {
                let mut part = vec![0; len as usize];
                let read = file.read_blocking(offset, &mut part).unwrap();
                text.extend_from_slice(&part[..read]);
                read as u64
            }
        };
        pieces.advance(sent);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn line(answer: &Answer, name: &str) -> Option<String> {
    let lines = String::from_utf8(answer.lines.clone()).unwrap();
    let start = format!("{name}: ");
    lines.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

fn further(path: &str, text: &[u8]) -> String {
    format!("/{}", fingerprinted(&path.parse().unwrap(), &Hash::of(text)).unwrap())
}

#[tokio::test]
async fn a_release_is_served_as_soon_as_it_is_made_and_not_before() {
    let world = World::new(PushConfig::default()).await;
    world.upload(b"one", "text/plain").await;
    assert_eq!(world.get("/a.txt").0, 404);
    world.assets.release(draft(&[("a.txt", b"one"), ("index.html", b"one")]), world.now).await.unwrap();
    assert_eq!(world.get("/a.txt"), (200, "one".into()));
    assert_eq!(world.get("/"), (200, "one".into()));
    assert_eq!(world.get("/b.txt").0, 404);
}

#[tokio::test]
async fn only_what_is_not_stored_is_missing() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    let missing = world.assets.missing(vec![blob(b"one"), blob(b"two")], world.now).await.unwrap();
    assert_eq!(missing.iter().map(|one| (one.hash, one.offset)).collect::<Vec<_>>(), [(Hash::of(b"two"), 0)]);
    let error = world.assets.release(draft(&[("a", b"one"), ("b", b"two")]), world.now).await.unwrap_err();
    assert!(matches!(error, Error::NotStored(missing) if missing == [blob(b"two")]));
    assert_eq!(world.assets.releases().len(), 1, "a release that cannot be whole is none");
}

#[tokio::test]
async fn an_upload_that_was_broken_off_goes_on_where_it_was() {
    let mut world = World::new(PushConfig::default()).await;
    let whole = blob(b"onetwo");
    let part = |offset, text: &'static [u8]| (offset, Bytes::from_static(text));
    let (offset, bytes) = part(0, b"one");
    assert_eq!(world.assets.upload(whole, offset, None, bytes).await.unwrap(), Uploaded::Partly(3));
    world.restart().await;
    assert_eq!(world.assets.missing(vec![whole], world.now).await.unwrap()[0].offset, 3);
    let (offset, bytes) = part(0, b"one");
    let again = world.assets.upload(whole, offset, None, bytes).await.unwrap_err();
    assert!(matches!(again, Error::Offset { at: 3, offset: 0 }), "{again}");
    let (offset, bytes) = part(3, b"two");
    assert_eq!(world.assets.upload(whole, offset, None, bytes).await.unwrap(), Uploaded::Whole);
}

#[tokio::test]
async fn what_has_another_hash_than_was_announced_is_thrown_away() {
    let world = World::new(PushConfig::default()).await;
    let wanted = blob(b"one");
    let sent = world.assets.upload(wanted, 0, None, Bytes::from_static(b"0ne")).await.unwrap_err();
    assert!(matches!(sent, Error::WrongHash { wanted, found } if wanted != found), "{sent}");
    assert_eq!(world.assets.missing(vec![wanted], world.now).await.unwrap()[0].offset, 0);
    assert_eq!(world.assets.stored_bytes(), 0);
    let long = world.assets.upload(wanted, 0, None, Bytes::from_static(b"onetwo")).await.unwrap_err();
    assert!(matches!(long, Error::TooLarge { .. }), "{long}");
}

#[tokio::test]
async fn what_was_acknowledged_is_served_after_a_restart() {
    let mut world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    world.push(&[("a", b"two")]).await;
    world.restart().await;
    assert_eq!(world.get("/a"), (200, "two".into()));
    assert_eq!(world.assets.releases().len(), 2);
    assert_eq!(world.push(&[("a", b"three")]).await, "r3");
}

#[tokio::test]
async fn a_fingerprinted_name_of_an_earlier_release_still_leads_to_its_content() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a.css", b"one")]).await;
    world.push(&[("a.css", b"two")]).await;
    assert_eq!(world.get(&further("a.css", b"one")), (200, "one".into()));
    assert_eq!(world.get(&further("a.css", b"two")), (200, "two".into()));
    let immutable = world.get_at(&further("a.css", b"one"), Fields::default(), world.now);
    assert_eq!(line(&immutable, "Cache-Control").unwrap(), "public, max-age=31536000, immutable");
    let plain = world.get_at("/a.css", Fields::default(), world.now);
    assert_eq!(line(&plain, "Cache-Control").unwrap(), "no-cache");
    assert_eq!(line(&plain, "Content-Type").unwrap(), "text/css; charset=utf-8");
}

#[tokio::test]
async fn rolling_back_leads_to_the_release_before_and_any_other_by_its_name() {
    let mut world = World::new(PushConfig::default()).await;
    for text in [b"one", b"two", b"six"] {
        world.push(&[("a", text)]).await;
    }
    assert_eq!(world.assets.roll_back(None, world.now).await.unwrap().release.as_str(), "r2");
    assert_eq!(world.get("/a").1, "two");
    assert_eq!(world.assets.roll_back(None, world.now).await.unwrap().release.as_str(), "r1");
    assert!(matches!(world.assets.roll_back(None, world.now).await, Err(Error::NothingBefore)));
    world.restart().await;
    assert_eq!(world.get("/a").1, "one");
    world.assets.roll_back(Some(&"r3".parse().unwrap()), world.now).await.unwrap();
    assert_eq!(world.get("/a").1, "six");
    assert!(matches!(
        world.assets.roll_back(Some(&"r9".parse().unwrap()), world.now).await,
        Err(Error::Unknown(_))
    ));
}

#[tokio::test]
async fn the_release_that_is_served_is_not_deleted() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    world.push(&[("a", b"two")]).await;
    let (first, second) = ("r1".parse().unwrap(), "r2".parse().unwrap());
    assert!(matches!(world.assets.delete(&second).await, Err(Error::Current(_))));
    world.assets.delete(&first).await.unwrap();
    assert!(matches!(world.assets.delete(&first).await, Err(Error::Unknown(_))));
    assert_eq!(world.get(&further("a", b"one")).0, 404);
    assert_eq!(world.get("/a").1, "two");
}

#[tokio::test]
async fn a_name_is_given_to_one_release() {
    let world = World::new(PushConfig::default()).await;
    world.upload(b"one", "text/plain").await;
    let named = || Draft { release: Some("v1".parse().unwrap()), ..draft(&[("a", b"one")]) };
    world.assets.release(named(), world.now).await.unwrap();
    assert!(matches!(world.assets.release(named(), world.now).await, Err(Error::Exists(_))));
}

#[tokio::test]
async fn what_has_ended_is_not_there() {
    let world = World::new(PushConfig::default()).await;
    let end = world.now + Duration::from_secs(60);
    world.push_until(&[("a", b"one")], Some(end)).await;
    let at = |now| world.get_at("/a", Fields::default(), now).status;
    assert_eq!(at(end - Duration::from_secs(1)), 200);
    assert_eq!(at(end), 404);
    assert_eq!(world.get_at(&further("a", b"one"), Fields::default(), end).status, 404);
    let past = Draft { expires_unix_ms: Some(1), ..draft(&[("a", b"one")]) };
    assert!(matches!(world.assets.release(past, world.now).await, Err(Error::BadDraft(_))));
}

#[tokio::test]
async fn a_file_is_sent_in_the_shortest_coding_that_the_client_takes() {
    let world = World::new(PushConfig::default()).await;
    let text = b"body { color: red }\n".repeat(100);
    world.push(&[("a.css", &text), ("b.css", b"short")]).await;
    let get = |path: &str, accepted: &'static str| {
        let accept_encoding = Some(Cow::Borrowed(accepted.as_bytes()));
        world.get_at(path, Fields { accept_encoding, ..Fields::default() }, world.now)
    };
    let whole = get("/a.css", "gzip;q=0, *;q=0");
    assert_eq!(
        (line(&whole, "Content-Encoding"), line(&whole, "Vary").as_deref()),
        (None, Some("Accept-Encoding"))
    );
    assert_eq!(whole.content_length, Some(2000));
    for coding in ["zstd", "br", "gzip"] {
        let coded = get("/a.css", coding);
        assert_eq!(line(&coded, "Content-Encoding").as_deref(), Some(coding));
        assert!(coded.content_length.unwrap() < 200, "{coding}");
        assert_ne!(line(&coded, "ETag"), line(&whole, "ETag"));
    }
    let short = get("/b.css", "zstd, br, gzip");
    assert_eq!((line(&short, "Content-Encoding"), line(&short, "Vary")), (None, None));
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so_and_ranges_are_of_what_is_stored() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"0123456789")]).await;
    let etag = line(&world.get_at("/a", Fields::default(), world.now), "ETag").unwrap();
    assert!(!etag.starts_with("W/"), "{etag}");
    let known = Fields { if_none_match: Some(Cow::Borrowed(etag.as_bytes())), ..Fields::default() };
    assert_eq!(world.get_at("/a", known, world.now).status, 304);
    let part = Fields { range: Some(Cow::Borrowed(b"bytes=2-4")), ..Fields::default() };
    let answer = world.get_at("/a", part, world.now);
    assert_eq!((answer.status, body(answer)), (206, "234".into()));
}

#[tokio::test]
async fn a_blob_that_was_cut_short_is_never_sent() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"0123456789")]).await;
    fs::File::options()
        .write(true)
        .open(world.blob_path(&Hash::of(b"0123456789")))
        .unwrap()
        .set_len(5)
        .unwrap();
    let answer = world.get_at("/a", Fields::default(), world.now);
    assert_eq!(answer.status, 500);
    assert!(answer.fault.unwrap().to_string().contains("has 5 bytes, not 10"));
    // Pushing it again makes it whole.
    world.upload(b"0123456789", "text/plain").await;
    assert_eq!(world.get("/a"), (200, "0123456789".into()));
}

#[tokio::test]
async fn the_oldest_releases_go_and_then_what_only_they_needed() {
    let world = World::new(PushConfig { keep: 2, ..PushConfig::default() }).await;
    for text in [b"one", b"two", b"six"] {
        world.push(&[("a", text)]).await;
    }
    let names: Vec<_> = world.assets.releases().iter().map(|seen| seen.release.to_string()).collect();
    assert_eq!(names, ["r3", "r2"]);
    let soon = world.now + Duration::from_secs(60);
    let late = world.now + Duration::from_secs(7200);
    for now in [soon, soon, late] {
        assert_eq!(
            world.assets.collect(now).await.unwrap().files,
            0,
            "its grace, or a request, may not have ended"
        );
    }
    assert_eq!(world.assets.collect(late).await.unwrap().files, 1);
    assert!(!world.blob_path(&Hash::of(b"one")).exists());
    assert_eq!(world.get("/a").1, "six");
    assert_eq!(world.get(&further("a", b"two")).1, "two");
    assert_eq!(world.assets.stored_bytes(), 6);
}

#[tokio::test]
async fn what_is_asked_for_stays_until_it_is_used() {
    let world = World::new(PushConfig::default()).await;
    world.upload(b"one", "text/plain").await;
    let late = world.now + Duration::from_secs(7200);
    world.assets.collect(late).await.unwrap();
    assert!(world.assets.missing(vec![blob(b"one")], late).await.unwrap().is_empty());
    world.assets.collect(late).await.unwrap();
    world.assets.release(draft(&[("a", b"one")]), late).await.unwrap();
}

#[tokio::test]
async fn a_full_store_takes_no_more_and_says_so() {
    let config = PushConfig {
        total_max: notation::Size::bytes(5),
        file_max: notation::Size::bytes(4),
        ..PushConfig::default()
    };
    let world = World::new(config).await;
    world.upload(b"one", "text/plain").await;
    let full = world.assets.upload(blob(b"two"), 0, None, Bytes::from_static(b"two")).await.unwrap_err();
    assert!(matches!(full, Error::Full { used: 3, bytes: 3 }), "{full}");
    let large = world.assets.upload(blob(b"three"), 0, None, Bytes::from_static(b"three")).await.unwrap_err();
    assert_eq!(large.to_string(), "the file has 5 bytes, more than the 4B of `file_max`");
}

#[tokio::test]
async fn a_broken_manifest_is_left_out_unless_it_is_the_one_that_is_served() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    world.push(&[("a", b"two")]).await;
    let folder = world.data.path().join("push/assets/releases");
    let open = || async {
        Assets::open("assets", &world.config, world.data.path(), world.data.path(), &Registry::new()).await
    };
    fs::write(folder.join("r1.json"), "{").unwrap();
    assert_eq!(open().await.unwrap().releases().len(), 1);
    fs::write(folder.join("r2.json"), "{").unwrap();
    let Err(error) = open().await else { panic!("nothing could be served") };
    assert!(error.to_string().contains("push assets: release r2"), "{error}");
}
