//! The secret that the nodes of one file share, and what comes of it. Nothing is exchanged: each node derives the same.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use notation::{Secret, SecretError};
use thiserror::Error;

/// The shortest secret that cannot be guessed: as long as the hash that keys are derived by.
const SECRET_BYTES_MIN: usize = 32;
/// The keys of cookies are SipHash's.
const KEY_BYTES: usize = 16;

/// Why a shared secret cannot be used; it names the place, never the value.
#[derive(Debug, Error)]
pub enum SharedSecretError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SecretError),
    /// It could be guessed.
    #[error("the secret has {bytes} bytes, fewer than the {min_bytes} that cannot be guessed")]
    Weak {
        /// How long it is.
        bytes: usize,
        /// The shortest that is taken.
        min_bytes: usize,
    },
}

/// Reads the secret, which must be long enough. Its path is a whole one.
pub(crate) fn reveal(secret: &Secret) -> Result<String, SharedSecretError> {
    let revealed = secret.reveal()?;
    if revealed.len() < SECRET_BYTES_MIN {
        return Err(SharedSecretError::Weak { bytes: revealed.len(), min_bytes: SECRET_BYTES_MIN });
    }
    Ok(revealed)
}

/// The key of sticky cookies that nodes with this secret have, by HKDF (RFC 5869). The salt keeps it apart from the
/// keys of session tickets, which may come of the same secret.
pub(crate) fn sticky_key(secret: &Secret) -> Result<[u8; KEY_BYTES], SharedSecretError> {
    Ok(derived(b"nines sticky cookies", reveal(secret)?.as_bytes()))
}

/// The key of DNS cookies, which comes of that of sticky cookies: where nodes share the one, they share the other.
pub(crate) fn dns_cookie_key(sticky_key: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    derived(b"nines DNS cookies", sticky_key)
}

fn derived(salt: &[u8], secret: &[u8]) -> [u8; KEY_BYTES] {
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let mut key = [0; KEY_BYTES];
    let okm = prk.expand(&[b"key"], SipHashKey).expect("HKDF gives 8160 bytes, this asks for 16");
    okm.fill(&mut key).expect("the length asked for is the length filled");
    key
}

struct SipHashKey;

impl KeyType for SipHashKey {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_of(text: &str) -> (Secret, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (Secret::File(path), dir)
    }

    #[test]
    fn nodes_with_one_secret_have_one_key_and_others_another() {
        let (here, _a) = secret_of("0123456789abcdef0123456789abcdef");
        let (there, _b) = secret_of("0123456789abcdef0123456789abcdef\n");
        let (elsewhere, _c) = secret_of("0123456789abcdef0123456789abcdeF");
        assert_eq!(sticky_key(&here).unwrap(), sticky_key(&there).unwrap());
        assert_ne!(sticky_key(&here).unwrap(), sticky_key(&elsewhere).unwrap());
    }

    #[test]
    fn the_key_of_a_secret_stays_so_that_nodes_of_two_versions_agree() {
        let (secret, _dir) = secret_of("0123456789abcdef0123456789abcdef");
        // Computed with another HKDF.
        let key = 0xf678a6a5_fa235805_24e5e480_e4d9f7e5_u128;
        assert_eq!(sticky_key(&secret).unwrap(), key.to_be_bytes());
    }

    #[test]
    fn the_key_of_dns_cookies_is_another_and_stays() {
        let (one, other) = (dns_cookie_key(&[1; 16]), dns_cookie_key(&[2; 16]));
        assert_ne!(one, other);
        // Computed with another HKDF.
        let key = 0xa5e09179_77aef005_57850956_3a6bed9a_u128;
        assert_eq!(one, key.to_be_bytes());
    }

    #[test]
    fn a_short_secret_is_refused_by_its_length() {
        let (secret, _dir) = secret_of("0123456789abcdef0123456789abcde");
        let said = sticky_key(&secret).unwrap_err().to_string();
        assert_eq!(said, "the secret has 31 bytes, fewer than the 32 that cannot be guessed");
    }
}
