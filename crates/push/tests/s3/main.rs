//! Releases in a bucket, against a server that speaks as much of S3's protocol as is needed, and checks what it is told.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

use bytes::Bytes;
use files::{Fields, Method, Piece, Request as FileRequest};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use push::{Assets, Blob, Draft, DraftEntry, Error, Hash, PushConfig};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use tokio::net::TcpListener;

/// Two parts of an upload to the bucket, and three of a push.
const LARGE_BYTES: usize = (8 << 20) + 5;

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    uploads: Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    is_down: Mutex<bool>,
}

impl Bucket {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (bucket, at) = (Arc::new(Self::default()), listener.local_addr().unwrap());
        let serving = bucket.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bucket = serving.clone();
                let answer = service_fn(move |request| {
                    let bucket = bucket.clone();
                    async move { Ok::<_, Infallible>(bucket.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        (bucket, format!("http://{at}"))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let signed = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let is_signed = signed.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=key/"));
        if *self.is_down.lock().unwrap() || !is_signed {
            return said(StatusCode::FORBIDDEN, "");
        }
        let path = head.uri.path().strip_prefix("/bucket").unwrap().trim_start_matches('/').to_owned();
        let query: BTreeMap<&str, String> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name, value.replace("%2F", "/")))
            .collect();
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let mut objects = self.objects.lock().unwrap();
        match (head.method.as_str(), query.get("uploadId")) {
            ("GET", _) if query.contains_key("list-type") => {
                said(StatusCode::OK, &list(&objects, &query["prefix"]))
            }
            ("POST", None) if query.contains_key("uploads") => {
                self.uploads.lock().unwrap().insert(path, BTreeMap::new());
                said(
                    StatusCode::OK,
                    "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
                )
            }
            ("PUT", Some(_)) => {
                let part = query["partNumber"].parse().unwrap();
                self.uploads.lock().unwrap().get_mut(&path).unwrap().insert(part, body.to_vec());
                said(StatusCode::OK, "")
            }
            ("POST", Some(_)) => {
                let parts = self.uploads.lock().unwrap().remove(&path).unwrap();
                objects.insert(path, parts.into_values().flatten().collect());
                said(
                    StatusCode::OK,
                    "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            ("PUT", None) if header("if-none-match").is_some() && objects.contains_key(&path) => {
                said(StatusCode::PRECONDITION_FAILED, "")
            }
            ("PUT", None) => {
                objects.insert(path, body.to_vec());
                said(StatusCode::OK, "")
            }
            ("DELETE", _) => {
                objects.remove(&path);
                said(StatusCode::NO_CONTENT, "")
            }
            ("GET" | "HEAD", _) => match objects.get(&path) {
                Some(object) => object_of(object, header("range"), head.method == "HEAD"),
                None => said(StatusCode::NOT_FOUND, ""),
            },
            other => panic!("nobody asks for {other:?}"),
        }
    }

    fn names(&self, start: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects.keys().filter(|name| name.starts_with(start)).cloned().collect()
    }
}

fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("etag", "\"1\"");
    answer.body(Full::new(Bytes::copy_from_slice(text.as_bytes()))).unwrap()
}

fn object_of(object: &[u8], range: Option<String>, is_head: bool) -> Response<Full<Bytes>> {
    let mut answer =
        Response::builder().header("etag", "\"1\"").header("last-modified", "Tue, 24 Nov 2020 11:58:07 GMT");
    let range = range.map(|range| {
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap().min(object.len() - 1))
    });
    if let Some((from, to)) = range {
        answer = answer.status(206).header("content-range", format!("bytes {from}-{to}/{}", object.len()));
        return answer.body(Full::new(Bytes::copy_from_slice(&object[from..=to]))).unwrap();
    }
    answer = answer.header("content-length", object.len());
    let body = if is_head { Bytes::new() } else { Bytes::copy_from_slice(object) };
    answer.body(Full::new(body)).unwrap()
}

fn list(objects: &BTreeMap<String, Vec<u8>>, prefix: &str) -> String {
    let listed = objects.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, object)| {
        format!(
            "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>2020-11-24T11:58:07.000Z</LastModified><ETag>\"1\"</ETag></Contents>",
            object.len()
        )
    });
    format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
        listed.collect::<String>()
    )
}

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
    let entry =
        DraftEntry { hash: blob.hash, size_bytes: blob.size_bytes, media_type: None, expires_unix_ms: None };
    let draft = Draft { files: [(path.parse().unwrap(), entry)].into(), ..Draft::default() };
    assets.release(draft, SystemTime::now()).await.unwrap();
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
    bucket.objects.lock().unwrap().insert(name, b"0ne".to_vec());
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
