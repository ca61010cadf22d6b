//! `allow` and `deny` of one place.

use super::config::NetworkEntry;
use super::live::{Matched, Networks, Refreshed};
use crate::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

/// Who may come: whoever is denied may not, whatever `allow` says; with an `allow`, nobody else may.
#[derive(Debug)]
pub struct Access {
    allow: Option<Networks>,
    deny: Networks,
}

/// Why an address may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is in a network of `deny`.
    Listed(Matched),
    /// There is an `allow`, and it is in none of its networks.
    NotAllowed,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(matched) => write!(f, "denied by {matched}"),
            Self::NotAllowed => f.write_str("not in allow"),
        }
    }
}

impl Access {
    /// Compiles both lists and reads their files; paths start from `dir`.
    pub fn load(allow: Option<&[NetworkEntry]>, deny: &[NetworkEntry], dir: &Path) -> Result<Self, Error> {
        let allow = allow.map(|entries| Networks::load(entries, dir)).transpose()?;
        Ok(Self { allow, deny: Networks::load(deny, dir)? })
    }

    /// Everybody may come.
    pub fn open() -> Self {
        Self { allow: None, deny: Networks::none() }
    }

    /// Whether an address may come.
    pub fn judge(&self, address: IpAddr) -> Result<(), Denied> {
        if let Some(matched) = self.deny.find(address) {
            return Err(Denied::Listed(matched));
        }
        match &self.allow {
            Some(allow) if !allow.contains(address) => Err(Denied::NotAllowed),
            _ => Ok(()),
        }
    }

    /// What let an address pass or turned it away, for whoever asks: `denied by 203.0.113.0/24 (lists/deny.txt,
    /// line 7)`, `allowed by 10.0.0.0/8`; `None` where it passed because nothing speaks against it.
    pub fn explain(&self, address: IpAddr) -> Option<String> {
        let told = |list: &Networks, word: &str, matched: &Matched| match list.place(matched) {
            Some((path, line)) => format!("{word} by {matched} ({}, line {line})", path.display()),
            None => format!("{word} by {matched}"),
        };
        if let Some(matched) = self.deny.find(address) {
            return Some(told(&self.deny, "denied", &matched));
        }
        let allow = self.allow.as_ref()?;
        Some(match allow.find(address) {
            Some(matched) => told(allow, "allowed", &matched),
            None => Denied::NotAllowed.to_string(),
        })
    }

    /// Looks after the files of both lists: [`Networks::refresh`].
    pub fn refresh(&self) -> Refreshed {
        let allow = self.allow.as_ref().map(Networks::refresh).unwrap_or_default();
        allow.and(self.deny.refresh())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notation::{Name, TextOr};

    fn entries(texts: &[&str]) -> Vec<NetworkEntry> {
        texts.iter().map(|text| TextOr::Text(Name::new(*text))).collect()
    }

    fn access(allow: Option<&[&str]>, deny: &[&str]) -> Access {
        let allow = allow.map(entries);
        Access::load(allow.as_deref(), &entries(deny), Path::new(".")).unwrap()
    }

    fn judged(access: &Access, address: &str) -> String {
        match access.judge(address.parse().unwrap()) {
            Ok(()) => "comes".into(),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn deny_wins_and_allow_lets_nobody_else_in() {
        let both = access(Some(&["10.0.0.0/8"]), &["10.1.0.0/16"]);
        assert_eq!(judged(&both, "10.0.0.1"), "comes");
        assert_eq!(judged(&both, "10.1.0.1"), "denied by 10.1.0.0/16");
        assert_eq!(judged(&both, "::ffff:10.1.0.1"), "denied by 10.1.0.0/16");
        assert_eq!(judged(&both, "192.0.2.1"), "not in allow");
        assert_eq!(judged(&access(None, &["10.0.0.0/8"]), "192.0.2.1"), "comes");
        assert_eq!(judged(&Access::open(), "192.0.2.1"), "comes");
    }

    #[test]
    fn whoever_asks_is_told_which_entry_has_decided() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("deny.txt"), "\n203.0.113.0/24\n").unwrap();
        let deny = [TextOr::Long(crate::NetworkFile { file: "deny.txt".into() })];
        let access = Access::load(Some(&entries(&["10.0.0.0/8"])), &deny, dir.path()).unwrap();
        let explain = |address: &str| access.explain(address.parse().unwrap());
        assert_eq!(explain("203.0.113.9").unwrap(), "denied by 203.0.113.0/24 (deny.txt, line 2)");
        assert_eq!(explain("10.0.0.1").unwrap(), "allowed by 10.0.0.0/8");
        assert_eq!(explain("192.0.2.1").unwrap(), "not in allow");
        assert_eq!(Access::open().explain("192.0.2.1".parse().unwrap()), None);
    }

    #[test]
    fn the_files_of_both_lists_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| vec![TextOr::Long(crate::NetworkFile { file: name.into() })];
        for name in ["allow.txt", "deny.txt"] {
            std::fs::write(dir.path().join(name), "10.0.0.0/8\n").unwrap();
        }
        let access = Access::load(Some(&file("allow.txt")), &file("deny.txt"), dir.path()).unwrap();
        assert_eq!(judged(&access, "10.0.0.1"), "denied by 10.0.0.0/8");
        std::fs::write(dir.path().join("deny.txt"), "").unwrap();
        std::fs::write(dir.path().join("allow.txt"), "nonsense").unwrap();
        let refreshed = access.refresh().and(access.refresh());
        assert_eq!((refreshed.is_changed, refreshed.errors.len()), (true, 1));
        assert_eq!(judged(&access, "10.0.0.1"), "comes");
    }
}
