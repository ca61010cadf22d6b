//! Which ACME server.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Characters of a folder's name; the rest of a longer URL is left out.
const FOLDER_CHARS_MAX: usize = 100;

/// An ACME server, by the URL of its directory (RFC 8555 §7.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Directory {
    /// Let's Encrypt.
    #[default]
    LetsEncrypt,
    /// Its staging server, for trying.
    LetsEncryptStaging,
    /// Another one: `https`, or `http` on a loopback address.
    Url(String),
}

/// What is no directory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDirectory {
    /// Neither a known word nor a URL.
    #[error("{0:?} is no ACME directory, for example \"letsencrypt\" or \"https://ca.test/directory\"")]
    Malformed(String),
    /// Whoever listens in between could hand out certificates.
    #[error("{0:?} must be https: plain http is for loopback addresses")]
    Plain(String),
}

impl Directory {
    /// The URL.
    pub fn url(&self) -> &str {
        match self {
            Self::LetsEncrypt => LETSENCRYPT,
            Self::LetsEncryptStaging => LETSENCRYPT_STAGING,
            Self::Url(url) => url,
        }
    }

    /// Where its terms of service stand, when that is known without asking it.
    pub fn terms(&self) -> Option<&'static str> {
        match self {
            Self::LetsEncrypt | Self::LetsEncryptStaging => Some("https://letsencrypt.org/repository/"),
            Self::Url(_) => None,
        }
    }

    /// The folder of its part of the store, `acme-v02.api.letsencrypt.org-directory`: what one server has issued
    /// is never taken for another's.
    pub(crate) fn folder(&self) -> String {
        let url = self.url();
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        let plain =
            |char: char| if char.is_ascii_alphanumeric() || ".-_".contains(char) { char } else { '-' };
        let name: String = rest.chars().map(plain).take(FOLDER_CHARS_MAX).collect();
        name.trim_matches(['.', '-']).to_ascii_lowercase()
    }
}

/// Whether a host of a URL is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl FromStr for Directory {
    type Err = BadDirectory;

    fn from_str(text: &str) -> Result<Self, BadDirectory> {
        match text {
            "letsencrypt" => return Ok(Self::LetsEncrypt),
            "letsencrypt-staging" => return Ok(Self::LetsEncryptStaging),
            _ => {}
        }
        let malformed = || BadDirectory::Malformed(text.into());
        let uri: http::Uri = text.parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|host| host.contains(|c: char| c.is_ascii_alphanumeric()));
        match (uri.scheme_str(), host) {
            (Some("https"), Some(_)) => Ok(Self::Url(text.into())),
            (Some("http"), Some(host)) if is_loopback(host) => Ok(Self::Url(text.into())),
            (Some("http"), Some(_)) => Err(BadDirectory::Plain(text.into())),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LetsEncrypt => "letsencrypt",
            Self::LetsEncryptStaging => "letsencrypt-staging",
            Self::Url(url) => url,
        })
    }
}

impl<'de> Deserialize<'de> for Directory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Directory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Directory {
    fn schema_name() -> Cow<'static, str> {
        "Directory".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [{ "enum": ["letsencrypt", "letsencrypt-staging"] }, { "pattern": "^https?://" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_and_urls_are_read_and_written() {
        for (text, url) in [
            ("letsencrypt", LETSENCRYPT),
            ("letsencrypt-staging", LETSENCRYPT_STAGING),
            ("https://ca.test/dir", "https://ca.test/dir"),
            ("http://127.0.0.1:14000/dir", "http://127.0.0.1:14000/dir"),
            ("http://[::1]:14000/dir", "http://[::1]:14000/dir"),
            ("http://localhost/dir", "http://localhost/dir"),
        ] {
            let directory: Directory = text.parse().unwrap();
            assert_eq!((directory.url(), directory.to_string().as_str()), (url, text));
        }
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for text in ["http://ca.test/dir", "http://10.0.0.1/dir", "http://127.0.0.1.ca.test/"] {
            assert_eq!(text.parse::<Directory>(), Err(BadDirectory::Plain(text.into())));
        }
        for text in ["", "letsencryt", "ca.test/dir", "/dir", "ftp://ca.test/", "https:///dir", "https://"] {
            assert_eq!(text.parse::<Directory>(), Err(BadDirectory::Malformed(text.into())), "{text}");
        }
    }

    #[test]
    fn every_server_has_a_folder_of_its_own() {
        let folder = |text: &str| text.parse::<Directory>().unwrap().folder();
        assert_eq!(folder("letsencrypt"), "acme-v02.api.letsencrypt.org-directory");
        assert_eq!(folder("letsencrypt-staging"), "acme-staging-v02.api.letsencrypt.org-directory");
        assert_eq!(folder("https://CA.test:8443/../x?y=%2e"), "ca.test-8443-..-x-y--2e");
    }

    proptest! {
        #[test]
        fn a_folder_is_one_component_of_a_path(rest in "[a-z0-9][!-~]{0,150}") {
            if let Ok(directory) = format!("https://{rest}").parse::<Directory>() {
                let folder = directory.folder();
                prop_assert!(!folder.is_empty() && folder.len() <= 100);
                prop_assert!(!folder.contains('/') && !folder.starts_with('.'));
            }
        }
    }
}
