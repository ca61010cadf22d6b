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
