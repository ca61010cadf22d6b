//! `basic_auth`: the file of users, and what the client's dialogue is titled.

use notation::Faults;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// Who may come by user and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuthConfig {
    /// A file as `htpasswd -B` writes it: `user:hash` a line, with hashes of bcrypt, SHA-512-crypt or SHA-256-crypt.
    /// It is read again when it changes.
    pub file: PathBuf,
    /// What clients show when they ask for the password, and keep passwords apart by. Without it, the site's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

/// What the types cannot say. `whose` names the place in messages: `site shop.test`.
pub fn check_basic_auth(
    config: &BasicAuthConfig,
    whose: &str,
    span: Option<&Range<usize>>,
    faults: &mut Faults,
) {
    if config.file.as_os_str().is_empty() {
        faults.add(span.cloned(), format!("{whose}: basic_auth.file is empty"));
    }
    if let Some(realm) = &config.realm {
        if realm.is_empty() {
            let help = "without it, it is the site's name";
            faults.add_with_help(span.cloned(), format!("{whose}: basic_auth.realm is empty"), help);
        }
        if realm.chars().any(char::is_control) {
            faults.add(span.cloned(), format!("{whose}: basic_auth.realm has a control character in it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_a_file_and_maybe_a_realm() {
        for (text, expected) in [
            ("file = \"users\"", 0),
            ("file = \"users\"\nrealm = \"shop\"", 0),
            ("file = \"\"", 1),
            ("file = \"users\"\nrealm = \"\"", 1),
            ("file = \"users\"\nrealm = \"a\\nb\"", 1),
        ] {
            let config: BasicAuthConfig = toml::from_str(text).unwrap();
            let mut faults = Faults::default();
            check_basic_auth(&config, "site a.test", None, &mut faults);
            assert_eq!(faults.into_vec().len(), expected, "{text}");
            assert_eq!(
                toml::from_str::<BasicAuthConfig>(&toml::to_string(&config).unwrap()).unwrap(),
                config
            );
        }
        assert!(toml::from_str::<BasicAuthConfig>("realm = \"shop\"").is_err(), "without a file");
        assert!(toml::from_str::<BasicAuthConfig>("file = \"users\"\nusers = 1").is_err());
    }
}
