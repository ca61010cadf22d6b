//! With what a zone is signed: keys, times, and the records that this adds to its apex.

use super::canonical::{self, Shared};
use super::config::DenialConfig;
use super::key::Key;
use crate::error::Error;
use crate::policy::mixed;
use domain::base::iana::Rtype;
use std::sync::Arc;

/// Clocks of validators are not all right: signatures are valid since an hour ago.
const INCEPTION_BEFORE: u32 = 3600;
/// Of what remains after `refresh`, this part is taken from signatures by chance, so that they do not all end together.
const JITTER_PART: u32 = 4;

/// With what a zone is signed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In the DNSKEY RRset.
    pub(crate) published: Vec<Arc<Key>>,
    /// Those that sign the DNSKEY, CDS and CDNSKEY RRsets.
    pub(crate) key_signers: Vec<Arc<Key>>,
    /// Those that sign all else.
    pub(crate) zone_signers: Vec<Arc<Key>>,
    /// Those that the zone above is to point to (RFC 7344).
    pub(crate) entries: Vec<Arc<Key>>,
    pub(crate) denial: DenialConfig,
    pub(crate) serial: u32,
    /// Seconds since 1970.
    pub(crate) now: u32,
    pub(crate) validity: u32,
    /// Signatures that end sooner from now are made anew.
    pub(crate) refresh: u32,
}

/// A signature is the data of an RRSIG: what it covers, algorithm, labels, TTL, end, begin, tag, signer, signature.
const EXPIRATION_AT: usize = 8;
const INCEPTION_AT: usize = 12;
const TAG_AT: usize = 16;

/// When the signature in the data of an RRSIG ends.
pub(crate) fn expiration(rrsig: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(rrsig.get(EXPIRATION_AT..INCEPTION_AT)?.try_into().ok()?))
}

/// When it begins.
pub(crate) fn begin(rrsig: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(rrsig.get(INCEPTION_AT..TAG_AT)?.try_into().ok()?))
}

/// How long signatures are good, and when it is now: as in a [`Plan`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) now: u32,
    pub(crate) validity: u32,
    pub(crate) refresh: u32,
}

impl Plan {
    pub(crate) fn signers(&self, rtype: Rtype) -> &[Arc<Key>] {
        match rtype {
            Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY => &self.key_signers,
            _ => &self.zone_signers,
        }
    }

    pub(crate) fn times(&self) -> Times {
        Times { now: self.now, validity: self.validity, refresh: self.refresh }
    }

    /// The signature of an RRset at this time: [`Times::sign`].
    pub(crate) fn sign(
        &self,
        key: &Key,
        rrset: (&Shared<'_>, u8),
        signer: &[u8],
        canonical: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.times().sign(key, rrset, signer, canonical)
    }

    /// Whether a signature by this key can stay as it is.
    pub(crate) fn is_fresh(&self, key: &Key, rrsig: &[u8]) -> bool {
        let (Some(end), Some(begin)) = (expiration(rrsig), begin(rrsig)) else { return false };
        rrsig.get(2) == Some(&key.algorithm.number())
            && rrsig.get(TAG_AT..TAG_AT + 2) == Some(&key.tag().to_be_bytes())
            && self.times().is_fresh(begin, end)
    }
}

impl Times {
    /// The data of the RRSIG of an RRset that is in canonical form; `labels` are the owner's, without a wildcard's (RFC 4034 §3.1.3).
    pub(crate) fn sign(
        self,
        key: &Key,
        (shared, labels): (&Shared<'_>, u8),
        signer: &[u8],
        rrset: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut data = Vec::with_capacity(128);
        data.extend_from_slice(&shared.rtype.to_int().to_be_bytes());
        data.extend_from_slice(&[key.algorithm.number(), labels]);
        data.extend_from_slice(&shared.ttl.to_be_bytes());
        data.extend_from_slice(&self.expiration(rrset).to_be_bytes());
        data.extend_from_slice(&self.now.saturating_sub(INCEPTION_BEFORE).to_be_bytes());
        data.extend_from_slice(&key.tag().to_be_bytes());
        data.extend_from_slice(signer);
        let message = [&data, rrset].concat();
        data.extend_from_slice(&key.sign(&message).map_err(|_| Error::Sign)?);
        Ok(data)
    }

    /// When a signature of this RRset ends: not with all others.
    fn expiration(self, rrset: &[u8]) -> u32 {
        let range = (self.validity - self.refresh.min(self.validity)) / JITTER_PART;
        let hash = rrset
            .iter()
            .fold(u64::from(self.now), |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let jitter = (u128::from(mixed(hash)) * u128::from(range + 1)) >> 64;
        self.now.wrapping_add(self.validity).wrapping_sub(jitter as u32)
    }

    /// Whether a signature from then to then can stay as it is.
    pub(crate) fn is_fresh(self, begin: u32, end: u32) -> bool {
        begin <= self.now
            && end > self.now.saturating_add(self.refresh)
            // A validity that was shortened holds for what is there already.
            && end <= self.now.saturating_add(self.validity)
    }
}

/// An RRset in canonical form, of data as it is.
pub(crate) fn canonical(shared: &Shared<'_>, mut datas: Vec<Vec<u8>>) -> Vec<u8> {
    for data in &mut datas {
        canonical::data(shared.rtype, data);
    }
    let mut message = Vec::with_capacity(256);
    canonical::rrset(shared, &mut datas, &mut message);
    message
}
