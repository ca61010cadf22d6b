//! The keys of a route: they sign, and they judge what was signed.

use super::config::SignedConfig;
use super::text::{Scope, Signable};
use super::token::{BadToken, SIGNATURE_BYTES, Token, others};
use crate::error::Error;
use crate::networks::Network;
use aws_lc_rs::hmac;
use notation::Secret;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Shorter ones could be guessed from a single URL.
const SECRET_BYTES_MIN: usize = 32;

/// Cookies of one request that are judged: browsers send one for each path that fits.
const COOKIES_MAX: usize = 4;

/// The keys of a route.
pub struct Signed {
    keys: Vec<(Box<str>, hmac::Key)>,
    cookie: Box<str>,
}

/// What a request asks for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// In lower case, without a port.
    pub host: &'a [u8],
    /// Normalised.
    pub path: &'a [u8],
    /// With its `?`, or empty.
    pub query: &'a [u8],
    /// Who asks.
    pub client: IpAddr,
}

/// A permission that is to be signed.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// In lower case, without a port.
    pub host: &'a [u8],
    /// What for.
    pub scope: &'a Scope,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: u64,
    /// Who may use it; everybody without one.
    pub client: Option<Network>,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsigned {
    /// It shows no signature.
    #[error("there is no signature")]
    Missing,
    /// It shows half of one.
    #[error(transparent)]
    Malformed(#[from] BadToken),
    /// The key is none of ours.
    #[error("the signature is by a key that is not known")]
    UnknownKey,
    /// It is no signature of what is asked for.
    #[error("the signature is not of this URL")]
    Wrong,
    /// It is for another path.
    #[error("the signature is for what is below another path")]
    OtherPath,
    /// It has ended.
    #[error("the signature has expired")]
    Expired,
    /// It is for others.
    #[error("the signature is for clients of another network")]
    OtherClient,
}

impl Signed {
    /// Reads the keys. `dir` is the folder of the file.
    ///
    /// # Errors
    /// A secret cannot be read, or is too short.
    pub fn load(config: &SignedConfig, dir: &Path) -> Result<Self, Error> {
        let key = |(name, secret): (&notation::Name, &Secret)| {
            let secret = match secret {
                Secret::File(path) => Secret::File(dir.join(path)),
                Secret::Env(variable) => Secret::Env(variable.clone()),
            };
            let cannot = |cause: String| Error::Key { key: name.to_string(), cause };
            let value = secret.reveal().map_err(|error| cannot(error.to_string()))?;
            if value.len() < SECRET_BYTES_MIN {
                let cause = format!("its secret has {} bytes, at least {SECRET_BYTES_MIN}", value.len());
                return Err(cannot(cause));
            }
            Ok((name.as_str().into(), hmac::Key::new(hmac::HMAC_SHA256, value.as_bytes())))
        };
        Ok(Self {
            keys: config.keys.iter().map(key).collect::<Result<_, _>>()?,
            cookie: config.cookie.as_str().into(),
        })
    }

    /// The name of the cookie that holds a signature.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The names of the keys.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(name, _)| &**name)
    }

    /// Signs with the key of this name; `None` if there is none.
    pub fn sign(&self, key: &str, grant: &Grant<'_>) -> Option<Token> {
        let (name, secret) = self.keys.iter().find(|(name, _)| **name == *key)?;
        let client = grant.client.map(|network| network.to_string().into_bytes());
        let (word, place, below) = match grant.scope {
            Scope::Url(place) => ("url", place, None),
            Scope::Below(path) => ("below", path, Some(path.clone())),
        };
        let text = Signable {
            host: grant.host,
            word,
            place: [place, b""],
            expires_unix_s: grant.expires_unix_s,
            client: client.as_deref().unwrap_or_default(),
        };
        let tag = hmac::sign(secret, &text.write());
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(tag.as_ref());
        let expires_unix_s = grant.expires_unix_s;
        Some(Token { expires_unix_s, key: name.as_bytes().to_vec(), below, client, signature })
    }

    /// Whether the request shows a signature that is good now: in its query, or in one of its `Cookie` fields.
    ///
    /// # Errors
    /// What is wrong with the first that it shows.
    pub fn judge<'c>(
        &self,
        asked: &Asked<'_>,
        cookies: impl Iterator<Item = &'c [u8]>,
        now: SystemTime,
    ) -> Result<(), Unsigned> {
        let values = cookies.flat_map(|field| field.split(|byte| *byte == b';'));
        let name = self.cookie.as_bytes();
        let of_cookie = |pair: &'c [u8]| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=");
        let shown = std::iter::once(asked.query).chain(values.filter_map(of_cookie).take(COOKIES_MAX));
        let mut first = None;
        for text in shown {
            let judged = match Token::parse(text) {
                Ok(None) => continue,
                Ok(Some(token)) => self.judge_token(&token, asked, now),
                Err(bad) => Err(bad.into()),
            };
            match judged {
                Ok(()) => return Ok(()),
                Err(unsigned) => first = first.or(Some(unsigned)),
            }
        }
        Err(first.unwrap_or(Unsigned::Missing))
    }

    fn judge_token(&self, token: &Token, asked: &Asked<'_>, now: SystemTime) -> Result<(), Unsigned> {
        let key = self.keys.iter().find(|(name, _)| name.as_bytes() == token.key);
        let (_, key) = key.ok_or(Unsigned::UnknownKey)?;
        let (ends, client) = (token.expires_unix_s, token.client.as_deref().unwrap_or_default());
        let text = match &token.below {
            Some(path) => Signable::below(asked.host, path, ends, client).write(),
            None => Signable::url(asked.host, asked.path, &others(asked.query), ends, client).write(),
        };
        // What it says is believed once it is known who says it. The comparison takes as long whatever differs.
        hmac::verify(key, &text, &token.signature).map_err(|_| Unsigned::Wrong)?;
        // What one reads as a name may be a folder to the next, and `..%2F` the way out of one.
        let is_below = |path: &Vec<u8>| asked.path.starts_with(path) && !has_hidden_slash(asked.path);
        if token.below.as_ref().is_some_and(|path| !is_below(path)) {
            return Err(Unsigned::OtherPath);
        }
        if now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() >= ends {
            return Err(Unsigned::Expired);
        }
        let network = || std::str::from_utf8(client).ok()?.parse::<Network>().ok();
        if token.client.is_some() && !network().is_some_and(|network| network.contains(asked.client)) {
            return Err(Unsigned::OtherClient);
        }
        Ok(())
    }
}

