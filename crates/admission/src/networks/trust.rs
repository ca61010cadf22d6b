//! `trust_forwarded`: whose word about a client is believed.

use super::config::{NetworkEntry, check_networks};
use super::live::{Networks, Refreshed};
use crate::error::Error;
use notation::Faults;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

/// Whose word is believed: nobody's (`false`), everybody's (`true`), or that of networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TrustConfig {
    /// Everybody's or nobody's.
    Switch(bool),
    /// That of the proxies in these networks.
    Networks(Vec<NetworkEntry>),
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl TrustConfig {
    /// Whether it is `false`, as it is by default.
    pub fn is_nobody(&self) -> bool {
        *self == Self::Switch(false)
    }
}

/// Every entry is a network. `whose` names the key in messages: `edge: trust_forwarded`.
pub fn check_trust(config: &TrustConfig, whose: &str, span: Option<&Range<usize>>, faults: &mut Faults) {
    match config {
        TrustConfig::Switch(_) => {}
        TrustConfig::Networks(entries) if entries.is_empty() => {
            faults.add_with_help(span.cloned(), format!("{whose} is empty"), "`false` trusts nobody");
        }
        TrustConfig::Networks(entries) => check_networks(entries, whose, span, faults),
    }
}

/// Whose word is believed, compiled.
#[derive(Debug)]
pub enum Trust {
    /// Nobody's.
    Nobody,
    /// That of whoever connects; not that of whom they name.
    Everybody,
    /// That of the proxies in these networks.
    Networks(Networks),
}

impl Trust {
    /// Compiles it and reads its files; paths start from `dir`.
    pub fn load(config: &TrustConfig, dir: &Path) -> Result<Self, Error> {
        Ok(match config {
            TrustConfig::Switch(false) => Self::Nobody,
            TrustConfig::Switch(true) => Self::Everybody,
            TrustConfig::Networks(entries) => Self::Networks(Networks::load(entries, dir)?),
        })
    }

    /// Whether the word of whoever connects from here is believed.
    pub fn believes(&self, peer: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Networks(networks) => networks.contains(peer),
        }
    }

    /// Looks after its files: [`Networks::refresh`].
    pub fn refresh(&self) -> Refreshed {
        match self {
            Self::Networks(networks) => networks.refresh(),
            Self::Nobody | Self::Everybody => Refreshed::default(),
        }
    }
}

impl<'de> Deserialize<'de> for TrustConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = TrustConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a list of networks")
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Self::Value, E> {
                Ok(TrustConfig::Switch(is_on))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(TrustConfig::Networks)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for TrustConfig {
    fn schema_name() -> Cow<'static, str> {
        "TrustConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let networks = generator.subschema_for::<Vec<NetworkEntry>>();
        json_schema!({
            "description": "Whose word is believed: nobody's (`false`), everybody's (`true`), or that of networks.",
            "anyOf": [{ "type": "boolean" }, networks],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Edge {
        #[serde(default, skip_serializing_if = "TrustConfig::is_nobody")]
        trust_forwarded: TrustConfig,
    }

    #[test]
    fn it_is_a_switch_or_a_list() {
        let peer = "10.0.0.1".parse().unwrap();
        for (text, believes) in [
            ("", false),
            ("trust_forwarded = false", false),
            ("trust_forwarded = true", true),
            ("trust_forwarded = [\"10.0.0.0/8\"]", true),
            ("trust_forwarded = [\"192.0.2.1\"]", false),
        ] {
            let edge: Edge = toml::from_str(text).unwrap();
            let mut faults = Faults::default();
            check_trust(&edge.trust_forwarded, "edge: trust_forwarded", None, &mut faults);
            assert!(faults.is_empty());
            assert_eq!(
                Trust::load(&edge.trust_forwarded, Path::new(".")).unwrap().believes(peer),
                believes,
                "{text}"
            );
            assert_eq!(toml::from_str::<Edge>(&toml::to_string(&edge).unwrap()).unwrap(), edge);
        }
        for bad in ["trust_forwarded = 1", "trust_forwarded = \"10.0.0.0/8\"", "trust_forwarded = {}"] {
            assert!(toml::from_str::<Edge>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_types_cannot_say_is_checked() {
        for (text, message) in [
            ("trust_forwarded = []", "edge: trust_forwarded is empty"),
            (
                "trust_forwarded = [\"10.0.0.1/8\"]",
                "edge: trust_forwarded: \"10.0.0.1/8\" has bits set behind its prefix",
            ),
        ] {
            let edge: Edge = toml::from_str(text).unwrap();
            let mut faults = Faults::default();
            check_trust(&edge.trust_forwarded, "edge: trust_forwarded", None, &mut faults);
            assert_eq!(faults.into_vec()[0].message, message);
        }
    }
}
