//! Signing as people see it: keys, what the zone above needs to know, and when signatures end.

use super::config::KeyLayout;
use super::key::Key;
use super::rollover::{KeyState, Later};
use super::store::HeldKey;
use crate::protocol::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a zone is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningStatus {
    /// When the first of its signatures ends, in seconds since 1970. It is made anew long before.
    pub signatures_end: u64,
    /// Its keys.
    pub keys: Vec<KeyStatus>,
}

/// A key of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyStatus {
    /// The number that signatures name it by.
    pub tag: u16,
    /// 13 is ECDSA P-256, 15 Ed25519.
    pub algorithm: u8,
    /// `csk`, `ksk` or `zsk`.
    pub role: String,
    /// `published`, `submitted` (the zone above is asked to point to it), `active` or `retired`.
    pub state: String,
    /// Since when it is in this state, in seconds since 1970.
    pub since: u64,
    /// The DS that the zone above has to have for it, as a line of a zone file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ds: Option<String>,
    /// What comes of it by itself: `replaced`, `submitted`, `active` or `removed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStep>,
    /// It is submitted, and the zone above was not seen to have its DS yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits_for_ds: bool,
}

/// What comes of a key by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextStep {
    /// `replaced`, `submitted`, `active` or `removed`.
    pub step: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl KeyStatus {
    pub(crate) fn of(
        apex: &Name,
        held: &HeldKey,
        layout: KeyLayout,
        is_named: bool,
        later: Option<&Later>,
    ) -> Self {
        let is_entry = held.key.is_entry();
        let role = match (is_entry, layout) {
            (false, _) => "zsk",
            (true, KeyLayout::Csk) => "csk",
            (true, KeyLayout::KskZsk) => "ksk",
        };
        Self {
            tag: held.key.tag(),
            algorithm: held.key.algorithm.number(),
            role: role.to_owned(),
            state: held.state.as_str().to_owned(),
            since: held.since,
            ds: is_named.then(|| ds(apex, &held.key)),
            next: later.map(|later| NextStep { step: later.step.as_str().to_owned(), at: later.at }),
            waits_for_ds: held.state == KeyState::Submitted && held.trusted.is_none(),
        }
    }
}

/// The DS of a key.
fn ds(apex: &Name, key: &Key) -> String {
    let data = key.ds(apex.as_wire());
    let digest: String = data[4..].iter().map(|byte| format!("{byte:02X}")).collect();
    let owner = if apex.labels() == 0 { ".".to_owned() } else { format!("{apex}.") };
    format!("{owner} IN DS {} {} {} {digest}", key.tag(), data[2], data[3])
}
