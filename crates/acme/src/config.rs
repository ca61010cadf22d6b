//! `[edge.acme]`: which authority certificates come from, and how names are shown to be ours.

use crate::directory::Directory;
use notation::{Faults, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Certificates from an ACME server (RFC 8555), for every site with `tls = "acme"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeConfig {
    /// The server: `"letsencrypt"`, `"letsencrypt-staging"` (for trying: its certificates are believed by
    /// nobody, and its limits are wide), or the URL of a directory.
    pub directory: Directory,
    /// Where the authority may write about the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Must be `true`: you agree to the terms of service of the ACME server.
    pub agree: bool,
    /// How it is shown that a name is ours.
    pub challenge: ChallengeKind,
    /// The folder of the account's key, the certificates and the open challenges; `acme` in the data folder
    /// otherwise. Nodes that are given the same folder share them, and one of them orders at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// A PEM file with the roots by which the ACME server itself is believed; those of the machine otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The account at the authority that the ACME account belongs to, where the authority wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
}

/// How it is shown that a name is ours. Both need the name to lead to this node, or to one that shares its store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChallengeKind {
    /// By a handshake on port 443 (RFC 8737): nothing but the `https` listener has to be reachable. It is the
    /// default. It does not pass a load balancer or CDN that ends TLS itself.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a file on port 80 (RFC 8555 §8.3), below `/.well-known/acme-challenge/`.
    #[serde(rename = "http-01")]
    Http01,
}

impl ChallengeKind {
    /// As in the file and in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The key's identifier, from the authority.
    pub key_id: String,
    /// The key, as the authority shows it: base64url.
    pub key: Secret,
}

impl AcmeConfig {
    /// The store's folder: relative to the file's folder `dir`, by default within the data folder `data`.
    pub fn store_dir(&self, dir: &Path, data: &Path) -> PathBuf {
        self.store.as_ref().map_or_else(|| data.join("acme"), |store| dir.join(store))
    }
}

/// Checks `[edge.acme]`.
pub fn check(config: &AcmeConfig, faults: &mut Faults) {
    if !config.agree {
        let directory = &config.directory;
        faults.add_with_help(
            None,
            format!(
                "[edge.acme] agree is not true: {} wants its terms of service agreed to",
                directory.url()
            ),
            match directory.terms() {
                Some(terms) => format!("read {terms}, then say `agree = true`"),
                None => "its directory names them (`meta.termsOfService`); then say `agree = true`".into(),
            },
        );
    }
    if let Some(email) = &config.email
        && !is_email(email)
    {
        faults.add(None, format!("[edge.acme] email is {email:?}, which is no mail address"));
    }
    if let Some(external) = &config.external_account
        && external.key_id.is_empty()
    {
        faults.add(None, "[edge.acme] external_account.key_id is empty");
    }
}

/// Enough to tell a slip; one address, as a `mailto:` of RFC 8555 §7.3 has one.
fn is_email(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"@,?&%<>\"".contains(&byte))
    };
    text.split_once('@').is_some_and(|(local, domain)| plain(local) && plain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check(&toml::from_str(text).unwrap(), &mut faults);
        let told = |fault: notation::Fault| format!("{} / {}", fault.message, fault.help.unwrap_or_default());
        faults.into_vec().into_iter().map(told).collect()
    }

    #[test]
    fn without_agreement_it_is_said_what_to_agree_to() {
        assert_eq!(
            faults(""),
            [
                "[edge.acme] agree is not true: https://acme-v02.api.letsencrypt.org/directory wants its terms of \
              service agreed to / read https://letsencrypt.org/repository/, then say `agree = true`"
            ]
        );
        assert_eq!(
            faults("directory = \"https://ca.test/dir\""),
            [
                "[edge.acme] agree is not true: https://ca.test/dir wants its terms of service agreed to / its \
              directory names them (`meta.termsOfService`); then say `agree = true`"
            ]
        );
        assert!(faults("agree = true").is_empty());
    }

    #[test]
    fn a_mail_address_has_two_sides() {
        assert!(faults("agree = true\nemail = \"me@shop.test\"").is_empty());
        for bad in ["me", "@shop.test", "me@", "a@b@c", "a@b, c@d", "a b@c", "mailto:a@b?x"] {
            assert_eq!(faults(&format!("agree = true\nemail = {bad:?}")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn the_whole_table_is_read_and_written() {
        let text = "directory = \"letsencrypt-staging\"\nemail = \"me@shop.test\"\nagree = true\n\
                    challenge = \"http-01\"\nstore = \"shared\"\nca = \"root.pem\"\n\n[external_account]\n\
                    key_id = \"kid\"\n\n[external_account.key]\nenv = \"EAB\"\n";
        let config: AcmeConfig = toml::from_str(text).unwrap();
        assert_eq!(config.challenge, ChallengeKind::Http01);
        assert_eq!(toml::to_string(&config).unwrap(), text);
        let default = AcmeConfig::default();
        assert_eq!(default.challenge, ChallengeKind::TlsAlpn01);
        assert_eq!(toml::from_str::<AcmeConfig>(&toml::to_string(&default).unwrap()).unwrap(), default);
        assert!(toml::from_str::<AcmeConfig>("challenge = \"dns-01\"").is_err());
        assert!(toml::from_str::<AcmeConfig>("stor = \"x\"").is_err());
    }

    #[test]
    fn the_store_is_in_the_data_folder_unless_it_is_named() {
        let (dir, data) = (Path::new("/etc/nines"), Path::new("/var/nines"));
        assert_eq!(AcmeConfig::default().store_dir(dir, data), Path::new("/var/nines/acme"));
        let store = |store: &str| AcmeConfig { store: Some(store.into()), ..AcmeConfig::default() };
        assert_eq!(store("shared").store_dir(dir, data), Path::new("/etc/nines/shared"));
        assert_eq!(store("/mnt/shared").store_dir(dir, data), Path::new("/mnt/shared"));
    }
}
