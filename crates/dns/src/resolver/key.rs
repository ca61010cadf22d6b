//! What an answer is kept under.

use crate::policy::mixed;
use crate::protocol::{ClientSubnet, Name};
use crate::zone::hash::{Hash, Key as NameKey};
use std::net::IpAddr;

/// What was asked, as far as answers differ by it. The class is IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// In wire form, in small letters.
    pub(crate) name: Box<[u8]>,
    pub(crate) asked: Asked,
    hash: u64,
}

/// All of it but the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) rtype: u16,
    /// With the records of DNSSEC (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// Whoever asks validates by itself (RFC 4035 §3.2.2).
    pub(crate) checking_disabled: bool,
    /// The clients that it is for, if not all.
    pub(crate) subnet: Option<Subnet>,
}

/// A network of clients (RFC 7871), cut to what is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subnet {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

/// RFC 7871 §11.1: no more than this is told of anybody.
const PREFIX_V4_MAX: u8 = 24;
const PREFIX_V6_MAX: u8 = 56;

impl Subnet {
    /// The part of a client's subnet that is told; `None` where the client wants nothing told.
    pub(crate) fn told(subnet: ClientSubnet) -> Option<Self> {
        let ClientSubnet { address, prefix } = subnet;
        let (address, prefix) = match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(PREFIX_V4_MAX);
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                (IpAddr::V4((u32::from(v4) & mask).into()), prefix)
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(PREFIX_V6_MAX);
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                (IpAddr::V6((u128::from(v6) & mask).into()), prefix)
            }
        };
        (prefix > 0).then_some(Self { address, prefix })
    }

    fn number(self) -> u64 {
        let address = match self.address {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
        };
        mixed(address ^ u64::from(self.prefix))
    }
}

impl Asked {
    fn number(self) -> u64 {
        let flags = u64::from(self.dnssec_ok) << 16 | u64::from(self.checking_disabled) << 17;
        mixed(u64::from(self.rtype) | flags | 1 << 18) ^ self.subnet.map_or(0, Subnet::number)
    }

    /// What an answer to this is found by, under a name with this hash.
    #[inline]
    pub(crate) fn hash(self, name: Hash) -> u64 {
        mixed(name.whole() ^ self.number())
    }
}

impl Key {
    pub(crate) fn new(name: &Name, asked: Asked) -> Self {
        let hash = asked.hash(NameKey::of_process().name(name));
        Self { name: name.as_wire().into(), asked, hash }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The same for other clients.
    pub(crate) fn for_subnet(&self, subnet: Option<Subnet>) -> Self {
        let name = Name::from_wire(&self.name).expect("a name in wire form");
        Self::new(&name, Asked { subnet, ..self.asked })
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
