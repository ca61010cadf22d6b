//! What is read of the store: no more than has changed.

use crate::Error;
use crate::certificate::Certificate;
use crate::store::{Mark, OpenChallenge, Record, Store};

/// What has been read of the store.
pub(super) struct Read {
    pub(super) stamp: Option<String>,
    pub(super) names: Vec<(String, Result<ReadName, Error>)>,
    pub(super) challenges: Vec<OpenChallenge>,
    pub(super) has_account: bool,
}

pub(super) struct ReadName {
    pub(super) mark: Mark,
    pub(super) certificate: Result<Option<Certificate>, Error>,
    pub(super) record: Record,
}

/// Reads all of the store that differs from what is known.
pub(super) fn read(store: &Store, known: Vec<(String, Option<Mark>)>) -> Result<Read, Error> {
    let stamp = store.stamp()?;
    let mut names = Vec::new();
    for (name, before) in known {
        match read_name(store, &name, before.as_ref()) {
            Ok(None) => {}
            Ok(Some(read)) => names.push((name, Ok(read))),
            Err(error) => names.push((name, Err(error))),
        }
    }
    // A broken account is told by the order that needs it; certificates are found without one.
    let has_account = store.account().is_ok_and(|account| account.is_some());
    Ok(Read { stamp, names, challenges: store.challenges()?, has_account })
}

/// What the store has of a name, if that is not what is known.
fn read_name(store: &Store, name: &str, known: Option<&Mark>) -> Result<Option<ReadName>, Error> {
    let mark = store.mark(name)?;
    if known == Some(&mark) {
        return Ok(None);
    }
    let certificate = match store.certificate(name) {
        Err(error @ Error::Store { .. }) => return Err(error),
        certificate => certificate,
    };
    Ok(Some(ReadName { mark, certificate, record: store.record(name)? }))
}
