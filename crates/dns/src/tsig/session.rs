//! A signed request and the messages of its answer: what is digested, and in which order (RFC 8945 §4.3, §5.3).

use super::FUDGE_SECONDS;
use super::key::{Key, Keys};
use super::record::{BADKEY, BADSIG, BADTIME, BADTRUNC, Malformed, TsigRecord, append, find};
use crate::protocol::Name;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::sync::Arc;

/// RFC 8945 §5.2.2.1: a signature that is cut shorter is malformed.
const MAC_BYTES_MIN: usize = 10;
/// RFC 8945 §5.3.1: messages of an answer between two that are signed.
const UNSIGNED_MAX: usize = 99;

/// One request and its answer, between those who share a key.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    key: Arc<Key>,
    /// The last signature: what is signed next includes it.
    mac: Vec<u8>,
    /// Whether a message of the answer was signed: the next ones are with less around them.
    is_begun: bool,
    /// Messages that were not signed since, as digested.
    unsigned: Vec<u8>,
    unsigned_count: usize,
}

/// A signature that is not good, with what its answer says.
#[derive(Debug, Clone)]
pub(crate) enum Unverified {
    /// FORMERR, unsigned.
    Malformed,
    /// NOTAUTH. The answer has a TSIG record that signs nothing.
    Unknown {
        /// BADKEY or BADSIG.
        error: u16,
        key: Box<Name>,
        algorithm: Box<Name>,
        time: u64,
    },
    /// NOTAUTH, and the answer is signed: BADTIME or BADTRUNC.
    Refused { session: Session, error: u16, time: u64 },
}

impl Unverified {
    pub(crate) fn error(&self) -> u16 {
        match self {
            Self::Malformed => 1,
            Self::Unknown { error, .. } | Self::Refused { error, .. } => *error,
        }
    }

    /// Adds what the answer to such a message has to tell.
    pub(crate) fn sign(self, answer: &mut Vec<u8>, now: u64) {
        let original_id = u16::from_be_bytes([answer[0], answer[1]]);
        match self {
            Self::Malformed => {}
            Self::Unknown { error, key, algorithm, time } => append(
                answer,
                &TsigRecord {
                    key: *key,
                    algorithm: *algorithm,
                    time,
                    fudge: FUDGE_SECONDS,
                    mac: &[],
                    original_id,
                    error,
                    other: &[],
                    start: 0,
                },
            ),
            // RFC 8945 §5.2.3: the time is the client's, and the server's beside it.
            Self::Refused { mut session, error: BADTIME, time } => {
                session.sign_with(answer, time, BADTIME, &now.to_be_bytes()[2..]);
            }
            Self::Refused { mut session, error, .. } => session.sign_with(answer, now, error, &[]),
        }
    }
}

/// The request has no signature (`None`), a good one, or another. Along with the session comes where the signature begins: the
/// request ends there for those who understand it, and [`unsigned`] makes it so.
pub(crate) fn verify(keys: &Keys, message: &[u8], now: u64) -> Option<Result<(Session, usize), Unverified>> {
    let record = match find(message) {
        Ok(None) => return None,
        Ok(Some(record)) => record,
        Err(Malformed) => return Some(Err(Unverified::Malformed)),
    };
    Some(judged(keys, message, &record, now))
}

fn judged(
    keys: &Keys,
    message: &[u8],
    record: &TsigRecord<'_>,
    now: u64,
) -> Result<(Session, usize), Unverified> {
    let unknown = |error| Unverified::Unknown {
        error,
        key: Box::new(record.key.clone()),
        algorithm: Box::new(record.algorithm.clone()),
        time: record.time,
    };
    let key = keys.get(&record.key).filter(|key| key.algorithm.wire_name() == record.algorithm.as_wire());
    let key = key.ok_or_else(|| unknown(BADKEY))?;
    let whole = key.algorithm.mac_bytes();
    if record.mac.len() > whole || record.mac.len() < MAC_BYTES_MIN.max(whole / 2) {
        return Err(if record.mac.is_empty() { unknown(BADSIG) } else { Unverified::Malformed });
    }
    let mut digest = hmac::Context::with_key(&key.hmac);
    digest.update(&digested(message, record));
    variables(&mut digest, record);
    let made = digest.sign();
    if verify_slices_are_equal(&made.as_ref()[..record.mac.len()], record.mac).is_err() {
        return Err(unknown(BADSIG));
    }
    let session = Session::new(key, record.mac);
    if now.abs_diff(record.time) > u64::from(record.fudge) {
        return Err(Unverified::Refused { session, error: BADTIME, time: record.time });
    }
    // RFC 8945 §5.2.4: what is cut short is known to come from the key's holder, and not taken from it.
    if record.mac.len() < whole {
        return Err(Unverified::Refused { session, error: BADTRUNC, time: record.time });
    }
    Ok((session, record.start))
}

/// The message without its signature, which begins at `start`.
pub(crate) fn unsigned(message: &[u8], start: usize) -> Vec<u8> {
    let mut bare = message[..start].to_vec();
    let count = u16::from_be_bytes([bare[10], bare[11]]).saturating_sub(1);
    bare[10..12].copy_from_slice(&count.to_be_bytes());
    bare
}

