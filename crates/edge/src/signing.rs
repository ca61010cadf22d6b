//! `nines sign URL`: a URL, or a cookie, that the route of that URL lets in.

use crate::explain::{Query, QueryError, Read, read};
use crate::gate::strip;
use crate::loading::compile_offline;
use crate::running::EdgeParts;
use admission::signed::{Grant, Scope};
use admission::{Network, NotANetwork, Signed};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// What is to be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignWish {
    /// `https://shop.test/video/film.mp4`; the port is not looked at.
    pub url: String,
    /// For how long it is good.
    pub lifetime: Duration,
    /// For all in the folder of the URL and below.
    pub below: bool,
    /// Whose clients may use it: `"203.0.113.0/24"`.
    pub client: Option<String>,
    /// The name of the key; the only one there is without it.
    pub key: Option<String>,
}

/// What lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrl {
    /// The URL with its signature.
    pub url: String,
    /// The value of a `Set-Cookie` field with the same.
    pub cookie: String,
}

/// Why something cannot be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// It is no URL of ours, or the file's parts do not fit together.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It has no scheme.
    #[error("{0:?} is no URL: it begins with http:// or https://")]
    NoUrl(String),
    /// The file has no route for it.
    #[error("no route answers {0}")]
    NoRoute(String),
    /// Its route serves everybody.
    #[error("route {0} asks for no signature: it has no `signed`, nor has its site")]
    NotSigned(String),
    /// It is not said which key.
    #[error("route {route} has several keys: say which ({keys})")]
    WhichKey {
        /// The route.
        route: String,
        /// Their names.
        keys: String,
    },
    /// There is no such key.
    #[error("route {route} has no key {key}: it has {keys}")]
    UnknownKey {
        /// The route.
        route: String,
        /// The name.
        key: String,
        /// The names that there are.
        keys: String,
    },
    /// The clients are no network.
    #[error(transparent)]
    Client(#[from] NotANetwork),
}

/// Signs by the keys of the file, with no edge running.
///
/// # Errors
/// The URL is none that a route with keys answers, or the wish does not say enough.
pub fn sign(parts: &EdgeParts, wish: &SignWish, now: SystemTime) -> Result<SignedUrl, SignError> {
    let (url, is_secure) = (&wish.url, wish.url.starts_with("https://"));
    if !(is_secure || url.starts_with("http://")) {
        return Err(SignError::NoUrl(url.clone()));
    }
    let snapshot = compile_offline(parts).map_err(QueryError::from)?;
    let Read { mut head, mut bytes, host, path } = read(&Query { url: url.clone(), ..Query::default() })?;
    let site = snapshot.sites.find(&host).map(|(site, _)| site);
    let route = site.and_then(|site| site.find(&path, &head, &bytes));
    let route = route.ok_or_else(|| SignError::NoRoute(url.clone()))?;
    let signed = route.gate.signed().ok_or_else(|| SignError::NotSigned(route.path.clone()))?;
    // What was signed before is signed anew.
    strip(signed, &mut head, &mut bytes);
    let query = head.query.of_head(&bytes);
    let folder = &path[..=memchr::memrchr(b'/', &path).unwrap_or(0)];
    let scope = match wish.below {
        true => Scope::Below(folder.to_vec()),
        false => Scope::Url([&path, query].concat()),
    };
    let ends = now.duration_since(UNIX_EPOCH).unwrap_or_default() + wish.lifetime;
    let client = wish.client.as_ref().map(|text| text.parse::<Network>()).transpose()?;
    let grant = Grant { host: &host, scope: &scope, expires_unix_s: ends.as_secs(), client };
    let key = key(signed, wish, &route.path)?;
    let token = signed.sign(&key, &grant);
    let mut parameters = Vec::new();
    // The key is one of those.
    token.iter().for_each(|token| token.write(&mut parameters));
    let parameters = text(&parameters);
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let separator = if query.is_empty() { "?" } else { "&" };
    let at = if wish.below { folder } else { &path };
    Ok(SignedUrl {
        url: format!("{bare}{}{separator}{parameters}", text(query)),
        cookie: set_cookie(signed.cookie(), &parameters, &text(at), wish.lifetime, is_secure),
    })
}

fn key<'a>(signed: &Signed, wish: &'a SignWish, route: &str) -> Result<Cow<'a, str>, SignError> {
    let names: Vec<&str> = signed.key_names().collect();
    let (route, keys) = (route.to_owned(), names.join(", "));
    match (&wish.key, names.as_slice()) {
        (Some(key), names) if names.contains(&key.as_str()) => Ok(key.into()),
        (Some(key), _) => Err(SignError::UnknownKey { route, key: key.clone(), keys }),
        (None, [only]) => Ok((*only).to_owned().into()),
        (None, _) => Err(SignError::WhichKey { route, keys }),
    }
}

