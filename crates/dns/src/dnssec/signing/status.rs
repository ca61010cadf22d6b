//! Signing as people see it: keys, what the zone above needs to know, and when signatures end.

use super::config::KeyLayout;
use super::key::Key;
use super::rollover::KeyState;
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
    /// `published`, `active` or `retired`.
    pub state: String,
    /// Since when it is in this state, in seconds since 1970.
    pub since: u64,
    /// The DS that the zone above has to have for it, as a line of a zone file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ds: Option<String>,
}

impl KeyStatus {
    pub(crate) fn of(apex: &Name, held: &HeldKey, layout: KeyLayout) -> Self {
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
            ds: (is_entry && held.state == KeyState::Active).then(|| ds(apex, &held.key)),
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
