//! Any path and any fields: what is answered is from within the folder, in lines that are whole, and as long as was said.
//! The input's lines are the path and the fields, in the order of `NAMES`.
#![no_main]

use files::{Files, FilesConfig, Method, Piece, Request, Root};
use libfuzzer_sys::fuzz_target;
use notation::Name;
use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::LazyLock;
use std::time::SystemTime;

const NAMES: [&str; 8] = [
    "accept",
    "accept-encoding",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

/// What must never be answered.
const SECRET: &[u8] = b"*** from outside ***";

static ROOT: LazyLock<Root> = LazyLock::new(|| {
    let outside = std::env::temp_dir().join(format!("fuzz-file-request-{}", std::process::id()));
    let site = outside.join("site");
    fs::create_dir_all(site.join("sub")).expect("a folder can be made");
    fs::write(outside.join("secret"), SECRET).expect("a file can be written");
    fs::write(site.join(".hidden"), SECRET).expect("a file can be written");
    for name in ["index.html", "a.js", "a.js.gz", "a.js.br", "sub/b c.txt"] {
        fs::write(site.join(name), [b'x'; 3000]).expect("a file can be written");
    }
    symlink("../secret", site.join("out")).expect("a link can be made");
    let config = FilesConfig {
        listing: true,
        fallback: Some(Name::new("/index.html")),
        ..FilesConfig::of_folder(Name::new("site"))
    };
    Root::open(&Files::Long(config), &outside).expect("the folder is there")
});

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let path = Cow::Borrowed(lines.next().unwrap_or_default());
    let mut fields = files::Fields::default();
    for (name, value) in NAMES.iter().zip(lines).filter(|(_, value)| !value.is_empty()) {
        fields.note(name.as_bytes(), value);
    }
    let request =
        Request { method: Method::Get, url_path: path.clone(), path, query: Cow::Borrowed(b""), fields };
    let answer = ROOT.answer(&request, SystemTime::now());
    assert!([200, 206, 304, 308, 404, 412, 416].contains(&answer.status), "{answer:?}");
    check_lines(&answer.lines);
    let said = answer.content_length.unwrap_or(0);
    let mut pieces = answer.body.into_pieces();
    let mut sent = 0;
    while let Some(piece) = pieces.next() {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::File { file, offset, len } => {
                let mut bytes = vec![0; len as usize];
                let read = file.read_blocking(offset, &mut bytes).expect("the file is whole");
                bytes.truncate(read);
                assert!(bytes.iter().all(|byte| *byte == b'x'), "a file from outside");
                bytes
            }
        };
        sent += bytes.len() as u64;
        pieces.advance(bytes.len() as u64);
    }
    assert_eq!(sent, said);
});

/// Each line is `Name: value` and ends once.
fn check_lines(lines: &[u8]) {
    let text = std::str::from_utf8(lines).expect("lines of ASCII");
    assert!(text.is_empty() || text.ends_with("\r\n"));
    for line in text.split_terminator("\r\n") {
        assert!(line.contains(": ") && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
    }
}
