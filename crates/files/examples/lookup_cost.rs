//! What finding a file costs: `cargo run --release -p files --example lookup_cost [FOLDER]`.
//!
//! Each line is one kind of request: the nanoseconds from the request to its answer, the file closed again. The
//! folder decides about the file system; without one it is the system's temporary folder.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use files::{Fields, Method, Piece, ReadNow, Recent, Request, Root};
use std::borrow::Cow;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

const REQUESTS: u32 = 200_000;
const BROWSER: &[u8] = b"gzip, deflate, br, zstd";

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let root = prepare(folder.path());
    println!("{:<44} {:>10}", "request", "ns");
    for (what, path, accept_encoding, is_known) in [
        ("a file", "/plain.css", None, true),
        ("a file, codings taken, no sibling", "/plain.css", Some(BROWSER), true),
        ("the same, siblings looked for each time", "/plain.css", Some(BROWSER), false),
        ("a file with a sibling", "/site.css", Some(BROWSER), true),
        ("an image, codings taken", "/image.png", Some(BROWSER), true),
        ("a file four folders down", "/a/b/c/d/plain.css", None, true),
        ("an index", "/a/", None, true),
        ("nothing", "/missing.css", None, true),
        ("a path that is refused", "/../plain.css", None, true),
    ] {
        let request = request(path, accept_encoding);
        println!("{what:<44} {:>10.0}", cost(&root, &request, is_known));
    }
    println!("{:<44} {:>10.0}", "the system calls of a file alone", system_calls(folder.path()));
    println!("{:<44} {:>10.0}", "reading 16 KiB that are in memory", reading(&root));
}

fn prepare(folder: &Path) -> Root {
    std::fs::create_dir_all(folder.join("a/b/c/d")).unwrap();
    for name in ["plain.css", "site.css", "site.css.zst", "image.png", "a/b/c/d/plain.css", "a/index.html"] {
        std::fs::write(folder.join(name), vec![b'x'; 64 << 10]).unwrap();
    }
    let files = toml::from_str::<std::collections::BTreeMap<String, files::Files>>("files = \".\"");
    Root::open(&files.unwrap()["files"], folder).unwrap()
}

fn request<'a>(path: &'a str, accept_encoding: Option<&'a [u8]>) -> Request<'a> {
    let mut fields = Fields::default();
    if let Some(value) = accept_encoding {
        fields.note(b"accept-encoding", value);
    }
    let path = Cow::Borrowed(path.as_bytes());
    Request { method: Method::Get, url_path: path.clone(), path, query: Cow::Borrowed(b""), fields }
}

/// With a clock that stands still, or with one that moves on too fast for anything to be remembered.
fn cost(root: &Root, request: &Request<'_>, is_known: bool) -> f64 {
    let now = SystemTime::now() + Duration::from_secs(60);
    root.answer(request, now);
    let recent = Recent::default();
    let start = Instant::now();
    for number in 0..REQUESTS {
        let now = if is_known { now } else { now + Duration::from_secs(2) * number };
        black_box(root.answer_now(black_box(request), now, &recent)).unwrap();
    }
    start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}

/// Open, stat and close by path, as any server does.
fn system_calls(folder: &Path) -> f64 {
    let path = folder.join("plain.css");
    let start = Instant::now();
    for _ in 0..REQUESTS {
        black_box(std::fs::File::open(black_box(&path)).unwrap().metadata().unwrap());
    }
    start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}

fn reading(root: &Root) -> f64 {
    let pieces = root.answer(&request("/plain.css", None), SystemTime::now()).body.into_pieces();
    let Some(Piece::File { file, .. }) = pieces.next() else { panic!("no file") };
    let mut buf = vec![0; 16 << 10];
    let start = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(file.read_now(0, black_box(&mut buf)).unwrap(), ReadNow::Read(16 << 10));
    }
    start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}
