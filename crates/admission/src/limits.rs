//! `limit`: what one client of a site or a route may have.

use crate::client::Key;
use crate::rate::RateLimit;
use notation::{Faults, Name, Rate, Size};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// A year: a limit that takes longer to forget is a slip.
const WINDOW_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What one client may have. What is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientLimits {
    /// Connections at once from one address (of IPv6: from one /64); of a site, those that have a request under way.
    /// Further ones are turned away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub connections_per_client: Option<u32>,
    /// How often one client may send a request, such as "50/s". Further ones hear 429 and when to come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_client: Option<Rate>,
    /// How many requests may come at once after a pause. Without it, one second's worth and at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// What a client is told apart by when requests are counted: "client-address" or { header = "x-api-key" }.
    #[serde(skip_serializing_if = "By::is_address")]
    pub by: By,
    /// Bytes sent per second on each connection, such as "1MiB".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
}

/// What a client is told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum By {
    /// Its address; of IPv6 the /64.
    #[default]
    ClientAddress,
    /// The value of a header; a request without it counts for its address. Whoever may invent values is a new client
    /// with each, so it is for headers that are verified, or for clients that are known.
    Header(Name),
}

impl By {
    /// Whether it is the address, as it is by default.
    pub fn is_address(&self) -> bool {
        *self == Self::ClientAddress
    }

    /// The client that a request counts for. `value` is that of the header, if the request has it.
    pub fn key(&self, client: IpAddr, value: Option<&[u8]>) -> Key {
        match (self, value) {
            (Self::Header(_), Some(value)) => Key::of_value(value),
            _ => Key::of_client(client),
        }
    }

    /// The name of the header whose value is asked for.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::ClientAddress => None,
            Self::Header(name) => Some(name),
        }
    }
}

impl ClientLimits {
    /// The limit of requests, if there is one, within a scope such as `site shop.test`.
    pub fn rate(&self, scope: &str) -> Option<RateLimit> {
        self.requests_per_client.map(|rate| RateLimit::new(scope, rate, self.burst))
    }
}

/// What the types cannot say. `whose` names the place in messages: `site shop.test`.
pub fn check_limits(limits: &ClientLimits, whose: &str, span: Option<&Range<usize>>, faults: &mut Faults) {
    let mut fault = |message: String, help: &str| faults.add_with_help(span.cloned(), message, help);
    if limits.connections_per_client == Some(0) {
        fault(format!("{whose}: limit.connections_per_client is 0"), "`deny` turns clients away");
    }
    if limits.bandwidth.is_some_and(|bandwidth| bandwidth.get() == 0) {
        fault(format!("{whose}: limit.bandwidth is 0"), "without it, bandwidth is not limited");
    }
    if limits.burst == Some(0) {
        fault(format!("{whose}: limit.burst is 0"), "without it, it is one second's worth");
    }
    match limits.rate(whose) {
        None if limits.burst.is_some() => {
            fault(format!("{whose}: limit.burst without limit.requests_per_client"), "such as \"50/s\"");
        }
        None if !limits.by.is_address() => {
            fault(format!("{whose}: limit.by without limit.requests_per_client"), "such as \"50/s\"");
        }
        Some(rate) if rate.window() > WINDOW_MAX => {
            let message = format!("{whose}: limit.burst takes more than a year to come back");
            fault(message, "raise requests_per_client, or lower burst");
        }
        _ => {}
    }
    if let By::Header(name) = &limits.by {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // RFC 9110 §5.1.
        if name.is_empty() || !name.bytes().all(is_token) {
            let message = format!("{whose}: limit.by: {:?} is not the name of a header", name.as_str());
            faults.add(name.span().or_else(|| span.cloned()), message);
        }
    }
}

/// The long form of [`By`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByHeader {
    /// The name of a header whose value tells clients apart.
    header: Name,
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ClientAddress => serializer.serialize_str("client-address"),
            Self::Header(header) => ByHeader { header: header.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = By;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"client-address\" or { header = \"x-api-key\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<By, E> {
                match text {
                    "client-address" => Ok(By::ClientAddress),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<By, A::Error> {
                ByHeader::deserialize(MapAccessDeserializer::new(map)).map(|by| By::Header(by.header))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for By {
    fn schema_name() -> Cow<'static, str> {
        "LimitBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let header = generator.subschema_for::<ByHeader>();
        json_schema!({
            "description": "What a client is told apart by.",
            "anyOf": [{ "const": "client-address" }, header],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientLimits {
        toml::from_str(text).unwrap()
    }

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check_limits(&read(text), "site a.test", Some(&(3..7)), &mut faults);
        let faults = faults.into_vec();
        assert!(faults.iter().all(|fault| fault.span.is_some()), "each has its place");
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "",
            "connections_per_client = 100\nrequests_per_client = \"50/s\"\nburst = 100\nbandwidth = \"1MiB\"",
            "requests_per_client = \"50/s\"\nby = \"client-address\"",
            "requests_per_client = \"50/s\"\nby = { header = \"x-api-key\" }",
        ] {
            let limits = read(text);
            assert_eq!(read(&toml::to_string(&limits).unwrap()), limits);
            assert_eq!(faults(text), [""; 0]);
        }
        assert_eq!(toml::to_string(&ClientLimits::default()).unwrap(), "");
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for text in
            ["by = \"header\"", "by = { cookie = \"a\" }", "rate = \"5/s\"", "by = { header = \"a\", x = 1 }"]
        {
            assert!(toml::from_str::<ClientLimits>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_types_cannot_say_is_checked() {
        for (text, fault) in [
            ("connections_per_client = 0", "limit.connections_per_client is 0"),
            ("bandwidth = \"0\"", "limit.bandwidth is 0"),
            ("requests_per_client = \"5/s\"\nburst = 0", "limit.burst is 0"),
            ("burst = 5", "limit.burst without limit.requests_per_client"),
            ("by = { header = \"a\" }", "limit.by without limit.requests_per_client"),
            ("requests_per_client = \"1/d\"\nburst = 366", "limit.burst takes more than a year to come back"),
            (
                "requests_per_client = \"1/d\"\nby = { header = \"a b\" }",
                "limit.by: \"a b\" is not the name of a header",
            ),
        ] {
            assert_eq!(faults(text), [format!("site a.test: {fault}")], "{text}");
        }
    }

    #[test]
    fn a_request_without_the_header_counts_for_its_address() {
        let (by, client) = (By::Header(Name::new("x-api-key")), "192.0.2.1".parse().unwrap());
        assert_eq!(by.key(client, None), Key::of_client(client));
        assert_eq!(by.key(client, Some(b"k")), Key::of_value(b"k"));
        assert_eq!(By::ClientAddress.key(client, Some(b"k")), Key::of_client(client));
    }
}