/// RFC 8945 §4.3.2: as it was before it was signed, with the identifier that it had.
fn digested(message: &[u8], record: &TsigRecord<'_>) -> Vec<u8> {
    let mut bare = unsigned(message, record.start);
    bare[..2].copy_from_slice(&record.original_id.to_be_bytes());
    bare
}

/// RFC 8945 §4.3.3.
fn variables(digest: &mut hmac::Context, record: &TsigRecord<'_>) {
    digest.update(record.key.as_wire());
    digest.update(&[0, 255, 0, 0, 0, 0]);
    digest.update(record.algorithm.as_wire());
    timers(digest, record);
    digest.update(&record.error.to_be_bytes());
    digest.update(&(record.other.len() as u16).to_be_bytes());
    digest.update(record.other);
}

fn timers(digest: &mut hmac::Context, record: &TsigRecord<'_>) {
    digest.update(&record.time.to_be_bytes()[2..]);
    digest.update(&record.fudge.to_be_bytes());
}

impl Session {
    fn new(key: &Arc<Key>, mac: &[u8]) -> Self {
        let key = Arc::clone(key);
        Self { key, mac: mac.to_vec(), is_begun: false, unsigned: Vec::new(), unsigned_count: 0 }
    }

    /// Signs a request.
    pub(crate) fn request(key: &Arc<Key>, message: &mut Vec<u8>, now: u64) -> Self {
        let mut session = Self::new(key, &[]);
        let algorithm = Name::from_wire(key.algorithm.wire_name()).expect("names of algorithms are names");
        let original_id = u16::from_be_bytes([message[0], message[1]]);
        let mut record = TsigRecord {
            key: key.name.clone(),
            algorithm,
            time: now,
            fudge: FUDGE_SECONDS,
            mac: &[],
            original_id,
            error: 0,
            other: &[],
            start: message.len(),
        };
        let mut digest = hmac::Context::with_key(&key.hmac);
        digest.update(message);
        variables(&mut digest, &record);
        session.mac = digest.sign().as_ref().to_vec();
        record.mac = &session.mac;
        append(message, &record);
        session
    }

    /// The key of both sides.
    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Signs the next message of the answer.
    pub(crate) fn sign(&mut self, answer: &mut Vec<u8>, now: u64) {
        self.sign_with(answer, now, 0, &[]);
    }

    fn sign_with(&mut self, answer: &mut Vec<u8>, time: u64, error: u16, other: &[u8]) {
        let algorithm =
            Name::from_wire(self.key.algorithm.wire_name()).expect("names of algorithms are names");
        let mut record = TsigRecord {
            key: self.key.name.clone(),
            algorithm,
            time,
            fudge: FUDGE_SECONDS,
            mac: &[],
            original_id: u16::from_be_bytes([answer[0], answer[1]]),
            error,
            other,
            start: answer.len(),
        };
        let mut digest = self.begin();
        digest.update(answer);
        if self.is_begun {
            timers(&mut digest, &record);
        } else {
            variables(&mut digest, &record);
        }
        self.mac = digest.sign().as_ref().to_vec();
        self.is_begun = true;
        record.mac = &self.mac;
        append(answer, &record);
    }

    /// RFC 8945 §4.3.1: what was signed before is part of what is signed.
    fn begin(&self) -> hmac::Context {
        let mut digest = hmac::Context::with_key(&self.key.hmac);
        digest.update(&(self.mac.len() as u16).to_be_bytes());
        digest.update(&self.mac);
        digest
    }

    /// Checks the next message of the answer to a request of ours. `Ok(true)`: it was signed; `Ok(false)`: a later one has to be.
    /// `Err` says what is wrong.
    pub(crate) fn verify_answer(&mut self, message: &[u8], now: u64) -> Result<bool, &'static str> {
        let record = find(message).map_err(|Malformed| "its TSIG record is malformed")?;
        let Some(record) = record else {
            if !self.is_begun {
                return Err("it is not signed");
            }
            self.unsigned_count += 1;
            if self.unsigned_count > UNSIGNED_MAX {
                return Err("too many messages in a row are not signed");
            }
            self.unsigned.extend_from_slice(message);
            return Ok(false);
        };
        if record.key != self.key.name || record.algorithm.as_wire() != self.key.algorithm.wire_name() {
            return Err("it is signed with another key");
        }
        match record.error {
            BADKEY => return Err("the other side does not know the key (BADKEY)"),
            BADSIG => return Err("the other side has another secret (BADSIG)"),
            BADTIME => return Err("the clocks of both sides differ (BADTIME)"),
            _ => {}
        }
        if record.mac.len() != self.key.algorithm.mac_bytes() {
            return Err("its signature has another length");
        }
        let mut digest = self.begin();
        digest.update(&self.unsigned);
        digest.update(&digested(message, &record));
        if self.is_begun {
            timers(&mut digest, &record);
        } else {
            variables(&mut digest, &record);
        }
        verify_slices_are_equal(digest.sign().as_ref(), record.mac).map_err(|_| "its signature is wrong")?;
        if now.abs_diff(record.time) > u64::from(record.fudge) {
            return Err("it was signed at another time");
        }
        self.mac = record.mac.to_vec();
        self.is_begun = true;
        self.unsigned.clear();
        self.unsigned_count = 0;
        Ok(true)
    }

    /// Whether all that came so far is signed: the last message of an answer is.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_begun && self.unsigned_count == 0
    }
}
