//! How a signature is written: parameters of a query, or of a cookie's value in the same form.
//!
//! `nines-expires=1767225600&nines-key=k1&nines-below=/video/&nines-client=203.0.113.0/24&nines-signature=9f…`, in any
//! order; `nines-below` and `nines-client` only where they are meant.

use thiserror::Error;

const EXPIRES: &[u8] = b"nines-expires";
const KEY: &[u8] = b"nines-key";
const BELOW: &[u8] = b"nines-below";
const CLIENT: &[u8] = b"nines-client";
const SIGNATURE: &[u8] = b"nines-signature";
const ALL: [&[u8]; 5] = [EXPIRES, KEY, BELOW, CLIENT, SIGNATURE];

/// HMAC-SHA256.
pub(super) const SIGNATURE_BYTES: usize = 32;

/// A signature with what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: u64,
    /// The name of the key.
    pub key: Vec<u8>,
    /// The path that it is for all below of; the URL alone without it.
    pub below: Option<Vec<u8>>,
    /// The network of those who may use it; everybody without it.
    pub client: Option<Vec<u8>>,
    /// The signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Parameters that are no signature: one is missing, there twice, or malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature's parameters are malformed")]
pub struct BadToken;

impl Token {
    /// Reads the signature among the parameters of a query, with or without its `?`. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// There is a parameter of one, and they are none together.
    pub fn parse(query: &[u8]) -> Result<Option<Self>, BadToken> {
        let mut found: [Option<&[u8]>; ALL.len()] = [None; ALL.len()];
        for parameter in parameters(query) {
            let (name, value) = split(parameter);
            let Some(at) = ALL.iter().position(|known| *known == name) else { continue };
            if found[at].replace(value).is_some() {
                return Err(BadToken);
            }
        }
        let [expires, key, below, client, signature] = found;
        if found.iter().all(Option::is_none) {
            return Ok(None);
        }
        let (Some(expires), Some(key), Some(signature)) = (expires, key, signature) else {
            return Err(BadToken);
        };
        let below = below.map(decoded).transpose()?;
        if below.as_ref().is_some_and(|path| !(path.starts_with(b"/") && path.ends_with(b"/"))) {
            return Err(BadToken);
        }
        let token = Self {
            expires_unix_s: seconds(expires).ok_or(BadToken)?,
            key: decoded(key)?,
            below,
            client: client.map(decoded).transpose()?,
            signature: from_hex(signature).ok_or(BadToken)?,
        };
        // What is signed is lines.
        let texts = [Some(&token.key), token.below.as_ref(), token.client.as_ref()];
        let is_text = |text: &Vec<u8>| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        if texts.into_iter().flatten().all(is_text) { Ok(Some(token)) } else { Err(BadToken) }
    }

    /// Writes it as parameters, with `&` between them.
    pub fn write(&self, out: &mut Vec<u8>) {
        let ends = self.expires_unix_s.to_string();
        let signature: String = self.signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [
            (EXPIRES, Some(ends.as_bytes())),
            (KEY, Some(&self.key)),
            (BELOW, self.below.as_deref()),
            (CLIENT, self.client.as_deref()),
            (SIGNATURE, Some(signature.as_bytes())),
        ];
        let mut separator: &[u8] = b"";
        for (name, value) in parts {
            let Some(value) = value else { continue };
            for part in [separator, name, b"="] {
                out.extend_from_slice(part);
            }
            encode(value, out);
            separator = b"&";
        }
    }
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.strip_prefix(b"?").unwrap_or(query).split(|byte| *byte == b'&')
}

fn split(parameter: &[u8]) -> (&[u8], &[u8]) {
    match parameter.iter().position(|byte| *byte == b'=') {
        Some(at) => (&parameter[..at], &parameter[at + 1..]),
        None => (parameter, b""),
    }
}

/// Whether a parameter is one of a signature.
fn is_ours(parameter: &[u8]) -> bool {
    ALL.contains(&split(parameter).0)
}

