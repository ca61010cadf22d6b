//! Who may change which records.

use super::request::Change;
use crate::policy::name_in;
use crate::protocol::{Name, NameError};
use crate::transfer::Access;
use domain::base::iana::Rtype;
use std::net::IpAddr;

/// What signers make, and nobody else.
pub(crate) const OF_SIGNERS: [Rtype; 4] = [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::NSEC3PARAM];

/// What one key may change.
#[derive(Debug, Clone)]
pub(crate) struct UpdateRule {
    pub(crate) access: Access,
    /// Names; all of the zone, if there is none.
    pub(crate) names: Vec<Pattern>,
    /// Types; all, if there is none.
    pub(crate) types: Vec<Rtype>,
    is_for_anybody: bool,
}

/// Names of a zone.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// This name.
    Name(Name),
    /// All names below this one.
    Below(Name),
}

/// All rules of a zone.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpdateRules(pub(crate) Vec<UpdateRule>);

impl UpdateRule {
    pub(crate) fn new(access: Access, names: Vec<Pattern>, types: Vec<Rtype>) -> Self {
        Self { access, names, types, is_for_anybody: false }
    }

    pub(super) fn for_anybody() -> Self {
        Self { is_for_anybody: true, ..Self::new(Access::default(), Vec::new(), Vec::new()) }
    }

    fn is_for(&self, client: IpAddr, key: Option<&Name>) -> bool {
        self.is_for_anybody || self.access.allows(client, key)
    }

    fn allows(&self, name: &Name, rtype: Option<Rtype>) -> bool {
        let is_name = self.names.is_empty() || self.names.iter().any(|pattern| pattern.has(name));
        let is_type = match rtype {
            Some(rtype) => {
                !OF_SIGNERS.contains(&rtype) && (self.types.is_empty() || self.types.contains(&rtype))
            }
            // All types at once.
            None => self.types.is_empty(),
        };
        is_name && is_type
    }
}

impl Pattern {
    /// Of a text that is relative to a zone.
    pub(crate) fn parse(text: &str, apex: &Name) -> Result<Self, NameError> {
        match text.strip_prefix("*.") {
            Some(below) => name_in(below, apex).map(Self::Below),
            None if text == "*" => Ok(Self::Below(apex.clone())),
            None => name_in(text, apex).map(Self::Name),
        }
    }

    /// Whether all it stands for is in a zone.
    pub(crate) fn is_within(&self, apex: &Name) -> bool {
        let (Self::Name(name) | Self::Below(name)) = self;
        name.is_within(apex)
    }

    fn has(&self, name: &Name) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(above) => name != above && name.is_within(above),
        }
    }
}

impl UpdateRules {
    /// Whether a client may send updates at all.
    pub(crate) fn know(&self, client: IpAddr, key: Option<&Name>) -> bool {
        self.0.iter().any(|rule| rule.is_for(client, key))
    }

    /// Whether a client may make a change.
    pub(super) fn allow(&self, client: IpAddr, key: Option<&Name>, change: &Change) -> bool {
        let (name, rtype) = match change {
            Change::Add(name, record) | Change::Delete(name, record) => (name, Some(record.rtype)),
            Change::DeleteRrSet(name, rtype) => (name, Some(*rtype)),
            Change::DeleteName(name) => (name, None),
        };
        self.0.iter().any(|rule| rule.is_for(client, key) && rule.allows(name, rtype))
    }
}
