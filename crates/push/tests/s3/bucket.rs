//! A server that speaks as much of S3's protocol as is needed, and checks what it is told.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    /// Whether it was written in 2020, and not long after any test.
    pub(crate) is_old: bool,
    version: u64,
}

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: Mutex<BTreeMap<String, Object>>,
    uploads: Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    pub(crate) is_down: Mutex<bool>,
    /// What another node writes just before somebody writes an object of this name.
    pub(crate) rival: Mutex<Option<(String, Vec<u8>)>>,
    /// What is asked for by this name is answered once `go_on` says so.
    pub(crate) held: Mutex<Option<String>>,
    pub(crate) is_asked: Notify,
    pub(crate) go_on: Notify,
    versions: AtomicU64,
}

impl Bucket {
    pub(crate) async fn start() -> (Arc<Self>, String) {
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
        if head.method == "GET" && self.held.lock().unwrap().as_ref().is_some_and(|held| path.ends_with(held))
        {
            self.is_asked.notify_one();
            self.go_on.notified().await;
        }
        let rival = self.rival.lock().unwrap().take_if(|(name, _)| head.method == "PUT" && *name == path);
        if let Some((name, bytes)) = rival {
            self.put(&name, bytes);
        }
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
                objects.insert(path, self.object(parts.into_values().flatten().collect()));
                said(
                    StatusCode::OK,
                    "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            ("PUT", None) if header("if-none-match").is_some() && objects.contains_key(&path) => {
                said(StatusCode::PRECONDITION_FAILED, "")
            }
            ("PUT", None) => {
                let object = self.object(body.to_vec());
                let answer = Response::builder().header("etag", object.tag());
                objects.insert(path, object);
                answer.body(Full::default()).unwrap()
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

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let object = self.object(bytes);
        self.objects.lock().unwrap().insert(name.to_owned(), object);
    }

    fn object(&self, bytes: Vec<u8>) -> Object {
        Object { bytes, is_old: false, version: self.versions.fetch_add(1, Ordering::Relaxed) }
    }

    /// Writes all objects long ago.
    pub(crate) fn age(&self) {
        self.objects.lock().unwrap().values_mut().for_each(|object| object.is_old = true);
    }

    pub(crate) fn names(&self, start: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects.keys().filter(|name| name.starts_with(start)).cloned().collect()
    }
}

fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("etag", "\"1\"");
    answer.body(Full::new(Bytes::copy_from_slice(text.as_bytes()))).unwrap()
}

impl Object {
    fn tag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

fn object_of(found: &Object, range: Option<String>, is_head: bool) -> Response<Full<Bytes>> {
    let modified =
        if found.is_old { "Tue, 24 Nov 2020 11:58:07 GMT" } else { "Wed, 24 Nov 2100 11:58:07 GMT" };
    let mut answer = Response::builder().header("etag", found.tag()).header("last-modified", modified);
    let object = &found.bytes;
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

fn list(objects: &BTreeMap<String, Object>, prefix: &str) -> String {
    let listed = objects.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, object)| {
        let year = if object.is_old { 2020 } else { 2100 };
        format!(
            "<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{year}-11-24T11:58:07.000Z</LastModified><ETag>{}</ETag></Contents>",
            object.bytes.len(),
            object.tag()
        )
    });
    format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
        listed.collect::<String>()
    )
}
