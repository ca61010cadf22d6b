//! Media types by extension.

use notation::{Name, Named};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

/// What is not known: bytes (RFC 9110 §8.3 leaves guessing to the client then, browsers save it).
const UNKNOWN: MediaType = MediaType(Text::Known("application/octet-stream"));

/// A media type, as `Content-Type` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(Text);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Known(&'static str),
    Given(Arc<str>),
}

impl Deref for MediaType {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Known(text) => text,
            Text::Given(text) => text,
        }
    }
}

impl MediaType {
    /// A type of ours.
    pub(crate) const fn known(text: &'static str) -> Self {
        Self(Text::Known(text))
    }

    /// The known type of a file of this name, by its extension; `application/octet-stream` for one that is not known.
    pub fn of_name(name: &[u8]) -> Self {
        Types::default().of(name)
    }

    /// A type that was given; `None` for what can be no `Content-Type`.
    pub fn given(text: &str) -> Option<Self> {
        is_media_type(text).then(|| Self(Text::Given(text.into())))
    }

    /// Whether files of it are compressed inside, so that nobody lays a compressed one beside them.
    pub fn is_compressed(&self) -> bool {
        let is_image = self.starts_with("image/");
        let is_text_image = ["image/svg", "image/bmp", "image/x-icon", "image/tiff"];
        let archives = [
            "application/zip",
            "application/gzip",
            "application/zstd",
            "application/x-7z-compressed",
            "application/x-bzip2",
            "application/x-xz",
            "application/vnd.rar",
            "application/java-archive",
            "application/epub+zip",
            "application/vnd.openxmlformats",
            "application/vnd.oasis",
            "application/vnd.android.package-archive",
            "application/vnd.debian.binary-package",
            "application/x-rpm",
            "application/ogg",
            "audio/",
            "video/",
            "font/woff",
        ];
        if is_image { !starts_with_any(self, &is_text_image) } else { starts_with_any(self, &archives) }
    }
}

fn starts_with_any(text: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| text.starts_with(start))
}

/// The types of one folder: the file's own, then those that are known.
#[derive(Debug, Default)]
pub(crate) struct Types {
    /// By extension in lower case.
    given: HashMap<Box<[u8]>, Arc<str>>,
}

impl Types {
    pub(crate) fn new(given: &Named<Name>) -> Self {
        let lower = |(extension, media_type): (&Name, &Name)| {
            (extension.to_ascii_lowercase().into_bytes().into(), Arc::from(media_type.as_str()))
        };
        Self { given: given.iter().map(lower).collect() }
    }

    /// The type of a file of this name.
    pub(crate) fn of(&self, name: &[u8]) -> MediaType {
        let mut lower = [0; EXTENSION_BYTES_MAX];
        let Some(extension) = crate::path::extension(name) else { return UNKNOWN };
        let Some(lower) = lower.get_mut(..extension.len()) else { return UNKNOWN };
        lower.copy_from_slice(extension);
        lower.make_ascii_lowercase();
        let lower: &[u8] = lower;
        if let Some(given) = self.given.get(lower) {
            return MediaType(Text::Given(given.clone()));
        }
        match KNOWN.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)) {
            Ok(at) => MediaType::known(KNOWN[at].1),
            Err(_) => UNKNOWN,
        }
    }
}

/// Extensions longer than this are none that is known or given.
pub(crate) const EXTENSION_BYTES_MAX: usize = 32;

/// Whether this can be a `Content-Type` (RFC 9110 §8.3.1): a type, a subtype, and parameters of printable ASCII.
pub(crate) fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_printable = parameters.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    essence.trim_end().split_once('/').is_some_and(|(family, subtype)| is_token(family) && is_token(subtype))
        && is_printable
}

/// By extension, sorted. From IANA's registry of media types, RFC 9239 (JavaScript) and RFC 8081 (fonts); the few
/// that are not registered are what browsers and nginx know. Text says its charset: UTF-8 is what is written today,
/// and without it browsers guess.
const KNOWN: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("asc", "text/plain; charset=utf-8"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpp", "text/plain; charset=utf-8"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("cur", "image/x-icon"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/plain; charset=utf-8"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htc", "text/x-component; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/x-m4v"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("mtl", "model/mtl"),
    ("ndjson", "application/x-ndjson"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("ogx", "application/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("parquet", "application/vnd.apache.parquet"),
    ("patch", "text/plain; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ps", "application/postscript"),
    ("py", "text/plain; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("sh", "text/plain; charset=utf-8"),
    ("sql", "application/sql"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml; charset=utf-8"),
    ("xpi", "application/x-xpinstall"),
    ("xsl", "text/xml; charset=utf-8"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_in_lower_case_and_of_valid_types() {
        for pair in KNOWN.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} stands before {}", pair[0].0, pair[1].0);
        }
        for (extension, media_type) in KNOWN {
            assert!(
                extension.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                "{extension}"
            );
            assert!(is_media_type(media_type), "{media_type}");
            assert_eq!(
                media_type.starts_with("text/"),
                media_type.ends_with("; charset=utf-8"),
                "{extension}: text and nothing else has a charset"
            );
        }
    }

    #[test]
    fn a_type_is_found_by_the_extension_in_any_case() {
        let types = Types::default();
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("A/B.HTML", "text/html; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("LICENSE", "application/octet-stream"),
            ("a.unknown", "application/octet-stream"),
            ("a.b/c", "application/octet-stream"),
            ("é.png", "image/png"),
        ] {
            assert_eq!(&*types.of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(&*types.of(format!("a.{}", "x".repeat(200)).as_bytes()), "application/octet-stream");
    }

    #[test]
    fn the_file_s_own_types_come_first() {
        let given = [("WASM", "application/x-wasm"), ("mine", "text/x-mine")]
            .map(|(extension, media_type)| (Name::new(extension), Name::new(media_type)));
        let types = Types::new(&given.into());
        assert_eq!(&*types.of(b"a.wasm"), "application/x-wasm");
        assert_eq!(&*types.of(b"a.Mine"), "text/x-mine");
        assert_eq!(&*types.of(b"a.css"), "text/css; charset=utf-8");
    }

    #[test]
    fn what_is_compressed_inside_is_known() {
        let types = Types::default();
        for name in ["a.png", "a.mp4", "a.woff2", "a.zip", "a.docx", "a.mp3"] {
            assert!(types.of(name.as_bytes()).is_compressed(), "{name}");
        }
        for name in ["a.html", "a.svg", "a.js", "a.wasm", "a.ico", "a.pdf", "a", "a.ttf", "a.tar"] {
            assert!(!types.of(name.as_bytes()).is_compressed(), "{name}");
        }
    }

    #[test]
    fn a_media_type_is_a_type_a_subtype_and_parameters() {
        for good in ["text/html", "text/html; charset=utf-8", "application/vnd.x+json;a=\"b c\""] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in
            ["", "text", "text/", "/html", "text/ht ml", "text/html\r\nX: y", "text/html; a=\u{e9}", "a/b/c"]
        {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