/// RFC 6265 §4.1.1. Browsers send it where it is good for something.
fn set_cookie(name: &str, value: &str, path: &str, lifetime: Duration, is_secure: bool) -> String {
    // A path with a `;` in it cannot be said.
    let path = if path.contains(';') { "/" } else { path };
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={}{secure}; HttpOnly; SameSite=Lax", lifetime.as_secs())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EdgeConfig;
    use crate::explain::{Explanation, explain};
    use std::collections::HashMap;

    fn parts() -> (EdgeParts, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::write(dir.path().join(name), name.repeat(12)).unwrap();
        }
        let site = "route.'/' = { respond = {} }\n\
                    [route.'/v/']\nrespond = {}\nsigned = { keys = { k1 = { file = 'one' } } }\n\
                    [route.'/w/']\nrespond = {}\nsigned = { keys = { k1 = { file = 'one' }, k2 = { file = 'two' } }, cookie = 'media' }";
        let parts = EdgeParts {
            config: EdgeConfig::default(),
            sites: [(notation::Name::new("shop.test"), toml::from_str(site).unwrap())].into(),
            pools: HashMap::new(),
            pushes: None,
            dir: dir.path().into(),
            data: "data".into(),
            cdn: None,
            dns: None,
        };
        (parts, dir)
    }

    fn wish(url: &str) -> SignWish {
        SignWish { url: url.into(), lifetime: Duration::from_secs(3600), ..SignWish::default() }
    }

    fn explained(parts: &EdgeParts, url: &str, cookie: Option<&str>) -> Explanation {
        let headers = cookie.map(|cookie| ("Cookie".to_owned(), cookie.to_owned()));
        let client = Some("192.0.2.1".parse().unwrap());
        let query =
            Query { url: url.into(), headers: headers.into_iter().collect(), client, ..Query::default() };
        explain(parts, &query).unwrap()
    }

    #[test]
    fn what_is_signed_is_let_in_and_explained() {
        let (parts, _dir) = parts();
        let now = SystemTime::now();
        let action = |url: &str, cookie: Option<&str>| explained(&parts, url, cookie).action;
        let bare = "http://shop.test/v/a?b=c";
        assert_eq!(action(bare, None), "refuse with 403 Forbidden: there is no signature");
        let signed = sign(&parts, &wish(bare), now).unwrap();
        assert!(signed.url.starts_with("http://shop.test/v/a?b=c&nines-expires="), "{}", signed.url);
        assert_eq!(action(&signed.url, None), "respond 200");
        assert_eq!(action(bare, Some(&signed.cookie)), "respond 200");
        assert_eq!(sign(&parts, &wish(&signed.url), now).unwrap(), signed, "once is enough");
        let other = signed.url.replace("/v/a", "/v/b");
        assert_eq!(action(&other, None), "refuse with 403 Forbidden: the signature is not of this URL");
        let late = sign(&parts, &wish(bare), now - Duration::from_secs(3600)).unwrap();
        assert_eq!(action(&late.url, None), "refuse with 403 Forbidden: the signature has expired");
    }

    #[test]
    fn a_folder_is_signed_by_a_url_in_it() {
        let (parts, _dir) = parts();
        let wish = SignWish {
            below: true,
            key: Some("k2".into()),
            ..wish("https://Shop.test:8443/w/x/../a%62/c.ts")
        };
        let signed = sign(&parts, &wish, SystemTime::now()).unwrap();
        assert!(
            signed.url.starts_with("https://Shop.test:8443/w/x/../a%62/c.ts?nines-expires="),
            "{}",
            signed.url
        );
        assert!(signed.cookie.starts_with("media=nines-expires="), "{}", signed.cookie);
        assert!(signed.cookie.ends_with("; Path=/w/ab/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"));
        let action = |url: &str| explained(&parts, url, Some(&signed.cookie)).action;
        assert_eq!(action("http://shop.test/w/ab/d"), "respond 200");
        assert_eq!(
            action("http://shop.test/w/"),
            "refuse with 403 Forbidden: the signature is for what is below another path"
        );
    }

    #[test]
    fn what_cannot_be_signed_says_why() {
        let (parts, _dir) = parts();
        let why = |wish: SignWish| sign(&parts, &wish, SystemTime::now()).unwrap_err().to_string();
        assert_eq!(why(wish("/v/a")), "\"/v/a\" is no URL: it begins with http:// or https://");
        assert_eq!(why(wish("http://other.test/")), "no route answers http://other.test/");
        assert_eq!(
            why(wish("http://shop.test/")),
            "route / asks for no signature: it has no `signed`, nor has its site"
        );
        assert_eq!(why(wish("http://shop.test/w/")), "route /w/ has several keys: say which (k1, k2)");
        let k3 = SignWish { key: Some("k3".into()), ..wish("http://shop.test/w/") };
        assert_eq!(why(k3), "route /w/ has no key k3: it has k1, k2");
        let nobody = SignWish { client: Some("everybody".into()), ..wish("http://shop.test/v/") };
        assert!(why(nobody).starts_with("\"everybody\" is not a network"));
    }
}
