//! A folder of files, and requests for them.

mod bodies;
mod configs;
mod folders;
mod lookups;
mod ranged;
mod recent;
mod replaced;
mod siblings;
mod vault;
mod versions;

use crate::{Answer, Files, Method, Piece, ReadNow, Recent, Request, Root};
use std::borrow::Cow;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// When the files of a world were written: Sat, 05 Sep 2026 16:00:00 GMT.
fn written() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_788_624_000)
}

const WRITTEN_TEXT: &str = "Sat, 05 Sep 2026 16:00:00 GMT";

/// When requests come, unless a test says otherwise.
fn now() -> SystemTime {
    written() + Duration::from_secs(86_400)
}

/// A folder `site` in a folder of its own.
struct World {
    outside: TempDir,
}

impl World {
    fn new() -> Self {
        let outside = TempDir::new().unwrap();
        fs::create_dir(outside.path().join("site")).unwrap();
        Self { outside }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outside.path().join("site").join(name)
    }

    /// Writes a file, with the folders above it.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        self.touch(name, written())
    }

    fn touch(&self, name: &str, time: SystemTime) -> &Self {
        File::options().append(true).open(self.path(name)).unwrap().set_modified(time).unwrap();
        self
    }

    fn folder(&self, name: &str) -> &Self {
        fs::create_dir_all(self.path(name)).unwrap();
        self
    }

    fn link(&self, name: &str, to: impl AsRef<Path>) -> &Self {
        symlink(to, self.path(name)).unwrap();
        self
    }

    fn open(&self) -> Root {
        self.open_with("")
    }

    /// With more keys of the configuration.
    fn open_with(&self, keys: &str) -> Root {
        Root::open(&files(&format!("{{ dir = \"site\"{keys} }}")), self.outside.path()).unwrap()
    }
}

/// A route's `files` as it is written.
fn files(text: &str) -> Files {
    #[derive(serde::Deserialize)]
    struct Route {
        files: Files,
    }
    toml::from_str::<Route>(&format!("files = {text}")).unwrap().files
}

/// A request as a test writes it.
struct Asked<'a> {
    root: &'a Root,
    request: Request<'a>,
    now: SystemTime,
}

/// A GET of this path, which may have a query.
fn get<'a>(root: &'a Root, target: &'a str) -> Asked<'a> {
    let at = target.find('?').unwrap_or(target.len());
    let path = Cow::Borrowed(&target.as_bytes()[..at]);
    let query = Cow::Borrowed(&target.as_bytes()[at..]);
    let request = Request {
        method: Method::Get,
        url_path: path.clone(),
        path,
        query,
        fields: crate::Fields::default(),
    };
    Asked { root, request, now: now() }
}

impl<'a> Asked<'a> {
    fn method(mut self, name: &str) -> Self {
        self.request.method = Method::of(name.as_bytes());
        self
    }

    fn with(mut self, name: &str, value: &'a str) -> Self {
        self.request.fields.note(name.as_bytes(), value.as_bytes());
        self
    }

    fn at(mut self, now: SystemTime) -> Self {
        self.now = now;
        self
    }

    fn answer(&self) -> Answer {
        self.root.answer(&self.request, self.now)
    }

    fn seen(&self) -> Seen {
        Seen::of(self.answer())
    }

    fn status(&self) -> u16 {
        self.answer().status
    }
}

/// An answer as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    status: u16,
    lines: Vec<(String, String)>,
    content_length: Option<u64>,
    body: Vec<u8>,
}

impl Seen {
    fn of(answer: Answer) -> Self {
        let text = String::from_utf8(answer.lines).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        let line = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let lines = text.strip_suffix("\r\n").unwrap_or_default();
        let lines = lines.split("\r\n").filter(|line| !line.is_empty()).map(line).collect();
        let len = answer.body.len();
        let body = read(answer.body);
        assert_eq!(body.len() as u64, len);
        Self { status: answer.status, lines, content_length: answer.content_length, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.lines.iter().filter(|(seen, _)| seen.eq_ignore_ascii_case(name));
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} stands twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads a body as one who sends it does, in pieces of an odd length.
fn read(body: crate::Body) -> Vec<u8> {
    let mut pieces = body.into_pieces();
    let mut out = Vec::new();
    let mut buf = [0; 777];
    while let Some(piece) = pieces.next() {
        let sent = match piece {
            Piece::Bytes(bytes) => {
                let some = &bytes[..bytes.len().min(7)];
                out.extend_from_slice(some);
                some.len()
            }
            Piece::File { file, offset, len } => {
                let most = len.min(buf.len() as u64) as usize;
                let read = match file.read_now(offset, &mut buf[..most]).unwrap() {
                    ReadNow::Read(bytes) => bytes,
                    ReadNow::WouldBlock => file.read_blocking(offset, &mut buf[..most]).unwrap(),
                };
                out.extend_from_slice(&buf[..read]);
                read
            }
        };
        assert!(sent > 0, "a piece is not empty");
        pieces.advance(sent as u64);
    }
    out
}