/// Whether a path has a separator that is escaped, or that only some take for one.
fn has_hidden_slash(path: &[u8]) -> bool {
    let is_escaped = |three: &[u8]| three.eq_ignore_ascii_case(b"%2f") || three.eq_ignore_ascii_case(b"%5c");
    path.contains(&b'\\') || path.windows(3).any(is_escaped)
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("keys", &self.key_names().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const ENDS: u64 = 1_767_225_600;

    /// Two keys, of which tests know the secrets.
    fn signed() -> Signed {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one"), "0123456789abcdef0123456789abcdef\n").unwrap();
        std::fs::write(dir.path().join("two"), "fedcba9876543210fedcba9876543210\n").unwrap();
        let config = "keys = { k1 = { file = 'one' }, k2 = { file = 'two' } }";
        Signed::load(&toml::from_str(config).unwrap(), dir.path()).unwrap()
    }

    fn query(key: &str, scope: &Scope, client: Option<&str>) -> String {
        let client = client.map(|text| text.parse().unwrap());
        let grant = Grant { host: b"shop.test", scope, expires_unix_s: ENDS, client };
        let mut text = Vec::new();
        signed().sign(key, &grant).unwrap().write(&mut text);
        String::from_utf8(text).unwrap()
    }

    fn url(path_and_query: &str) -> Scope {
        Scope::Url(path_and_query.into())
    }

    fn below(path: &str) -> Scope {
        Scope::Below(path.into())
    }

    fn judge(path: &str, query: &str, cookies: &[&str]) -> Result<(), Unsigned> {
        judge_at(("shop.test", "192.0.2.1"), path, query, cookies, ENDS - 1)
    }

    fn judge_at(
        (host, client): (&str, &str),
        path: &str,
        query: &str,
        cookies: &[&str],
        now: u64,
    ) -> Result<(), Unsigned> {
        let client = client.parse().unwrap();
        let asked = Asked { host: host.as_bytes(), path: path.as_bytes(), query: query.as_bytes(), client };
        let cookies = cookies.iter().map(|cookie| cookie.as_bytes());
        signed().judge(&asked, cookies, UNIX_EPOCH + Duration::from_secs(now))
    }

    #[test]
    fn the_text_is_five_lines() {
        let text = Signable::url(b"shop.test", b"/a", b"?b=c", 7, b"10.0.0.0/8").write();
        assert_eq!(text, b"nines-signed-1\nshop.test\nurl /a?b=c\n7\n10.0.0.0/8");
        let text = Signable::below(b"shop.test", b"/a/", 7, b"").write();
        assert_eq!(text, b"nines-signed-1\nshop.test\nbelow /a/\n7\n");
    }

    #[test]
    fn a_signature_is_what_anybody_would_make_of_the_text() {
        // printf 'nines-signed-1\nshop.test\nurl /a\n1767225600\n' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let known = "c39babd9302c1112cb308c9165e17c113b4726080359f5ec62ab4d4ecd3dd66b";
        assert!(query("k1", &url("/a"), None).ends_with(known), "{}", query("k1", &url("/a"), None));
    }

    #[test]
    fn a_url_is_good_for_itself_alone() {
        let token = query("k1", &url("/a?b=c"), None);
        assert_eq!(judge("/a", &format!("?b=c&{token}"), &[]), Ok(()));
        assert_eq!(judge("/a", &format!("?{token}&b=c"), &[]), Ok(()), "wherever it stands");
        for (path, query) in [
            ("/b", format!("?b=c&{token}")),
            ("/a", format!("?{token}")),
            ("/a", format!("?b=c&d&{token}")),
            ("/a", format!("?b=c&{}", token.replace("nines-key=k1", "nines-key=k2"))),
            ("/a", format!("?b=c&{}", token.replace("1767225600", "1767225601"))),
            ("/a", format!("?b=c&{token}&nines-client=192.0.2.1")),
            ("/a", format!("?b=c&{token}&nines-below=/")),
        ] {
            assert_eq!(judge(path, &query, &[]), Err(Unsigned::Wrong), "{path}{query}");
        }
        let host = ("other.test", "192.0.2.1");
        assert_eq!(judge_at(host, "/a", &format!("?b=c&{token}"), &[], 1), Err(Unsigned::Wrong));
    }

    #[test]
    fn a_folder_is_good_for_all_below_it() {
        let token = query("k2", &below("/video/"), None);
        for path in ["/video/", "/video/1.ts", "/video/a/b"] {
            assert_eq!(judge(path, &format!("?q=1&{token}"), &[]), Ok(()), "{path}");
        }
        for path in
            ["/video", "/videos/1.ts", "/", "/video/..%2Fprivate", "/video/..%5cprivate", "/video/..\\a"]
        {
            assert_eq!(judge(path, &format!("?{token}"), &[]), Err(Unsigned::OtherPath), "{path}");
        }
        let wider = token.replace("nines-below=/video/", "nines-below=/");
        assert_eq!(judge("/a", &format!("?{wider}"), &[]), Err(Unsigned::Wrong));
    }

    #[test]
    fn a_cookie_is_as_good_as_a_query_and_any_good_one_will_do() {
        let good = format!("a=1; nines-signed={}", query("k1", &below("/video/"), None));
        let other = format!("nines-signed={}", query("k1", &below("/audio/"), None));
        assert_eq!(judge("/video/1", "", &[&good]), Ok(()));
        assert_eq!(judge("/video/1", "?nines-key=k1", &[&other, &good]), Ok(()));
        assert_eq!(judge("/video/1", "", &[&other]), Err(Unsigned::OtherPath));
        assert_eq!(judge("/video/1", "", &["nines-signed=x", "xnines-signed=y"]), Err(Unsigned::Missing));
        assert_eq!(judge("/video/1", "", &[&good.replace("nines-signed=", "x=")]), Err(Unsigned::Missing));
    }

    #[test]
    fn it_ends_with_the_second_that_it_says() {
        let token = format!("?{}", query("k1", &url("/a"), None));
        let at = |now| judge_at(("shop.test", "192.0.2.1"), "/a", &token, &[], now);
        assert_eq!((at(ENDS - 1), at(ENDS)), (Ok(()), Err(Unsigned::Expired)));
    }

    #[test]
    fn it_may_be_for_the_clients_of_a_network() {
        for (network, client, expected) in [
            ("192.0.2.0/24", "192.0.2.7", Ok(())),
            ("192.0.2.0/24", "::ffff:192.0.2.7", Ok(())),
            ("192.0.2.0/24", "192.0.3.1", Err(Unsigned::OtherClient)),
            ("2001:db8::/32", "2001:db8::1", Ok(())),
        ] {
            let token = format!("?{}", query("k1", &url("/a"), Some(network)));
            assert_eq!(judge_at(("shop.test", client), "/a", &token, &[], 1), expected, "{client}");
            let everybody = token.replace(&format!("&nines-client={network}"), "");
            assert_eq!(judge_at(("shop.test", client), "/a", &everybody, &[], 1), Err(Unsigned::Wrong));
        }
    }

    #[test]
    fn what_is_missing_or_not_known_is_told_apart() {
        assert_eq!(judge("/a", "?a=b", &[]), Err(Unsigned::Missing));
        assert_eq!(judge("/a", "?nines-key=k1", &[]), Err(Unsigned::Malformed(BadToken)));
        let token = query("k1", &url("/a"), None).replace("=k1", "=k3");
        assert_eq!(judge("/a", &format!("?{token}"), &[]), Err(Unsigned::UnknownKey));
    }

    #[test]
    fn a_short_or_missing_secret_is_named_and_none_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("short"), "0123456789").unwrap();
        let load =
            |text: &str| Signed::load(&toml::from_str(text).unwrap(), dir.path()).map(drop).unwrap_err();
        let short = load("keys = { k1 = { file = 'short' } }").to_string();
        assert_eq!(short, "signed key k1: its secret has 10 bytes, at least 32");
        assert!(
            load("keys = { k1 = { file = 'none' } }").to_string().starts_with("signed key k1: secret file ")
        );
        assert!(!format!("{:?}", signed()).contains("0123"));
    }

    proptest! {
        #[test]
        fn no_change_of_a_signed_url_is_good(
            path in "/[a-z/]{0,10}",
            at in 0usize..160,
            to in "[a-z0-9&=/]",
        ) {
            let token = format!("?{}", query("k1", &url(&path), None));
            let mut changed = token.clone().into_bytes();
            // What comes before is no part of the query.
            let at = at.clamp(1, changed.len() - 1);
            changed[at] = to.as_bytes()[0];
            let changed = String::from_utf8(changed).unwrap();
            // Of a signature the case of its digits does not count.
            prop_assume!(changed != token);
            prop_assert!(judge(&path, &changed, &[]).is_err(), "{}", changed);
            prop_assert_eq!(judge(&path, &token, &[]), Ok(()));
        }
    }
}
