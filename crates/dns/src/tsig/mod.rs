//! TSIG (RFC 8945): a message is known to come from who shares a secret, and to be what was sent. Pure: time comes from outside.
//!
//! Who answers begins with [`verify`], which finds the signature, judges it, and gives a [`Session`] that signs each message of the answer.
//! Who asks signs with [`Session::request`], and checks each message that comes with [`Session::verify_answer`].

mod key;
mod record;
mod session;
#[cfg(test)]
mod tests;

pub use key::{Algorithm, Key, KeyError, Keys};
pub(crate) use record::RECORD_BYTES_MAX;
pub(crate) use session::{Session, Unverified, unsigned, verify};

/// Seconds by which clocks may differ (RFC 8945 §10 recommends it).
pub(crate) const FUDGE_SECONDS: u16 = 300;

/// Judges the signature of any message, as clients' are: for tests from outside.
///
/// `None`: it has none. `Err`: the error number of RFC 8945 §3 that it is answered with, or FORMERR (1).
pub fn judge(keys: &Keys, message: &[u8], now: u64) -> Option<Result<(), u16>> {
    verify(keys, message, now).map(|judged| judged.map(drop).map_err(|unverified| unverified.error()))
}
