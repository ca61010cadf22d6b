//! What became of a query, for metrics and the query log.

use crate::zone::Zone;
use domain::base::iana::{Class, OptRcode, Rtype};
use std::sync::Arc;

/// What became of a query.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'z> {
    /// What kind of answer it is.
    pub kind: Kind,
    /// The RCODE, with the upper bits that EDNS carries.
    pub rcode: OptRcode,
    /// The zone that answered, if one did.
    pub zone: Option<&'z Arc<Zone>>,
    /// The type that was asked for; `None` if the question was not understood.
    pub rtype: Option<Rtype>,
    /// The class that was asked for; `None` if the question was not understood.
    pub class: Option<Class>,
    /// The client has to ask again over a stream.
    pub truncated: bool,
    /// What of the zone it was answered with, as a number: the name, or the wildcard, DNAME or cut that stands for it. 0 where
    /// nothing of the zone is the answer, so that names that are not there are all alike.
    pub about: u64,
    /// What was signed for it.
    pub signed: SignedNow,
}

/// What was signed for an answer, since it was not signed before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignedNow {
    /// How many signatures were made.
    pub made: u16,
    /// More would have been made than may be: it fails.
    pub is_refused: bool,
}

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Records of the name and type that were asked for, perhaps at the end of a chain.
    Positive,
    /// The name is there, the type is not (RFC 2308 §2.2).
    NoData,
    /// The name is not there (RFC 2308 §2.1).
    NoName,
    /// The servers of another zone.
    Referral,
    /// A chain of aliases that leads out of the zone, in a circle, or further than is followed.
    Alias,
    /// No answer about data: refused, malformed, not implemented.
    Error,
}

impl Kind {
    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::NoData => "nodata",
            Self::NoName => "nxdomain",
            Self::Referral => "referral",
            Self::Alias => "alias",
            Self::Error => "error",
        }
    }
}
