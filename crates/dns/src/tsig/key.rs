//! Secrets by name.

use crate::protocol::{Name, NameError};
use aws_lc_rs::hmac;
use domain::utils::base64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The shortest secret that cannot be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// How messages are signed. MD5 and SHA-1 are not among them: whatever speaks TSIG has SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// With SHA-256: what everybody has.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// With SHA-384.
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    /// With SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

impl Algorithm {
    /// Its name in messages (RFC 8945 §6).
    pub(crate) fn wire_name(self) -> &'static [u8] {
        match self {
            Self::HmacSha256 => b"\x0bhmac-sha256\0",
            Self::HmacSha384 => b"\x0bhmac-sha384\0",
            Self::HmacSha512 => b"\x0bhmac-sha512\0",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }

    /// Octets of a whole signature.
    pub(crate) fn mac_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

/// A secret with its name, which both sides have.
pub struct Key {
    pub(crate) name: Name,
    pub(crate) algorithm: Algorithm,
    pub(super) hmac: hmac::Key,
    /// Tells keys with other secrets apart.
    fingerprint: [u8; 32],
}

/// Why something is no key. It never tells the secret.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Keys have names of DNS.
    #[error("its name is none: {0}")]
    Name(#[from] NameError),
    /// Key files have secrets in base 64.
    #[error("its secret is not base 64")]
    Base64,
    /// It could be guessed.
    #[error("its secret has {0} bytes, fewer than the {SECRET_BYTES_MIN} that cannot be guessed")]
    Short(usize),
}

impl Key {
    /// A key whose secret is written in base 64.
    ///
    /// # Errors
    /// When name or secret is none, or the secret is short.
    pub fn new(name: &str, algorithm: Algorithm, secret: &str) -> Result<Self, KeyError> {
        let words: String = secret.split_whitespace().collect();
        let secret: Vec<u8> = base64::decode(&words).map_err(|_| KeyError::Base64)?;
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::Short(secret.len()));
        }
        let hmac = hmac::Key::new(algorithm.hmac(), &secret);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&hmac::sign(&hmac, b"fingerprint").as_ref()[..32]);
        Ok(Self { name: name.parse()?, algorithm, hmac, fingerprint })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.algorithm == other.algorithm && self.fingerprint == other.fingerprint
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.name)
    }
}

/// All keys of a file.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// These keys.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        Self(keys.into_iter().map(Arc::new).collect())
    }

    /// The key of this name.
    pub(crate) fn get(&self, name: &Name) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.name == *name)
    }

    /// The key that the file calls so.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Key>> {
        self.get(&name.parse().ok()?)
    }
}
