//! How ordering for a name has gone: `meta.json` beside its certificate. It is shared as well, so that neither
//! another node nor the next process asks a server that has just said no.

use super::{Store, files};
use crate::Error;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(super) const META: &str = "meta.json";

/// What is remembered of a name's orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// When the certificate was ordered, in seconds of the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ordered_unix_s: Option<u64>,
    /// Which node ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ordered_by: Option<String>,
    /// Orders that failed since.
    pub(crate) failures: u32,
    /// Before this, in seconds of the Unix epoch, nothing is ordered for the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_try_unix_s: Option<u64>,
    /// Why the last order failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

impl Store {
    fn record_path(&self, name: &str) -> PathBuf {
        self.folder_of(name).join(META)
    }

    /// What is remembered of a name. A broken file is as good as none: it holds nothing that cannot be learnt
    /// again.
    pub(crate) fn record(&self, name: &str) -> Result<Record, Error> {
        let text = files::read(&self.record_path(name))?.unwrap_or_default();
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Remembers it, and tells every node.
    pub(crate) fn save_record(&self, name: &str, record: &Record) -> Result<(), Error> {
        let path = self.record_path(name);
        let text =
            serde_json::to_string_pretty(record).map_err(|error| Error::content(&path, error.to_string()))?;
        files::create_folder(&self.folder_of(name))?;
        files::replace(&path, &text)?;
        self.changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_broken_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        assert_eq!(store.record("shop.test").unwrap(), Record::default());
        let record = Record {
            failures: 3,
            next_try_unix_s: Some(7),
            last_error: Some("no".into()),
            ..Record::default()
        };
        store.save_record("shop.test", &record).unwrap();
        assert_eq!(store.record("shop.test").unwrap(), record);
        std::fs::write(store.record_path("shop.test"), "{").unwrap();
        assert_eq!(store.record("shop.test").unwrap(), Record::default());
    }
}