/// The query without a signature, with its `?`; nothing where nothing is left.
pub(super) fn others(query: &[u8]) -> Vec<u8> {
    let mut kept = query.to_vec();
    let length = retain_others(&mut kept);
    kept.truncate(length);
    kept
}

/// Takes a signature out of a query in place. Returns the length of what is left, `?` and all.
pub fn retain_others(query: &mut [u8]) -> usize {
    let mut length = 0;
    let mut at = usize::from(query.first() == Some(&b'?'));
    while at <= query.len() {
        let end = query[at..].iter().position(|byte| *byte == b'&').map_or(query.len(), |found| at + found);
        // An empty parameter means nothing to anybody.
        if at < end && !is_ours(&query[at..end]) {
            // Its separator is in front of it; without a `?` in front there is none for the first.
            if at > 0 {
                query[length] = if length == 0 { b'?' } else { b'&' };
                length += 1;
            }
            query.copy_within(at..end, length);
            length += end - at;
        }
        at = end + 1;
    }
    length
}

/// Takes cookies of this name out of a `Cookie` field in place. Returns the length of what is left.
pub fn retain_other_cookies(value: &mut [u8], name: &[u8]) -> usize {
    let (mut length, mut at) = (0, 0);
    while at <= value.len() {
        let end = value[at..].iter().position(|byte| *byte == b';').map_or(value.len(), |found| at + found);
        if !is_named(&value[at..end], name) {
            let mut from = at;
            if length == 0 {
                from += value[at..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            } else {
                value[length] = b';';
                length += 1;
            }
            value.copy_within(from..end, length);
            length += end - from;
        }
        at = end + 1;
    }
    length
}

fn is_named(cookie: &[u8], name: &[u8]) -> bool {
    split(cookie.trim_ascii_start()).0 == name
}

fn seconds(text: &[u8]) -> Option<u64> {
    let is_plain = (1..=12).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) && text[0] != b'0';
    if is_plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

fn from_hex(text: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
    let mut bytes = [0; SIGNATURE_BYTES];
    if text.len() != 2 * SIGNATURE_BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    // 16 is within a byte.
    char::from(letter).to_digit(16).map(|digit| digit as u8)
}

fn decoded(value: &[u8]) -> Result<Vec<u8>, BadToken> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let pair = after.first_chunk::<2>().ok_or(BadToken)?;
        out.push(digit(pair[0]).ok_or(BadToken)? << 4 | digit(pair[1]).ok_or(BadToken)?);
        rest = &after[2..];
    }
    Ok(out)
}

