//! Certificates: `cert.pem` is what counts, and the key that fits it is in `key.pem` or still in `key.next.pem`.
//!
//! A new pair is put in place in three steps: the key as `key.next.pem`, the chain as `cert.pem`, the key as
//! `key.pem`. Whoever is killed between them leaves a pair that fits.

use super::{Store, files};
use crate::Error;
use crate::certificate::Certificate;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";
const KEY_NEXT: &str = "key.next.pem";

/// Tries to read a pair that another node is just replacing.
const READS_MAX: u32 = 3;

/// Which files of a name there are: another one after every change, as a file is replaced and not written into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark(Vec<Option<(u64, i64, i64, u64)>>);

impl Store {
    pub(super) fn certificates_dir(&self) -> PathBuf {
        self.root.join("certificates")
    }

    /// The folder of one name, which has passed [`crate::check_name`].
    pub(super) fn folder_of(&self, name: &str) -> PathBuf {
        self.certificates_dir().join(name)
    }

    /// The certificate of this name, if there is one.
    pub(crate) fn certificate(&self, name: &str) -> Result<Option<Certificate>, Error> {
        let folder = self.folder_of(name);
        let mut misfit = String::new();
        for _ in 0..READS_MAX {
            let Some(chain) = files::read(&folder.join(CERT))? else { return Ok(None) };
            for key in [KEY, KEY_NEXT] {
                let Some(key) = files::read(&folder.join(key))? else { continue };
                match Certificate::new(name, &chain, &key) {
                    Ok(certificate) => return Ok(Some(certificate)),
                    Err(reason) => misfit = reason,
                }
            }
        }
        if misfit.is_empty() {
            misfit = "no key beside it".into();
        }
        Err(Error::content(&folder.join(CERT), misfit))
    }

    /// What there is of this name, without reading it.
    pub(crate) fn mark(&self, name: &str) -> Result<Mark, Error> {
        let folder = self.folder_of(name);
        let mark = |file| {
            let path = folder.join(file);
            match fs::metadata(&path) {
                Ok(data) => Ok(Some((data.ino(), data.mtime(), data.mtime_nsec(), data.len()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::store(&path)(error)),
            }
        };
        Ok(Mark([CERT, KEY, KEY_NEXT, super::record::META].into_iter().map(mark).collect::<Result<_, _>>()?))
    }

    /// Keeps a new certificate and its key, and tells every node.
    pub(crate) fn save_certificate(&self, name: &str, chain_pem: &str, key_pem: &str) -> Result<(), Error> {
        let folder = self.folder_of(name);
        files::create_folder(&folder)?;
        files::replace(&folder.join(KEY_NEXT), key_pem)?;
        files::replace(&folder.join(CERT), chain_pem)?;
        files::rename(&folder.join(KEY_NEXT), &folder.join(KEY))?;
        self.changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn made(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (made.pem(), key.serialize_pem())
    }

    fn leaf(store: &Store) -> Vec<u8> {
        store.certificate("shop.test").unwrap().unwrap().certified.cert[0].to_vec()
    }

    #[test]
    fn a_certificate_comes_back_and_its_key_is_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        assert!(store.certificate("shop.test").unwrap().is_none());
        let before = store.stamp().unwrap();
        let (chain, key) = made("shop.test");
        store.save_certificate("shop.test", &chain, &key).unwrap();
        assert!(store.certificate("shop.test").unwrap().is_some());
        assert_ne!(store.stamp().unwrap(), before);
        let folder = store.folder_of("shop.test");
        assert_eq!(fs::metadata(folder.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [CERT, KEY]);
    }

    #[test]
    fn a_kill_between_any_two_steps_leaves_a_pair_that_fits() {
        let (old, new) = (made("shop.test"), made("shop.test"));
        for steps in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path().into()).unwrap();
            store.save_certificate("shop.test", &old.0, &old.1).unwrap();
            let old_leaf = leaf(&store);
            let folder = store.folder_of("shop.test");
            if steps >= 1 {
                files::replace(&folder.join(KEY_NEXT), &new.1).unwrap();
            }
            if steps >= 2 {
                files::replace(&folder.join(CERT), &new.0).unwrap();
            }
            if steps >= 3 {
                files::rename(&folder.join(KEY_NEXT), &folder.join(KEY)).unwrap();
            }
            assert_eq!(leaf(&store) == old_leaf, steps < 2, "after {steps} steps");
            // And the next one takes its place as if nothing had happened.
            let third = made("shop.test");
            store.save_certificate("shop.test", &third.0, &third.1).unwrap();
            assert_ne!(leaf(&store), old_leaf);
            assert!(!folder.join(KEY_NEXT).exists());
        }
    }

    #[test]
    fn a_pair_that_does_not_fit_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        let ((chain, key), (_, other_key)) = (made("shop.test"), made("shop.test"));
        store.save_certificate("shop.test", &chain, &other_key).unwrap();
        let error = store.certificate("shop.test").unwrap_err().to_string();
        assert!(error.ends_with("shop.test/cert.pem: the key is not the certificate's"), "{error}");
        fs::remove_file(store.folder_of("shop.test").join(KEY)).unwrap();
        let error = store.certificate("shop.test").unwrap_err().to_string();
        assert!(error.ends_with("no key beside it"), "{error}");
        store.save_certificate("shop.test", &chain, &key).unwrap();
        assert!(store.certificate("shop.test").is_ok());
    }
}
