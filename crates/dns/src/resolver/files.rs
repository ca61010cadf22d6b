//! The files that `[dns.resolver]` names: read with the file, and again when they change.

use super::config::ResolverConfig;
use super::forward::{self, Forwarder};
use super::lists::{Blocked, ListFault};
use admission::Networks;
use arc_swap::ArcSwap;
use hickory_resolver::proto::dnssec::TrustAnchors;
use std::fmt;
use std::fs::{self, metadata};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// What the files say.
pub(crate) struct Files {
    /// Without `allow` this machine alone may ask.
    allow: Option<Networks>,
    blocked: ArcSwap<Blocked>,
    lists: Vec<PathBuf>,
    seen: Mutex<Seen>,
    /// Servers of a private root, and its keys.
    roots: Option<Vec<IpAddr>>,
    anchors: Option<Arc<TrustAnchors>>,
    forwarders: Vec<Forwarder>,
    /// The texts that those of the root were read from.
    root_texts: [Option<String>; 2],
}

/// The lists as they were last read, and as they were at the last look.
#[derive(Default)]
struct Seen {
    read: Vec<Option<Stamp>>,
    looked: Vec<Option<Stamp>>,
}

/// Device, inode, length, and when it was changed.
type Stamp = (u64, u64, u64, (i64, i64));

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum FilesError {
    #[error("allow: {0}")]
    Allow(#[from] admission::Error),
    #[error("forward: {0}")]
    Forward(#[from] tls::Error),
    #[error("block: {}: {cause}", path.display())]
    Unread { path: PathBuf, cause: io::Error },
    #[error("{}: {cause}", path.display())]
    Root { path: PathBuf, cause: String },
    #[error("block: {}:{}: {}", path.display(), fault.line, fault.message)]
    List { path: PathBuf, fault: ListFault },
}

/// No list is longer: some million names.
const LIST_BYTES_MAX: u64 = 128 << 20;

impl Files {
    /// Reads them; paths start from `dir`.
    pub(crate) fn load(config: &ResolverConfig, dir: &Path) -> Result<Self, FilesError> {
        let allow = config.allow.as_ref().map(|allow| Networks::load(allow, dir)).transpose()?;
        let lists: Vec<PathBuf> = config.block.iter().map(|path| dir.join(path)).collect();
        let stamps = stamps(&lists);
        let blocked = ArcSwap::from_pointee(read(&lists)?);
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| root_text(&dir.join(path))).transpose();
        let root_texts = [text(&config.root_hints)?, text(&config.trust_anchor)?];
        let [hints, anchors] = &root_texts;
        let fault = |path: &Option<PathBuf>, cause| FilesError::Root {
            path: path.clone().unwrap_or_default(),
            cause,
        };
        let roots =
            hints.as_deref().map(roots).transpose().map_err(|cause| fault(&config.root_hints, cause))?;
        let anchors = anchors.as_deref().map(anchors_of).transpose();
        let anchors = anchors.map_err(|cause| fault(&config.trust_anchor, cause))?.map(Arc::new);
        let seen = Mutex::new(Seen { looked: stamps.clone(), read: stamps });
        let forwarders = forward::load(&config.forward, dir)?;
        Ok(Self { allow, blocked, lists, seen, roots, anchors, forwarders, root_texts })
    }

    /// Servers of a private root.
    pub(super) fn roots(&self) -> Option<&[IpAddr]> {
        self.roots.as_deref()
    }

    /// Keys of a private root.
    pub(super) fn anchors(&self) -> Option<Arc<TrustAnchors>> {
        self.anchors.clone()
    }

    /// Those who are asked, in the order of the file.
    pub(super) fn forwarders(&self) -> &[Forwarder] {
        &self.forwarders
    }

    /// Whether both say the same of the root.
    pub(super) fn has_root_of(&self, other: &Self) -> bool {
        self.root_texts == other.root_texts
    }

    /// Whether this client may ask.
    #[inline]
    pub(crate) fn allows(&self, client: IpAddr) -> bool {
        match &self.allow {
            Some(allow) => allow.contains(client),
            None => client.to_canonical().is_loopback(),
        }
    }

    /// The names that are not looked up.
    #[inline]
    pub(crate) fn blocked(&self) -> arc_swap::Guard<Arc<Blocked>> {
        self.blocked.load()
    }

    /// Reads again what has changed, and then stayed the same from one call to the next. What cannot be read changes nothing, and is
    /// told once.
    pub(crate) fn refresh(&self) {
        if let Some(allow) = &self.allow {
            let refreshed = allow.refresh();
            for error in refreshed.errors {
                tracing::warn!(target: "dns", %error, "resolver: allow is used as it was");
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.lists);
        let is_settled = stamps == std::mem::replace(&mut seen.looked, stamps.clone());
        if stamps == seen.read || !is_settled {
            return;
        }
        seen.read = stamps;
        match read(&self.lists) {
            Ok(blocked) => {
                self.blocked.store(Arc::new(blocked));
                tracing::info!(target: "dns", "resolver: block lists changed");
            }
            Err(error) => {
                tracing::warn!(target: "dns", %error, "resolver: block lists are used as they were");
            }
        }
    }
}

fn read(lists: &[PathBuf]) -> Result<Blocked, FilesError> {
    let mut blocked = Blocked::default();
    for path in lists {
        let unread = |cause| FilesError::Unread { path: path.clone(), cause };
        if metadata(path).map_err(unread)?.len() > LIST_BYTES_MAX {
            let cause = io::Error::other(format!("longer than {} MiB", LIST_BYTES_MAX >> 20));
            return Err(unread(cause));
        }
        let text = fs::read_to_string(path).map_err(unread)?;
        blocked.read(&text).map_err(|fault| FilesError::List { path: path.clone(), fault })?;
    }
    Ok(blocked)
}

fn root_text(path: &Path) -> Result<String, FilesError> {
    fs::read_to_string(path).map_err(|cause| FilesError::Root { path: path.into(), cause: cause.to_string() })
}

/// The addresses in a hints file: lines as `a.root. 3600000 A 198.41.0.4`.
fn roots(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let words: Vec<&str> = text.split(';').next().unwrap_or_default().split_whitespace().collect();
        let [.., rtype, address] = words[..] else { continue };
        if rtype.eq_ignore_ascii_case("A") || rtype.eq_ignore_ascii_case("AAAA") {
            let address = address.parse().map_err(|_| format!("line {line}: {address:?} is no address"))?;
            found.push(address);
        }
    }
    if found.is_empty() { Err("it has no address of a root server".into()) } else { Ok(found) }
}

/// DNSKEY records of the root.
fn anchors_of(text: &str) -> Result<TrustAnchors, String> {
    let anchors: TrustAnchors =
        text.parse().map_err(|error| format!("it is no file of DNSKEY records: {error}"))?;
    if anchors.is_empty() { Err("it has no DNSKEY record of the root".into()) } else { Ok(anchors) }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.len(), (found.mtime(), found.mtime_nsec())))
    };
    paths.iter().map(stamp).collect()
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("lists", &self.lists).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_ask_unless_the_file_says_who() {
        let files = Files::load(&ResolverConfig::default(), Path::new("/")).unwrap();
        let may = |files: &Files, client: &str| files.allows(client.parse().unwrap());
        assert!(may(&files, "127.0.0.1") && may(&files, "::1") && may(&files, "::ffff:127.0.0.1"));
        assert!(!may(&files, "192.168.0.1"));
        let config: ResolverConfig = toml::from_str("allow = ['192.168.0.0/16']").unwrap();
        let files = Files::load(&config, Path::new("/")).unwrap();
        assert!(may(&files, "192.168.0.1") && !may(&files, "127.0.0.1"));
    }

    #[test]
    fn a_list_is_read_again_once_it_has_changed_and_settled_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        fs::write(&path, "a.test\n").unwrap();
        let config: ResolverConfig = toml::from_str("block = ['list']").unwrap();
        let files = Files::load(&config, dir.path()).unwrap();
        let has = |name: &str| files.blocked().has(&name.parse().unwrap());
        assert!(has("a.test") && !has("bb.test"));
        fs::write(&path, "bb.test\n").unwrap();
        files.refresh();
        assert!(has("a.test"), "it may still be being written");
        files.refresh();
        assert!(!has("a.test") && has("bb.test"));
        fs::write(&path, "c..test\n").unwrap();
        files.refresh();
        files.refresh();
        assert!(has("bb.test"));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Files::load(&config, dir.path()), Err(FilesError::Unread { .. })));
    }
}
