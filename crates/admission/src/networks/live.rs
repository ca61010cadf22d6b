//! A list of networks as it is now: its files are followed.

use super::config::{NetworkEntry, NetworkFile};
use super::network::Network;
use super::ranges::{Origin, Ranges};
use crate::error::Error;
use crate::followed::{self, Followed};
use arc_swap::ArcSwap;
use notation::TextOr;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A list of networks. A look-up takes no lock, and finds one state of all its files.
pub struct Networks {
    live: ArcSwap<Ranges>,
    /// The paths of entries that are files, as the configuration has them.
    files: Vec<Option<Box<Path>>>,
    parts: Mutex<Vec<Part>>,
}

/// What one entry says.
enum Part {
    Network(Network),
    File(Followed<Vec<(Network, u32)>>),
}

/// The network that an address is in, and where it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    network: Network,
    origin: Origin,
}

impl Matched {
    /// The network; of several that contain the address, the widest.
    pub fn network(&self) -> Network {
        self.network
    }
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

/// What a look at files has found.
#[derive(Debug, Default)]
#[must_use = "errors are told once"]
pub struct Refreshed {
    /// Whether anything is different now.
    pub is_changed: bool,
    /// Files that have changed and cannot be used: what they said before still holds.
    pub errors: Vec<Error>,
}

impl Refreshed {
    /// Both of them.
    pub fn and(mut self, other: Self) -> Self {
        self.is_changed |= other.is_changed;
        self.errors.extend(other.errors);
        self
    }
}

impl Networks {
    /// Compiles the entries and reads their files; paths start from `dir`.
    pub fn load(entries: &[NetworkEntry], dir: &Path) -> Result<Self, Error> {
        let part = |entry: &NetworkEntry| match entry {
            TextOr::Text(name) => Ok(Part::Network(name.parse()?)),
            TextOr::Long(NetworkFile { file }) => Followed::open(dir.join(file), read_list).map(Part::File),
        };
        let parts: Vec<Part> = entries.iter().map(part).collect::<Result<_, Error>>()?;
        let path = |entry: &NetworkEntry| match entry {
            TextOr::Text(_) => None,
            TextOr::Long(list) => Some(list.file.as_path().into()),
        };
        Ok(Self {
            live: ArcSwap::from_pointee(compile(&parts)),
            files: entries.iter().map(path).collect(),
            parts: Mutex::new(parts),
        })
    }

    /// A list with nothing in it.
    pub fn none() -> Self {
        Self { live: ArcSwap::from_pointee(Ranges::default()), files: Vec::new(), parts: Mutex::default() }
    }

    /// Whether an address is in one of the networks. An IPv4 address within IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.live.load().contains(address)
    }

    /// The network that an address is in.
    pub fn find(&self, address: IpAddr) -> Option<Matched> {
        self.live.load().find(address).map(|(network, origin)| Matched { network, origin })
    }

    /// The file and line that named a network, if it was not the configuration itself. The line is that of when
    /// the address was looked up.
    pub fn place(&self, matched: &Matched) -> Option<(&Path, u32)> {
        let path = self.files.get(matched.origin.entry as usize)?.as_deref()?;
        Some((path, matched.origin.line))
    }

    /// How many networks there are; those within others do not count.
    pub fn len(&self) -> usize {
        self.live.load().len()
    }

    /// Whether there is none at present.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks whether files have changed, and reads those that have: to be called about once a second, where
    /// reading a file may take its time. A change is read once it is the same at two calls.
    pub fn refresh(&self) -> Refreshed {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refreshed = Refreshed::default();
        for part in parts.iter_mut() {
            let Part::File(file) = part else { continue };
            match file.refresh(read_list) {
                Ok(is_changed) => refreshed.is_changed |= is_changed,
                Err(error) => refreshed.errors.push(error),
            }
        }
        if refreshed.is_changed {
            self.live.store(compile(&parts).into());
        }
        refreshed
    }
}

fn compile(parts: &[Part]) -> Ranges {
    let networks = (0..).zip(parts).flat_map(|(entry, part)| {
        let (one, many): (_, &[(Network, u32)]) = match part {
            Part::Network(network) => (Some((*network, 0)), &[]),
            Part::File(file) => (None, file.says()),
        };
        let all = one.into_iter().chain(many.iter().copied());
        all.map(move |(network, line)| (network, Origin { entry, line }))
    });
    Ranges::new(networks)
}

fn read_list(path: &Path, text: &str) -> Result<Vec<(Network, u32)>, Error> {
    let network = |(line, text): (u32, &str)| {
        // A comment may stand behind a network, too.
        let text = text.split_once('#').map_or(text, |(network, _)| network.trim_end());
        text.parse().map(|network| (network, line)).map_err(|cause: super::NotANetwork| {
            let help = cause.help().map(|help| format!(": {help}")).unwrap_or_default();
            Error::Line { path: path.to_owned(), line, cause: format!("{cause}{help}") }
        })
    };
    followed::lines(text).map(network).collect()
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks").field("len", &self.len()).finish_non_exhaustive()
    }
}
