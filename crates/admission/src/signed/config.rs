//! `signed`: the keys that signatures are made with.

use notation::{Faults, Name, Named, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The longest name of a key: each URL carries it.
const NAME_BYTES_MAX: usize = 32;

/// Serve only who shows a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedConfig {
    /// The keys, by the names that signatures say: `{ k1 = { env = "MEDIA_KEY" } }`, each of 32 bytes or more. Several are
    /// good at once, so that one can take the place of another.
    pub keys: Named<Secret>,
    /// The name of the cookie that holds a signature.
    #[serde(default = "cookie")]
    pub cookie: Name,
}

fn cookie() -> Name {
    Name::new("nines-signed")
}

/// What the types cannot say. `whose` names the place in messages: `site shop.test`.
pub fn check_signed(config: &SignedConfig, whose: &str, span: Option<&Range<usize>>, faults: &mut Faults) {
    let place = |name: &Name| name.span().or_else(|| span.cloned());
    if config.keys.is_empty() {
        let help = "`keys = { k1 = { env = \"MEDIA_KEY\" } }`";
        faults.add_with_help(span.cloned(), format!("{whose}: `signed` has no key"), help);
    }
    for name in config.keys.keys().filter(|name| !is_key_name(name)) {
        let message = format!(
            "{whose}: `signed` {:?} is no name of a key: up to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`",
            name.as_str()
        );
        faults.add(place(name), message);
    }
    if !is_token(&config.cookie) {
        let message = format!("{whose}: `signed.cookie` {:?} is no name of a cookie", config.cookie.as_str());
        faults.add(place(&config.cookie), message);
    }
}

fn is_key_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// RFC 6265 §4.1.1, RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_keys_with_names_and_a_cookie_with_one() {
        for (text, expected) in [
            ("keys = { k1 = { env = 'A' } }", 0),
            ("keys = { k1 = { env = 'A' }, '2026.01' = { file = 'k' } }\ncookie = 'media'", 0),
            ("keys = {}", 1),
            ("keys = { 'k 1' = { env = 'A' }, '' = { env = 'A' } }", 2),
            ("keys = { k1 = { env = 'A' } }\ncookie = 'a b'", 1),
        ] {
            let config: SignedConfig = toml::from_str(text).unwrap();
            let mut faults = Faults::default();
            check_signed(&config, "site a.test", None, &mut faults);
            assert_eq!(faults.into_vec().len(), expected, "{text}");
            assert_eq!(toml::from_str::<SignedConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        assert!(toml::from_str::<SignedConfig>("cookie = 'a'").is_err(), "without keys");
    }
}
