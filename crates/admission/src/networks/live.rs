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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A list of one file, and a network beside it.
    struct World {
        dir: tempfile::TempDir,
        path: PathBuf,
        networks: Networks,
    }

    fn world(text: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deny.txt");
        std::fs::write(&path, text).unwrap();
        let networks = load(dir.path()).unwrap();
        World { dir, path, networks }
    }

    fn load(dir: &Path) -> Result<Networks, Error> {
        #[derive(serde::Deserialize)]
        struct Place {
            deny: Vec<NetworkEntry>,
        }
        let place: Place = toml::from_str("deny = [\"192.0.2.0/24\", { file = \"deny.txt\" }]").unwrap();
        Networks::load(&place.deny, dir)
    }

    impl World {
        fn has(&self, address: &str) -> bool {
            self.networks.contains(address.parse().unwrap())
        }

        /// Looks twice: a file is read once it stays the same.
        fn refresh(&self) -> Refreshed {
            self.networks.refresh().and(self.networks.refresh())
        }
    }

    #[test]
    fn a_file_has_a_network_a_line_and_comments() {
        let world = world("\u{feff}# bad ones\r\n\r\n 10.0.0.0/8 # all of it\r\n2001:db8::/32\n");
        for (address, expected) in [
            ("10.1.2.3", true),
            ("2001:db8::1", true),
            ("192.0.2.9", true),
            ("::ffff:10.1.1.1", true),
            ("11.0.0.1", false),
        ] {
            assert_eq!(world.has(address), expected, "{address}");
        }
        assert_eq!(world.networks.len(), 3);
        let matched = world.networks.find("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(matched.to_string(), "2001:db8::/32");
        assert_eq!(world.networks.place(&matched), Some((Path::new("deny.txt"), 4)));
        let matched = world.networks.find("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(world.networks.place(&matched), None, "it stands in the configuration");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_line() {
        let world = world("");
        for (text, cause) in [
            (
                "10.0.0.0/8\n\n10.0.0.1/8\n",
                ", line 3: \"10.0.0.1/8\" has bits set behind its prefix: the network is \"10.0.0.0/8\"",
            ),
            (
                "nonsense",
                ", line 1: \"nonsense\" is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"",
            ),
        ] {
            std::fs::write(&world.path, text).unwrap();
            let error = load(world.dir.path()).unwrap_err();
            assert_eq!(error.to_string(), format!("{}{cause}", world.path.display()));
        }
        std::fs::write(&world.path, b"10.0.0.0/8 # caf\xe9").unwrap();
        assert!(matches!(load(world.dir.path()), Err(Error::NotText { .. })));
        std::fs::remove_file(&world.path).unwrap();
        assert!(matches!(load(world.dir.path()), Err(Error::Io { .. })));
        std::os::unix::fs::symlink("/dev/zero", &world.path).unwrap();
        assert!(
            matches!(load(world.dir.path()), Err(Error::TooLong { .. })),
            "a file without end is not read to it"
        );
    }

    #[test]
    fn a_changed_file_is_read_again_once_it_stays_the_same() {
        let world = world("10.0.0.0/8");
        assert!(!world.refresh().is_changed);
        std::fs::write(&world.path, "11.0.0.0/8\n").unwrap();
        assert!(!world.networks.refresh().is_changed, "somebody may be writing it");
        assert!(world.has("10.0.0.1"));
        assert!(world.networks.refresh().is_changed);
        assert_eq!(
            (world.has("10.0.0.1"), world.has("11.0.0.1"), world.has("192.0.2.1")),
            (false, true, true)
        );
        assert!(!world.refresh().is_changed);
    }

    #[test]
    fn a_broken_file_changes_nothing_and_is_told_once() {
        let world = world("10.0.0.0/8");
        std::fs::write(&world.path, "10.0.0.0/8\nnonsense").unwrap();
        let refreshed = world.refresh();
        assert_eq!((refreshed.is_changed, refreshed.errors.len()), (false, 1));
        assert!(refreshed.errors[0].to_string().contains("line 2"), "{}", refreshed.errors[0]);
        assert_eq!(world.refresh().errors.len(), 0, "told once");
        assert!(world.has("10.0.0.1"));
        std::fs::remove_file(&world.path).unwrap();
        assert_eq!(world.refresh().errors.len(), 1, "it is gone");
        assert!(world.has("10.0.0.1"));
        std::fs::write(&world.path, "11.0.0.0/8").unwrap();
        assert!(world.refresh().is_changed);
        assert!(world.has("11.0.0.1"));
    }

    #[test]
    fn a_list_with_nothing_in_it_has_nobody() {
        let networks = Networks::none();
        assert!(networks.is_empty() && !networks.contains("10.0.0.1".parse().unwrap()));
        assert!(!networks.refresh().is_changed);
    }
}
