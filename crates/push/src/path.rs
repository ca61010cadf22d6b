//! Where a file is within a release.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The longest path, in bytes: what servers and proxies on the way pass on without complaint.
const PATH_BYTES_MAX: usize = 1024;

/// A path from the root of a release on, as the folder has it and not as a URL writes it: `css/a b.css`. It names a
/// file: no segment is empty, `.` or `..`, and none holds a control character or a `\`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetPath(Box<str>);

/// What is no path of a release.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path:?} is no path of a release: {why}")]
pub struct BadPath {
    path: String,
    why: &'static str,
}

impl AssetPath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a URL, from where the release begins: `/css/a%20b.css`. It is decoded once. `None`: it leads to no
    /// file of any release. What ends in `/` is its `index.html`.
    pub fn of_url(path: &[u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let mut text = percent_decoded(path)?;
        if text.is_empty() || text.ends_with('/') {
            text.push_str("index.html");
        }
        text.parse().ok()
    }

    /// As a URL writes it, without a slash before it (RFC 3986 §3.3).
    pub fn to_url(&self) -> String {
        percent_encoded(&self.0)
    }

    /// What follows the last slash.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder with its slash; empty at the root.
    pub fn folder(&self) -> &str {
        &self.0[..self.0.len() - self.file_name().len()]
    }

    /// What follows the last dot of the name, in lower case; empty if there is none.
    pub(crate) fn extension(&self) -> String {
        match self.file_name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
            _ => String::new(),
        }
    }
}

/// Percent-encoded as a segment or several of a URL's path.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Decoded once; `None` for a broken escape, for what is no UTF-8, and for `%2F`, which is no separator (RFC 3986 §2.2).
pub(crate) fn percent_decoded(text: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if byte == b'/' {
            return None;
        }
        decoded.push(byte);
        rest = &rest[2..];
    }
    String::from_utf8(decoded).ok()
}

impl FromStr for AssetPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let bad = |why| Err(BadPath { path: text.chars().take(200).collect(), why });
        if text.len() > PATH_BYTES_MAX {
            return bad("it has more than 1024 bytes");
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return bad("it holds a control character or a backslash");
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return bad("it has an empty segment, `.` or `..`");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for AssetPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for AssetPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AssetPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for AssetPath {
    fn schema_name() -> Cow<'static, str> {
        "AssetPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_leave_the_release_is_no_path() {
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\nb", "a\0b", &"a".repeat(1025)]
        {
            assert!(bad.parse::<AssetPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_url_is_decoded_once_and_a_folder_is_its_index() {
        let of = |url: &str| AssetPath::of_url(url.as_bytes()).map(|path| path.to_string());
        assert_eq!(of("/css/a%20b.css").as_deref(), Some("css/a b.css"));
        assert_eq!(of("/a%2520b").as_deref(), Some("a%20b"));
        assert_eq!(of("/").as_deref(), Some("index.html"));
        assert_eq!(of("/docs/").as_deref(), Some("docs/index.html"));
        for none in ["/a%2Fb", "/a%", "/a%g0", "/%ff", "/a/%2e%2e/b", "//a", "/%00"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_path_comes_back_from_its_url(text in "[^/\\\\\\p{Cc}]{1,20}(/[^/\\\\\\p{Cc}]{1,20}){0,3}") {
            let Ok(path) = text.parse::<AssetPath>() else { return Ok(()) };
            prop_assert_eq!(AssetPath::of_url(path.to_url().as_bytes()), Some(path));
        }
    }
}
