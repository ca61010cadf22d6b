//! What a path leads to, in the releases of one moment.
//!
//! Invariant: a snapshot is swapped whole, and a request sees exactly one, so that it never meets half a release.

use crate::hash::Hash;
use crate::manifest::{Blob, Entry, Manifest};
use crate::path::AssetPath;
use crate::store::{Pointer, blob_name};
use encoding::{Choice, Coding, negotiate};
use files::MediaType;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long clients may use what is named by its content (RFC 8246): a year, which is what everybody says for "always".
const IMMUTABLE_SECS: u64 = 31_536_000;

/// The releases of one moment.
#[derive(Default)]
pub(crate) struct Served {
    /// By their sequence.
    pub(crate) releases: Vec<Arc<Manifest>>,
    /// The one that plain names lead to.
    pub(crate) current: Option<Arc<Manifest>>,
    pub(crate) pointer: Option<Pointer>,
    plain: HashMap<AssetPath, Arc<Item>>,
    /// Those of all releases: a page that a client has kept names files of the release that it was of.
    fingerprinted: HashMap<AssetPath, Arc<Item>>,
    /// The codings of contents that were tried to be encoded.
    coded: HashMap<Hash, BTreeMap<Coding, Blob>>,
}

/// A file as it is served.
pub(crate) struct Item {
    /// As it is, and in its codings, the shortest first.
    own: Source,
    coded: Vec<(Coding, Source)>,
    offered: Vec<Coding>,
    media_type: MediaType,
    /// When the release was made.
    created: SystemTime,
    expires: Option<SystemTime>,
}

/// A blob and its place on the shelf.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    tag: String,
}

/// What a request is answered with.
pub(crate) struct Found {
    item: Arc<Item>,
    pub(crate) coding: Option<Coding>,
    modified: SystemTime,
    pub(crate) cache_control: Cow<'static, str>,
}

impl Served {
    /// The snapshot of these releases, sorted by their sequence.
    pub(crate) fn new(releases: Vec<Arc<Manifest>>, pointer: Option<Pointer>) -> Self {
        let is_current =
            |one: &&Arc<Manifest>| pointer.as_ref().is_some_and(|pointer| pointer.release == one.release);
        let current = releases.iter().find(is_current).cloned();
        let mut served = Self { releases, current, pointer, ..Self::default() };
        for release in &served.releases {
            for (path, entry) in &release.files {
                let item = Arc::new(Item::of(entry, release));
                if let Some(coded) = &entry.coded {
                    served.coded.insert(entry.hash, coded.clone());
                }
                if let Some(fingerprint) = &entry.fingerprint {
                    // One content in two releases is there for as long as either says.
                    let before = served.fingerprinted.get(fingerprint);
                    if before.is_none_or(|before| !before.outlives(&item)) {
                        served.fingerprinted.insert(fingerprint.clone(), item.clone());
                    }
                }
                if served.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, release)) {
                    served.plain.insert(path.clone(), item);
                }
            }
        }
        served
    }

    /// What a URL's path leads to, from where the release begins. A name that a file of the release has comes before
    /// one that was made of another.
    pub(crate) fn find(
        &self,
        path: &[u8],
        accept_encoding: Option<&[u8]>,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Option<Found> {
        let path = AssetPath::of_url(path)?;
        let (item, is_fingerprinted) = match self.plain.get(&path) {
            Some(item) => (item, false),
            None => (self.fingerprinted.get(&path)?, true),
        };
        let left = match item.expires {
            // What has ended is not there any more.
            Some(expires) => Some(expires.duration_since(now).ok().filter(|left| !left.is_zero())?),
            None => None,
        };
        let coding = match negotiate(accept_encoding, &item.offered) {
            Choice::Encode(coding) => Some(coding),
            Choice::Identity => None,
        };
        let cache_control = cache_control(is_fingerprinted, max_age, left);
        // What a plain name leads to has changed when it was led there, be it back to an older release.
        let since = self.pointer.as_ref().and_then(|pointer| pointer.since_unix_ms).map(time);
        let modified = since.filter(|_| !is_fingerprinted).unwrap_or(item.created);
        Some(Found { item: item.clone(), coding, modified, cache_control })
    }

    /// Whether this very manifest is among them.
    pub(crate) fn has(&self, release: &Arc<Manifest>) -> bool {
        self.releases.iter().any(|one| Arc::ptr_eq(one, release))
    }

    /// Whether it is the snapshot of these.
    pub(crate) fn is_of(&self, releases: &[Arc<Manifest>], pointer: Option<&Pointer>) -> bool {
        self.pointer.as_ref() == pointer
            && self.releases.len() == releases.len()
            && self.releases.iter().zip(releases).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Everything that the releases need.
    pub(crate) fn needed(&self) -> HashSet<Hash> {
        self.releases.iter().flat_map(|release| release.blobs()).map(|blob| blob.hash).collect()
    }

    /// The codings of a content that a release has, if it was tried to be encoded.
    pub(crate) fn coded(&self, hash: &Hash) -> Option<BTreeMap<Coding, Blob>> {
        self.coded.get(hash).cloned()
    }
}

/// `Cache-Control` (RFC 9111 §5.2.2): nothing is kept for longer than it is there.
fn cache_control(
    is_fingerprinted: bool,
    max_age: Option<Duration>,
    left: Option<Duration>,
) -> Cow<'static, str> {
    let secs = |wished: u64| left.map_or(wished, |left| left.as_secs().min(wished));
    match (is_fingerprinted, max_age) {
        (true, _) if left.is_none() => "public, max-age=31536000, immutable".into(),
        (true, _) => format!("public, max-age={}, immutable", secs(IMMUTABLE_SECS)).into(),
        (false, Some(max_age)) if !max_age.is_zero() => {
            format!("public, max-age={}", secs(max_age.as_secs())).into()
        }
        // It is kept, and asked for with its tag.
        (false, _) => "no-cache".into(),
    }
}

