//! What a release is: which content each path has.

use crate::fingerprint::fingerprinted;
use crate::hash::Hash;
use crate::path::AssetPath;
use crate::served::time;
use encoding::Coding;
use files::MediaType;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;
use thiserror::Error;

/// The form of manifests that this nines writes and reads.
pub(crate) const VERSION: u32 = 1;

/// The most files of a release. A manifest of so many has some 40 MB.
pub const FILES_MAX: usize = 100_000;

/// A release as it is kept: immutable once it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The form of this document: 1.
    pub version: u32,
    /// The release's name.
    pub release: ReleaseName,
    /// Which release of its store it is, counted from 1.
    pub sequence: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When all of it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// Its files by their paths.
    pub files: BTreeMap<AssetPath, Entry>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Of its content.
    pub hash: Hash,
    /// How long it is.
    pub size_bytes: u64,
    /// Its `Content-Type`.
    pub media_type: String,
    /// The same in content codings, where that is shorter: `zstd`, `br`, `gzip`. Absent where that was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coded: Option<BTreeMap<Coding, Blob>>,
    /// When it ends, in milliseconds since 1970, if that is before the release does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// Its further name, which changes with its content; absent where that would be too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<AssetPath>,
}

/// Bytes that are stored by their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Their hash.
    pub hash: Hash,
    /// How many they are.
    pub size_bytes: u64,
}

/// A release as somebody wants it: its blobs must be stored by then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Its name; `r1`, `r2` and so on where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseName>,
    /// When all of it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
    /// Its files by their paths.
    pub files: BTreeMap<AssetPath, DraftEntry>,
}

/// A file as somebody wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftEntry {
    /// Of its content.
    pub hash: Hash,
    /// How long it is.
    pub size_bytes: u64,
    /// Its `Content-Type`; by the path's extension where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_ms: Option<u64>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is no JSON of this form, or of a later version than this nines knows.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.version {
            VERSION => Ok(manifest),
            version => Err(format!("its version is {version}, and this nines knows {VERSION}")),
        }
    }

    /// Whether nothing of it is there any more.
    pub(crate) fn has_ended(&self, now: SystemTime) -> bool {
        let is_over = |end: Option<u64>| end.is_some_and(|end| time(end) <= now);
        is_over(self.expires_unix_ms) || self.files.values().all(|entry| is_over(entry.expires_unix_ms))
    }

    /// Whether it is what this draft would become.
    pub(crate) fn is_of(&self, draft: &Draft) -> bool {
        let is_of = |(path, entry): (&AssetPath, &Entry)| {
            draft.files.get(path).is_some_and(|wanted| {
                (entry.hash, entry.size_bytes, entry.expires_unix_ms)
                    == (wanted.hash, wanted.size_bytes, wanted.expires_unix_ms)
                    && entry.media_type == wanted.media_type(path)
            })
        };
        self.expires_unix_ms == draft.expires_unix_ms
            && self.files.len() == draft.files.len()
            && self.files.iter().all(is_of)
    }

    /// All the blobs that it needs.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        self.files.values().flat_map(Entry::blobs)
    }
}

impl DraftEntry {
    /// Its `Content-Type` at this path.
    pub(crate) fn media_type(&self, path: &AssetPath) -> String {
        match &self.media_type {
            Some(given) => given.clone(),
            None => MediaType::of_name(path.as_str().as_bytes()).to_string(),
        }
    }
}

impl Entry {
    /// Its codings.
    pub fn codings(&self) -> impl Iterator<Item = (Coding, Blob)> + '_ {
        self.coded.iter().flatten().map(|(coding, blob)| (*coding, *blob))
    }

    /// All the blobs that it needs.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Blob> + '_ {
        let own = Blob { hash: self.hash, size_bytes: self.size_bytes };
        std::iter::once(own).chain(self.codings().map(|(_, blob)| blob))
    }

    /// The entry that a draft's becomes.
    pub(crate) fn of(
        path: &AssetPath,
        draft: &DraftEntry,
        media_type: String,
        coded: Option<BTreeMap<Coding, Blob>>,
    ) -> Self {
        Self {
            hash: draft.hash,
            size_bytes: draft.size_bytes,
            media_type,
            coded,
            expires_unix_ms: draft.expires_unix_ms,
            fingerprint: fingerprinted(path, &draft.hash),
        }
    }
}

/// A release's name: letters, digits and `.`, `_`, `-`, up to 64, a letter or digit first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName(String);

/// What is no release's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no name of a release: up to 64 letters, digits, `.`, `_` and `-`, a letter or a digit first"
)]
pub struct BadReleaseName(String);

impl ReleaseName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a release that was given none.
    pub(crate) fn numbered(sequence: u64) -> Self {
        Self(format!("r{sequence}"))
    }
}

impl FromStr for ReleaseName {
    type Err = BadReleaseName;

    fn from_str(text: &str) -> Result<Self, BadReleaseName> {
        let is_first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if is_first && text.len() <= 64 && text.bytes().all(is_rest) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadReleaseName(text.chars().take(80).collect()))
    }
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ReleaseName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReleaseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ReleaseName {
    fn schema_name() -> Cow<'static, str> {
        "ReleaseName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_s_name_is_one_segment_of_a_path() {
        for good in ["r1", "v1.2.3", "2026-11-26", "A_b"] {
            assert!(good.parse::<ReleaseName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "-a", "é", &"a".repeat(65)] {
            assert!(bad.parse::<ReleaseName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_manifest_comes_back_from_its_json() {
        let path: AssetPath = "css/app.css".parse().unwrap();
        let draft =
            DraftEntry { hash: Hash::of(b"a"), size_bytes: 1, media_type: None, expires_unix_ms: Some(7) };
        let coded = BTreeMap::from([(Coding::Br, Blob { hash: Hash::of(b"b"), size_bytes: 9 })]);
        let entry = Entry::of(&path, &draft, "text/css".into(), Some(coded));
        let manifest = Manifest {
            version: VERSION,
            release: "v1".parse().unwrap(),
            sequence: 3,
            created_unix_ms: 5,
            expires_unix_ms: None,
            files: BTreeMap::from([(path, entry)]),
        };
        let json = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::parse(&json), Ok(manifest));
    }

    #[test]
    fn a_manifest_of_a_later_form_is_refused_by_its_version() {
        let later = br#"{"version":2,"release":"a","sequence":1,"created_unix_ms":0,"files":{}}"#;
        assert_eq!(Manifest::parse(later), Err("its version is 2, and this nines knows 1".into()));
    }
}
