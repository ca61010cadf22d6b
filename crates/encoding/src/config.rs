//! `compress`: how responses are encoded, of a site or a route.

use crate::media::{DEFAULT_TYPES, TypePattern};
use crate::{Coding, encoder};
use notation::{Faults, Name, Size};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::ops::{Range, RangeInclusive};

/// Whether and how responses are encoded: `true`, `false`, or a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CompressConfig {
    /// With the defaults of the table; or not, where a route of a site is an exception.
    Switch(bool),
    /// As the table says.
    Options(CompressOptions),
}

/// How responses are encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressOptions {
    /// Codings on offer; a client that likes several equally gets the first.
    #[schemars(length(min = 1))]
    pub codings: Vec<Coding>,
    /// Media types that are encoded: `"text/html"`, `"text/*"`, `"application/*+json"` or `"*/*"`. Those of gRPC
    /// never are, it compresses by itself.
    #[schemars(length(min = 1))]
    pub types: Vec<Name>,
    /// A shorter body is left as it is. One whose length is not known is encoded.
    pub min: Size,
    /// How hard each coding tries.
    pub level: Levels,
}

/// How hard each coding tries. A level that keeps a core for longer than a request is worth is not on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Levels {
    /// 1 to 9.
    #[schemars(range(min = 1, max = 9))]
    pub zstd: u8,
    /// 0 to 6.
    #[schemars(range(min = 0, max = 6))]
    pub br: u8,
    /// 1 to 9.
    #[schemars(range(min = 1, max = 9))]
    pub gzip: u8,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec(),
            types: DEFAULT_TYPES.into_iter().map(Name::new).collect(),
            min: Size::bytes(1 << 10),
            level: Levels::default(),
        }
    }
}

impl Default for Levels {
    /// Where each coding's curve bends: what a further level saves costs more than it is worth on the fly. For a page
    /// of 100 KB gzip 2 takes a third of the time of zlib's 1 and is smaller; brotli 4 is as small as gzip 6, and zstd
    /// 3 is that in a fifth of the time.
    fn default() -> Self {
        Self { zstd: 3, br: 4, gzip: 2 }
    }
}

impl Levels {
    /// The level of a coding.
    pub const fn of(&self, coding: Coding) -> u8 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
        }
    }
}

/// What the types cannot say. `whose` names the place in messages: `site shop.test`, at `span`.
pub fn check(config: &CompressConfig, whose: &str, span: Option<&Range<usize>>, faults: &mut Faults) {
    let CompressConfig::Options(options) = config else { return };
    let span = span.cloned();
    for (index, coding) in options.codings.iter().enumerate() {
        if options.codings[..index].contains(coding) {
            faults.add(span.clone(), format!("{whose}: compress.codings names {coding} twice"));
        }
    }
    for (key, is_empty) in [("codings", options.codings.is_empty()), ("types", options.types.is_empty())] {
        if is_empty {
            let help = "`compress = false` switches it off";
            faults.add_with_help(span.clone(), format!("{whose}: compress.{key} is empty"), help);
        }
    }
    for name in &options.types {
        if TypePattern::parse(name).is_none() {
            let message = format!("{whose}: compress.types: {:?} is not a media type", name.as_str());
            let help = "such as \"text/html\", \"text/*\", \"application/*+json\" or \"*/*\"";
            faults.add_with_help(name.span().or_else(|| span.clone()), message, help);
        }
    }
    for coding in Coding::ALL {
        let (level, levels): (u8, RangeInclusive<u8>) = (options.level.of(coding), encoder::levels(coding));
        if !levels.contains(&level) {
            let message = format!(
                "{whose}: compress.level.{coding} is {level}: from {} to {}",
                levels.start(),
                levels.end()
            );
            faults.add(span.clone(), message);
        }
    }
}

impl<'de> Deserialize<'de> for CompressConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = CompressConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table")
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Self::Value, E> {
                Ok(CompressConfig::Switch(is_on))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                CompressOptions::deserialize(MapAccessDeserializer::new(map)).map(CompressConfig::Options)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for CompressConfig {
    fn schema_name() -> Cow<'static, str> {
        "CompressConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<CompressOptions>();
        json_schema!({
            "description": "Whether and how responses are encoded: `true`, `false`, or a table.",
            "anyOf": [{ "type": "boolean" }, options],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Site {
        compress: CompressConfig,
    }

    fn read(text: &str) -> CompressConfig {
        toml::from_str::<Site>(text).unwrap().compress
    }

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check(&read(text), "site a.test", Some(&(3..7)), &mut faults);
        let faults = faults.into_vec();
        assert!(faults.iter().all(|fault| fault.span.is_some()), "each has its place");
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn it_is_a_switch_or_a_table() {
        assert_eq!(read("compress = true"), CompressConfig::Switch(true));
        assert_eq!(read("compress = false"), CompressConfig::Switch(false));
        assert_eq!(read("compress = {}"), CompressConfig::Options(CompressOptions::default()));
        let CompressConfig::Options(options) = read(
            "compress = { codings = [\"gzip\", \"br\"], types = [\"text/*\"], min = \"2KiB\", level = { br = 6 } }",
        ) else {
            panic!("a table")
        };
        assert_eq!(options.codings, [Coding::Gzip, Coding::Br]);
        assert_eq!(options.types, [Name::new("text/*")]);
        assert_eq!(options.min, Size::bytes(2048));
        assert_eq!(options.level, Levels { br: 6, ..Levels::default() });
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for bad in [
            "1",
            "\"yes\"",
            "{ codings = [\"deflate\"] }",
            "{ size = 1 }",
            "{ level = 3 }",
            "{ level = { lz4 = 3 } }",
        ] {
            assert!(toml::from_str::<Site>(&format!("compress = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in
            ["compress = true", "compress = {}", "compress = { level = { zstd = 9 }, types = [\"a/b\"] }"]
        {
            let site = Site { compress: read(text) };
            assert_eq!(read(&toml::to_string(&site).unwrap()), site.compress);
        }
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(faults("compress = {}"), [""; 0]);
    }

    #[test]
    fn what_types_cannot_say_is_checked() {
        assert_eq!(
            faults(
                "compress = { codings = [\"br\", \"br\"], types = [\"text\"], level = { zstd = 10, gzip = 0 } }"
            ),
            [
                "site a.test: compress.codings names br twice",
                "site a.test: compress.types: \"text\" is not a media type",
                "site a.test: compress.level.zstd is 10: from 1 to 9",
                "site a.test: compress.level.gzip is 0: from 1 to 9",
            ]
        );
        assert_eq!(
            faults("compress = { codings = [], types = [] }"),
            ["site a.test: compress.codings is empty", "site a.test: compress.types is empty"]
        );
    }
}
