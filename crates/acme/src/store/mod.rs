//! What has to outlive a process and be shared by nodes: a folder for each ACME server.
//!
//! ```text
//! acme/acme-v02.api.letsencrypt.org-directory/
//!   account.json                  the account's key (0600)
//!   certificates/shop.test/       cert.pem, key.pem (0600), meta.json
//!   challenges/TOKEN.json         open challenges, which any node answers
//!   lock                          who orders now, and until when (`lease.rs`)
//!   stamp                         differs after every change, so that looking for one is reading one small file
//! ```
//!
//! Nothing here relies on a lock of the file system, so the folder may be on NFS, or be synced: a file is
//! replaced whole (written beside, flushed, renamed, the folder flushed), and a reader that finds a certificate
//! beside the wrong key reads again, or takes the key that waits in `key.next.pem`.

mod certificates;
mod challenges;
mod files;
mod lease;
mod record;

pub(crate) use certificates::Mark;
pub(crate) use challenges::{OpenChallenge, Placed};
pub(crate) use lease::Lease;
pub(crate) use record::Record;

use crate::Error;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The part of the store that belongs to one ACME server. All of it blocks.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// The account at the server.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedAccount {
    /// Whom the server may write to, as it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// The key and the account's URL, in the library's own form.
    pub(crate) credentials: serde_json::Value,
}

const ACCOUNT: &str = "account.json";
const STAMP: &str = "stamp";

impl Store {
    /// The store in this folder, which is made if it is not there.
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        let store = Self { root };
        for folder in [store.certificates_dir(), store.challenges_dir()] {
            files::create_folder(&folder)?;
        }
        Ok(store)
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whatever the last change has left; it differs after each. To be read before what it speaks for.
    pub(crate) fn stamp(&self) -> Result<Option<String>, Error> {
        files::read(&self.root.join(STAMP))
    }

    /// The account, if there is one.
    pub(crate) fn account(&self) -> Result<Option<SavedAccount>, Error> {
        let path = self.root.join(ACCOUNT);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let account =
            serde_json::from_str(&text).map_err(|error| Error::content(&path, error.to_string()))?;
        Ok(Some(account))
    }

    /// Keeps the account.
    pub(crate) fn save_account(&self, account: &SavedAccount) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(account).map_err(|error| {
            let path = self.root.join(ACCOUNT);
            Error::content(&path, error.to_string())
        })?;
        files::replace(&self.root.join(ACCOUNT), &text)
    }

    /// Forgets the account: the server does not know it any more.
    pub(crate) fn forget_account(&self) -> Result<(), Error> {
        files::remove(&self.root.join(ACCOUNT))
    }

    /// Tells every node that something has changed.
    fn changed(&self) -> Result<(), Error> {
        files::replace(&self.root.join(STAMP), &files::random_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_account_is_for_its_owner_alone_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("acme/ca")).unwrap();
        assert!(store.account().unwrap().is_none());
        let account = SavedAccount { email: Some("a@b".into()), credentials: serde_json::json!({"id": "x"}) };
        store.save_account(&account).unwrap();
        let again = store.account().unwrap().unwrap();
        assert_eq!((again.email, again.credentials), (account.email, account.credentials));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.root().join(ACCOUNT)), 0o600);
        assert_eq!(mode(store.root()), 0o700);
        store.forget_account().unwrap();
        store.forget_account().unwrap();
        assert!(store.account().unwrap().is_none());
    }

    #[test]
    fn a_broken_account_file_is_told_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        std::fs::write(dir.path().join(ACCOUNT), "{").unwrap();
        assert!(matches!(store.account(), Err(Error::Content { .. })));
        assert!(dir.path().join(ACCOUNT).exists());
    }

    #[test]
    fn a_store_in_a_place_that_cannot_be_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(matches!(Store::open(dir.path().join("file/acme")), Err(Error::Store { .. })));
    }

    #[test]
    fn every_change_leaves_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        let first = store.stamp().unwrap();
        store.changed().unwrap();
        let second = store.stamp().unwrap();
        store.changed().unwrap();
        assert!(first.is_none() && second.is_some() && second != store.stamp().unwrap());
    }
}
