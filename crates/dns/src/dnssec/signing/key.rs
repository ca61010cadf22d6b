//! A key of a zone: what it signs with, and what others see of it.

use super::config::Algorithm;
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use std::fmt;

/// RFC 4034 §2.1.1: a key of the zone.
const ZONE: u16 = 0x0100;
/// RFC 4034 §2.1.1: the zone above points to it.
const ENTRY: u16 = 0x0001;
/// RFC 4034 §2.1.2.
const PROTOCOL: u8 = 3;
/// RFC 8624 §3.3: SHA-256.
const DIGEST: u8 = 2;
/// RFC 6605 §2: SHA-384.
const DIGEST_384: u8 = 4;
/// A point without compression begins so (SEC 1); in DNS it does not (RFC 6605 §4).
const UNCOMPRESSED: u8 = 4;

/// A key of a zone.
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    flags: u16,
    pair: Pair,
    /// As it stands in a DNSKEY.
    public: Vec<u8>,
    tag: u16,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// Makes a key, which the zone above points to or not.
    pub(crate) fn generate(algorithm: Algorithm, is_entry: bool) -> Result<Self, Unspecified> {
        let pair = match algorithm {
            Algorithm::EcdsaP256 => Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            Algorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate()?),
        };
        Ok(Self::of(algorithm, ZONE | if is_entry { ENTRY } else { 0 }, pair))
    }

    /// The key of these parts, which belong together.
    pub(crate) fn from_parts(
        algorithm: Algorithm,
        flags: u16,
        private: &[u8],
        public: &[u8],
    ) -> Result<Self, KeyRejected> {
        let pair = match algorithm {
            Algorithm::EcdsaP256 => {
                let point = [&[UNCOMPRESSED], public].concat();
                let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Pair::P256(EcdsaKeyPair::from_private_key_and_public_key(scheme, private, &point)?)
            }
            Algorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(private, public)?),
        };
        Ok(Self::of(algorithm, flags, pair))
    }

    fn of(algorithm: Algorithm, flags: u16, pair: Pair) -> Self {
        let public = match &pair {
            Pair::P256(pair) => pair.public_key().as_ref()[1..].to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        };
        let mut key = Self { algorithm, flags, pair, public, tag: 0 };
        key.tag = tag(&key.dnskey());
        key
    }

    /// The data of its DNSKEY, and of its CDNSKEY.
    pub(crate) fn dnskey(&self) -> Vec<u8> {
        let mut data = self.flags.to_be_bytes().to_vec();
        data.extend_from_slice(&[PROTOCOL, self.algorithm.number()]);
        data.extend_from_slice(&self.public);
        data
    }

    /// The data of the DS that the zone above has for it (RFC 4034 §5.1.4), and of its CDS. The owner is in wire form and lower-cased.
    pub(crate) fn ds(&self, owner: &[u8]) -> Vec<u8> {
        let mut data = self.tag.to_be_bytes().to_vec();
        data.extend_from_slice(&[self.algorithm.number(), DIGEST]);
        data.extend_from_slice(digest(&SHA256, &[owner, &self.dnskey()].concat()).as_ref());
        data
    }

    /// Whether this is the data of a DS for it, whichever digest that has. The owner is in wire form and lower-cased.
    pub(crate) fn is_named_by(&self, ds: &[u8], owner: &[u8]) -> bool {
        let Some((head, hash)) = ds.split_first_chunk::<4>() else { return false };
        if head[..2] != self.tag.to_be_bytes() || head[2] != self.algorithm.number() {
            return false;
        }
        let algorithm = match head[3] {
            DIGEST => &SHA256,
            DIGEST_384 => &SHA384,
            // RFC 8624 §3.3: nobody makes others any more.
            _ => return false,
        };
        digest(algorithm, &[owner, &self.dnskey()].concat()).as_ref() == hash
    }

    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }

    pub(crate) fn flags(&self) -> u16 {
        self.flags
    }

    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether the zone above points to it.
    pub(crate) fn is_entry(&self) -> bool {
        self.flags & ENTRY != 0
    }

    /// What must stay here.
    pub(crate) fn private(&self) -> Result<Vec<u8>, Unspecified> {
        Ok(match &self.pair {
            Pair::P256(pair) => pair.private_key().as_be_bytes()?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.seed()?.as_be_bytes()?.as_ref().to_vec(),
        })
    }

    /// The signature of these octets: 64 octets with either algorithm.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        Ok(match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(message)?.as_ref().to_vec(),
        })
    }
}

