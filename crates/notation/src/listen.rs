//! `listen`: one address, or an array of them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// Addresses to listen on: `"127.0.0.1:6432"` or `["127.0.0.1:6432", "[::1]:6432"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Listen(pub Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListenVisitor;

        impl<'de> Visitor<'de> for ListenVisitor {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address with a port, or an array of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
                text.parse().map(|address| Listen(vec![address])).map_err(|_| {
                    E::custom(format_args!("{text:?} is no address with a port, such as \"127.0.0.1:6432\""))
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Listen, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Listen)
            }
        }

        deserializer.deserialize_any(ListenVisitor)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "format": "socket-address" },
                { "type": "array", "items": { "type": "string", "format": "socket-address" } },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Config {
        listen: Listen,
    }

    #[test]
    fn one_address_or_several() {
        let listen = |text: &str| toml::from_str::<Config>(text).map(|config| config.listen.0);
        let first: SocketAddr = ([127, 0, 0, 1], 6432).into();
        assert_eq!(listen("listen = '127.0.0.1:6432'").unwrap(), [first]);
        assert_eq!(listen("listen = ['127.0.0.1:6432', '[::1]:1']").unwrap()[0], first);
        let error = listen("listen = 'here'").unwrap_err().to_string();
        assert!(error.contains("\"here\" is no address with a port"), "{error}");
        assert!(listen("listen = 6432").is_err());
    }
}
