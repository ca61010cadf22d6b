//! Names that a certificate can be ordered for.

use thiserror::Error;

/// RFC 1035 §2.3.4, without the root's dot.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Why no certificate can be ordered for a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadName {
    /// Neither http-01 nor tls-alpn-01 can show that (RFC 8555 §7.1.3: a wildcard wants dns-01).
    #[error("{0}: no certificate for a wildcard without DNS; name the hosts, or give `cert` and `key`")]
    Wildcard(String),
    /// An address is no name.
    #[error("{0}: no certificate for an address; give the site a name, or `cert` and `key`")]
    Address(String),
    /// Not a host name in lower case.
    #[error("{0:?} is no host name that a certificate could be ordered for")]
    Malformed(String),
}

/// Checks that a certificate can be ordered for `name`, a site's host. What passes is fit for a file's name too.
pub fn check_name(name: &str) -> Result<(), BadName> {
    if name.starts_with("*.") {
        return Err(BadName::Wildcard(name.into()));
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Err(BadName::Address(name.into()));
    }
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(BadName::Malformed(name.into()));
    }
    Ok(())
}

/// Bytes of a challenge's token; RFC 8555 §8.1 asks for 22 at least, servers use 43.
pub(crate) const TOKEN_BYTES_MAX: usize = 128;

/// Whether this is a token of a challenge: base64url without padding (RFC 8555 §8.1), and so fit for a file's
/// name.
pub(crate) fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_pass() {
        for name in ["shop.test", "a.b.c.d", "xn--bcher-kva.test", "localhost", "1.shop.test"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn what_no_challenge_can_show_is_told_apart() {
        assert_eq!(check_name("*.shop.test"), Err(BadName::Wildcard("*.shop.test".into())));
        for address in ["127.0.0.1", "::1"] {
            assert_eq!(check_name(address), Err(BadName::Address(address.into())));
        }
        let long = "a".repeat(64);
        for name in [
            "",
            ".",
            "..",
            "a..b",
            "a/b",
            "Shop.test",
            "shop.test.",
            "-a.test",
            "a-.test",
            "a_b",
            "bü",
            &long,
        ] {
            assert_eq!(check_name(name), Err(BadName::Malformed(name.into())));
        }
        assert!(check_name(&format!("{}a", "a.".repeat(127))).is_err());
    }

    #[test]
    fn a_token_cannot_leave_its_folder() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"));
        for text in ["", ".", "..", "../account", "a/b", "a.b", "a%2fb", "a b", "a\0", "ä"] {
            assert!(!is_token(text), "{text:?}");
        }
        assert!(is_token(&"a".repeat(TOKEN_BYTES_MAX)) && !is_token(&"a".repeat(TOKEN_BYTES_MAX + 1)));
    }
}