/// Nothing of the private half.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({} {})", self.algorithm.number(), self.tag)
    }
}

impl Algorithm {
    /// As DNSSEC numbers it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::EcdsaP256 => 13,
            Self::Ed25519 => 15,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        [Self::EcdsaP256, Self::Ed25519].into_iter().find(|algorithm| algorithm.number() == number)
    }
}

/// RFC 4034, Appendix B.
fn tag(dnskey: &[u8]) -> u16 {
    let sum = dnskey.iter().enumerate().fold(0u32, |sum, (at, byte)| {
        sum + if at % 2 == 0 { u32::from(*byte) << 8 } else { u32::from(*byte) }
    });
    (sum + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::utils::base64;

    /// RFC 6605 §6.1.
    #[test]
    fn a_key_of_p256_is_what_the_rfc_makes_of_it() {
        let private = base64::decode::<Vec<u8>>("GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=").unwrap();
        let public = base64::decode::<Vec<u8>>(
            "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        )
        .unwrap();
        let key = Key::from_parts(Algorithm::EcdsaP256, 257, &private, &public).unwrap();
        assert_eq!(key.tag(), 55648);
        assert_eq!(key.private().unwrap(), private);
        assert!(key.is_entry());
        let ds = key.ds(b"\x07example\x03net\0");
        assert_eq!(ds[..4], [0xd9, 0x60, 13, 2]);
        let hex: String = ds[4..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17");
        let owner = b"\x07example\x03net\0";
        let of_384 = digest(&SHA384, &[&owner[..], &key.dnskey()].concat());
        let ds_384 = [&[0xd9, 0x60, 13, 4], of_384.as_ref()].concat();
        assert!(key.is_named_by(&ds, owner) && key.is_named_by(&ds_384, owner));
        assert!(!key.is_named_by(&ds, b"\x07example\x03com\0"));
        for at in 0..ds.len() {
            let mut other = ds.clone();
            other[at] ^= 1;
            assert!(!key.is_named_by(&other, owner) && !key.is_named_by(&ds[..at], owner));
        }
        let mut wrong = public;
        wrong[0] ^= 1;
        assert!(Key::from_parts(Algorithm::EcdsaP256, 257, &private, &wrong).is_err());
    }

    /// RFC 8080 §6.1.
    #[test]
    fn a_key_of_ed25519_is_what_the_rfc_makes_of_it() {
        let private = base64::decode::<Vec<u8>>("ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=").unwrap();
        let public = base64::decode::<Vec<u8>>("l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=").unwrap();
        let key = Key::from_parts(Algorithm::Ed25519, 257, &private, &public).unwrap();
        assert_eq!(key.tag(), 3613);
        let hex: String =
            key.ds(b"\x07example\x03com\0")[4..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b");
    }

    #[test]
    fn a_key_that_is_made_signs_and_is_the_same_again_from_its_parts() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
        for (algorithm, is_entry) in [(Algorithm::EcdsaP256, true), (Algorithm::Ed25519, false)] {
            let key = Key::generate(algorithm, is_entry).unwrap();
            let again =
                Key::from_parts(algorithm, key.flags(), &key.private().unwrap(), key.public()).unwrap();
            assert_eq!((again.tag(), again.is_entry(), again.dnskey()), (key.tag(), is_entry, key.dnskey()));
            let signature = again.sign(b"text").unwrap();
            assert_eq!(signature.len(), 64);
            let verified = match algorithm {
                Algorithm::EcdsaP256 => {
                    let point = [&[UNCOMPRESSED], key.public()].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(b"text", &signature)
                }
                Algorithm::Ed25519 => {
                    UnparsedPublicKey::new(&ED25519, key.public()).verify(b"text", &signature)
                }
            };
            assert!(verified.is_ok());
        }
    }
}
