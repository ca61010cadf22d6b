//! Who may change or copy zones, and from where they come: the parts of `[dns]` that are about zones that change.

use crate::tsig::Algorithm;
use notation::{Name, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where DNS is, unless another port is said.
const PORT: u16 = 53;

/// A secret that both sides have, for TSIG (RFC 8945).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsKey")]
pub struct KeyConfig {
    /// How messages are signed: `"hmac-sha256"`, `"hmac-sha384"` or `"hmac-sha512"`.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The secret, in base 64 as key files have it: `{ file = "transfer.key" }` or `{ env = "TRANSFER_KEY" }`.
    pub secret: Secret,
}

/// Who may copy a zone (AXFR, IXFR), and who is told when it changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsTransfer")]
pub struct TransferConfig {
    /// The networks that may: `["192.0.2.7", "2001:db8::/32"]`. Without any, whoever has the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Name>,
    /// The key that they must sign with; notifications are signed with it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// The servers that are told when the zone changes (NOTIFY): `["192.0.2.7", "192.0.2.8:5301"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Peer>,
}

/// From where a zone comes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsSecondary")]
pub struct SecondaryConfig {
    /// The servers that have it: `["192.0.2.1", "192.0.2.2:5301"]`. One after the other is asked, until one answers.
    pub primaries: Vec<Peer>,
    /// The key that both sides sign with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
}

/// What one key may change of a zone (RFC 2136).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsUpdate")]
pub struct UpdateConfig {
    /// The key that updates are signed with.
    pub key: Name,
    /// The networks that updates come from; all, if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Name>,
    /// The names that may change, relative to the zone: `"_acme-challenge"`, `"*.dyn"` for all below `dyn`, `"@"` for the
    /// apex. All, if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Name>,
    /// The types that may change: `["A", "AAAA"]`. All, if there is none, but for those that signers make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Name>,
}

/// A server: an address, with a port where it is not 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(pub SocketAddr);

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        text.parse()
            .or_else(|_| bare())
            .map(Self)
            .map_err(|_| format!("{text:?} is no server, such as \"192.0.2.1\" or \"[2001:db8::1]:5301\""))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            PORT => self.0.ip().fmt(formatter),
            _ => self.0.fmt(formatter),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Peer {
    fn schema_name() -> Cow<'static, str> {
        "DnsPeer".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
