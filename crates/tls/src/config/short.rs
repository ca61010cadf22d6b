//! The short forms: a word for a site's TLS, `true` for a pool's.

use super::{Automatic, ClientTable, ClientTls, TlsConfig, TlsTable};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = TlsTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"self-signed\", \"acme\" or a table")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<TlsTable, E> {
                let auto = Automatic::deserialize(StrDeserializer::new(word))?;
                Ok(TlsTable { auto: Some(auto), ..TlsTable::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsTable, A::Error> {
                TlsTable::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(WordOrTable).map(Self)
    }
}

impl Serialize for TlsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.auto {
            Some(auto) if self.0 == (TlsTable { auto: Some(auto), ..TlsTable::default() }) => {
                auto.serialize(serializer)
            }
            _ => self.0.serialize(serializer),
        }
    }
}

impl JsonSchema for TlsConfig {
    fn schema_name() -> Cow<'static, str> {
        "TlsConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (word, table) = (generator.subschema_for::<Automatic>(), generator.subschema_for::<TlsTable>());
        json_schema!({
            "description": "TLS of a site or a listener: `\"self-signed\"`, `\"acme\"`, or a table with certificates of its own.",
            "anyOf": [word, table],
        })
    }
}

impl<'de> Deserialize<'de> for ClientTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TrueOrTable;

        impl<'de> Visitor<'de> for TrueOrTable {
            type Value = ClientTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or a table")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<ClientTable, E> {
                if on {
                    Ok(ClientTable::default())
                } else {
                    Err(de::Error::custom("`tls = false` is written by leaving `tls` out"))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClientTable, A::Error> {
                ClientTable::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(TrueOrTable).map(Self)
    }
}

impl Serialize for ClientTls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == ClientTable::default() {
            serializer.serialize_bool(true)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl JsonSchema for ClientTls {
    fn schema_name() -> Cow<'static, str> {
        "ClientTls".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<ClientTable>();
        json_schema!({
            "description": "TLS towards the endpoints of a pool: `true`, or a table that says more.",
            "anyOf": [{ "type": "boolean", "const": true }, table],
        })
    }
}