/// Encoded where it must be in a query and in a cookie (RFC 3986 §3.4, RFC 6265 §4.1.1).
fn encode(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                out.push(*byte);
            }
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token {
            expires_unix_s: 1_767_225_600,
            key: b"k1".to_vec(),
            below: None,
            client: None,
            signature: [0x9f; 32],
        }
    }

    fn written(token: &Token) -> String {
        let mut out = Vec::new();
        token.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn rest(query: &str) -> String {
        String::from_utf8(others(query.as_bytes())).unwrap()
    }

    fn cookies(value: &str) -> String {
        let mut kept = value.as_bytes().to_vec();
        let length = retain_other_cookies(&mut kept, b"s");
        String::from_utf8(kept[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_token_is_written_as_parameters() {
        let hex = "9f".repeat(32);
        assert_eq!(written(&token()), format!("nines-expires=1767225600&nines-key=k1&nines-signature={hex}"));
        let below =
            Token { below: Some(b"/a&b=/".to_vec()), client: Some(b"2001:db8::/32".to_vec()), ..token() };
        assert_eq!(
            written(&below),
            format!(
                "nines-expires=1767225600&nines-key=k1&nines-below=/a%26b%3D/&nines-client=2001:db8::/32&nines-signature={hex}"
            )
        );
    }

    #[test]
    fn a_token_is_whole_or_none() {
        let whole = written(&token());
        assert_eq!(Token::parse(b""), Ok(None));
        assert_eq!(Token::parse(b"?expires=1&key=2&signature=3"), Ok(None), "another's");
        assert_eq!(Token::parse(format!("?a=1&{whole}&b").as_bytes()), Ok(Some(token())));
        for (from, to) in [
            ("nines-key=k1", "a=1"),
            ("nines-key=k1", "nines-key="),
            ("nines-key=k1", "nines-key=k1&nines-key=k1"),
            ("nines-key=k1", "nines-key=k1&nines-below=/a"),
            ("nines-key=k1", "nines-key=k1&nines-below="),
            ("nines-key=k1", "nines-key=k1&nines-client="),
            ("nines-key=k1", "nines-key=k1&nines-client=a%0Ab"),
            ("nines-key=k1", "nines-key=%"),
            ("nines-key=k1", "nines-key=%g1"),
            ("=1767225600", "=01767225600"),
            ("=1767225600", "=-1"),
            ("=1767225600", "=9999999999999"),
            ("nines-signature=9f", "nines-signature="),
            ("nines-signature=9f", "nines-signature=9g"),
        ] {
            assert!(whole.contains(from));
            assert_eq!(Token::parse(whole.replace(from, to).as_bytes()), Err(BadToken), "{from} -> {to}");
        }
    }

    #[test]
    fn what_is_left_of_a_query_is_as_if_nobody_had_signed() {
        for (query, left) in [
            ("", ""),
            ("?", ""),
            ("?nines-key=1", ""),
            ("?nines-key=1&a=b", "?a=b"),
            ("?a=b&nines-key=1&nines-signature=2&c&nines-expires", "?a=b&c"),
            ("?&a&&b&", "?a&b"),
            ("?nines-keys=1&xnines-key=2", "?nines-keys=1&xnines-key=2"),
        ] {
            assert_eq!(rest(query), left, "{query}");
        }
    }

    #[test]
    fn only_cookies_of_the_name_are_taken_out() {
        for (value, left) in [
            ("s=1", ""),
            ("a=1; s=2; b=3", "a=1; b=3"),
            ("s=2; b=3", "b=3"),
            ("a=1;s=2", "a=1"),
            ("ss=1; s2=2; S=3", "ss=1; s2=2; S=3"),
            ("s=1; s=2", ""),
            ("a=s=1; s", "a=s=1"),
        ] {
            assert_eq!(cookies(value), left, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            expires_unix_s in 1u64..1_000_000_000_000,
            key in "[a-zA-Z0-9._-]{1,32}",
            below in prop::option::of("/([!-~]{1,20}/)?"),
            client in prop::option::of("[!-~]{1,20}"),
            signature in any::<[u8; 32]>(),
        ) {
            let bytes = |text: Option<String>| text.map(String::into_bytes);
            let token = Token { expires_unix_s, key: key.into_bytes(), below: bytes(below), client: bytes(client), signature };
            let text = written(&token);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)), "fit for a cookie: {}", text);
            prop_assert_eq!(Token::parse(text.as_bytes()), Ok(Some(token)));
        }

        #[test]
        fn nothing_of_a_signature_is_left_and_all_else_is(query in "(\\?[a-z&=-]{0,12})?(&?(nines-key|nines-below|nines-signature|a)(=[a-z]{0,3})?){0,4}") {
            let query = if query.starts_with('?') { query } else { format!("?{query}") };
            let left = rest(&query);
            prop_assert_eq!(Token::parse(left.as_bytes()), Ok(None));
            prop_assert_eq!(rest(&left), left.clone(), "twice is once");
            let of = |text: &str| -> Vec<String> {
                let all = text.trim_start_matches('?').split('&').map(str::to_owned);
                all.filter(|one| !one.is_empty() && !is_ours(one.as_bytes())).collect()
            };
            prop_assert_eq!(of(&left), of(&query));
        }

        #[test]
        fn no_bytes_make_it_fall_over(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _read = Token::parse(&bytes);
            let length = retain_others(&mut bytes.clone());
            prop_assert!(length <= bytes.len());
            let length = retain_other_cookies(&mut bytes, b"s");
            prop_assert!(length <= bytes.len());
        }
    }
}