impl Item {
    fn of(entry: &Entry, release: &Manifest) -> Self {
        let own = Blob { hash: entry.hash, size_bytes: entry.size_bytes };
        let mut coded: Vec<_> =
            entry.codings().map(|(coding, blob)| (coding, Source::of(&blob, &own))).collect();
        coded.sort_by_key(|(_, source)| source.size_bytes);
        let ends = [entry.expires_unix_ms, release.expires_unix_ms];
        Self {
            own: Source::of(&own, &own),
            offered: coded.iter().map(|(coding, _)| *coding).collect(),
            coded,
            media_type: MediaType::given(&entry.media_type).unwrap_or_else(|| MediaType::of_name(b"")),
            created: time(release.created_unix_ms),
            expires: ends.into_iter().flatten().min().map(time),
        }
    }
}

impl Item {
    /// Whether another of the same content ends before it.
    fn outlives(&self, other: &Self) -> bool {
        let ends = |item: &Self| (item.expires.is_none(), item.expires);
        self.own.name == other.own.name && ends(self) > ends(other)
    }
}

impl Source {
    /// The tag is of the file's own content, whatever it is coded in.
    fn of(blob: &Blob, own: &Blob) -> Self {
        Self { name: blob_name(&blob.hash), size_bytes: blob.size_bytes, tag: own.hash.digits(32) }
    }
}

impl Found {
    /// As the vault wants it.
    pub(crate) fn document(&self) -> files::Document<'_> {
        let coded = self.item.coded.iter().find(|(coding, _)| Some(*coding) == self.coding);
        let source = coded.map_or(&self.item.own, |(_, source)| source);
        files::Document {
            name: &source.name,
            size: source.size_bytes,
            tag: &source.tag,
            modified: self.modified,
            content_type: self.item.media_type.clone(),
            coding: self.coding,
            is_varied: !self.item.coded.is_empty(),
            cache_control: &self.cache_control,
        }
    }
}

/// A moment, of milliseconds since 1970.
pub(crate) fn time(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms)).unwrap_or(UNIX_EPOCH)
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_for_longer_than_it_is_there() {
        let secs = Duration::from_secs;
        let said = |is_fingerprinted, max_age, left| {
            cache_control(is_fingerprinted, Option::map(max_age, secs), Option::map(left, secs))
        };
        assert_eq!(said(true, None, None), "public, max-age=31536000, immutable");
        assert_eq!(said(true, Some(5), Some(60)), "public, max-age=60, immutable");
        assert_eq!(said(false, Some(300), None), "public, max-age=300");
        assert_eq!(said(false, Some(300), Some(60)), "public, max-age=60");
        assert_eq!(said(false, None, Some(60)), "no-cache");
        assert_eq!(said(false, Some(0), None), "no-cache");
    }
}
