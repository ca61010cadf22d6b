//! What a response is stored under: scheme, host, path and query (RFC 9111 §2), and a hash of them.

use crate::siphash::SipHash;

/// Where a request goes. The path is normalised by whoever chose the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// The host with its port, as it came.
    pub host: &'a [u8],
    /// The path, from its `/` on.
    pub path: &'a [u8],
    /// The query with its `?`, or empty.
    pub query: &'a [u8],
}

/// Which parameters of a query make another response.
///
/// What is not in the key must not reach the origin either: else one client chooses, by what the key leaves out, what others get.
/// [`QueryPolicy::write`] gives the query that is fetched with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueryPolicy {
    /// All of it, as it stands.
    #[default]
    All,
    /// None of it.
    None,
    /// All parameters, sorted by name; those of one name keep their order.
    Sorted,
    /// These parameters alone, sorted.
    Keep(Box<[Box<str>]>),
    /// All parameters but these, sorted. A name that ends in `*` stands for all that begin so.
    Drop(Box<[Box<str>]>),
}

impl QueryPolicy {
    /// Writes the query that counts, with its `?`; nothing where nothing counts.
    pub fn write(&self, query: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::All => out.extend_from_slice(query),
            Self::None => {}
            Self::Sorted => write_sorted(query, |_| true, out),
            Self::Keep(names) => write_sorted(query, |name| is_named(names, name), out),
            Self::Drop(names) => write_sorted(query, |name| !is_named(names, name), out),
        }
    }
}

fn write_sorted(query: &[u8], is_kept: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let mut parameters: Vec<(Vec<u8>, &[u8])> = query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| (decoded_name(parameter), parameter))
        .filter(|(name, _)| is_kept(name))
        .collect();
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (at, (_, parameter)) in parameters.into_iter().enumerate() {
        out.push(if at == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter);
    }
}

/// A parameter's name as applications read it, so that `%69d` is kept where `id` is.
fn decoded_name(parameter: &[u8]) -> Vec<u8> {
    let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut decoded = Vec::with_capacity(name.len());
    let mut at = 0;
    let digit = |at: usize| name.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    while at < name.len() {
        match (name[at], digit(at + 1), digit(at + 2)) {
            // Two hexadecimal digits are below 256.
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

fn is_named(names: &[Box<str>], name: &[u8]) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == known.as_bytes(),
    })
}

/// Writes the key of a target: `https://shop.test/a?b=1`. The host is in lower case, without the port that the scheme has anyway.
/// Nothing else makes a key: two routes that answer for one URL share its responses, and a purge needs no more than the URL.
pub fn write_key(target: &Target<'_>, policy: &QueryPolicy, out: &mut Vec<u8>) {
    write_origin(target, out);
    out.extend_from_slice(if target.path.is_empty() { b"/" } else { target.path });
    policy.write(target.query, out);
}

fn write_origin(target: &Target<'_>, out: &mut Vec<u8>) {
    out.extend(target.scheme.iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(b"://");
    let port: &[u8] = if target.scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    let host = target.host.strip_suffix(port).unwrap_or(target.host);
    out.extend(host.iter().map(u8::to_ascii_lowercase));
}

/// A key: all its bytes, by which alone two keys are the same, and their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Of the bytes, by a [`KeyHasher`].
    pub hash: u128,
    /// As [`write_key`] writes them.
    pub bytes: Box<[u8]>,
}

/// Hashes keys with a secret, so that nobody can choose URLs that meet in one place of a table.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher(SipHash);

impl KeyHasher {
    /// With this secret: random, and the same for as long as hashes are kept.
    pub fn new(secret: [u64; 2]) -> Self {
        Self(SipHash::new(secret))
    }

    /// The hash of a key's bytes.
    pub fn hash(&self, bytes: &[u8]) -> u128 {
        self.0.hash::<1, 3>(bytes)
    }

    /// The key of these bytes.
    pub fn key(&self, bytes: &[u8]) -> Key {
        Key { hash: self.hash(bytes), bytes: bytes.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(policy: &QueryPolicy, query: &str) -> String {
        let mut out = Vec::new();
        policy.write(query.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn names(names: &[&str]) -> Box<[Box<str>]> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn a_key_is_the_url_with_its_host_in_one_form() {
        let key = |scheme: &str, host: &str, path: &str, query: &str| {
            let target = Target {
                scheme: scheme.as_bytes(),
                host: host.as_bytes(),
                path: path.as_bytes(),
                query: query.as_bytes(),
            };
            let mut out = Vec::new();
            write_key(&target, &QueryPolicy::All, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(key("https", "Shop.test:443", "/A", "?b=1&a"), "https://shop.test/A?b=1&a");
        assert_eq!(key("http", "shop.test:80", "", ""), "http://shop.test/");
        assert_eq!(key("http", "shop.test:443", "/", "?"), "http://shop.test:443/?");
        assert_ne!(key("http", "a", "/", ""), key("https", "a", "/", ""));
    }

    #[test]
    fn a_query_is_kept_sorted_or_dropped_by_names() {
        let asked = "?b=2&utm_source=x&a=1&&b=1&%75tm_medium=y&A=3";
        assert_eq!(query(&QueryPolicy::All, asked), asked);
        assert_eq!(query(&QueryPolicy::None, asked), "");
        assert_eq!(query(&QueryPolicy::Sorted, "?b=2&a=1&b=1"), "?a=1&b=2&b=1");
        assert_eq!(query(&QueryPolicy::Drop(names(&["utm_*"])), asked), "?A=3&a=1&b=2&b=1");
        assert_eq!(query(&QueryPolicy::Keep(names(&["a", "id"])), "?%69d=5&b=1&a"), "?a&%69d=5");
        assert_eq!(query(&QueryPolicy::Keep(names(&["a"])), "?b=1"), "");
        assert_eq!(query(&QueryPolicy::Keep(names(&["a b"])), "?a+b=1&a%20b=2"), "?a+b=1&a%20b=2");
    }

    #[test]
    fn a_secret_makes_other_hashes() {
        let (one, other) = (KeyHasher::new([1, 2]), KeyHasher::new([1, 3]));
        assert_ne!(one.hash(b"a"), other.hash(b"a"));
        assert_ne!(one.hash(b"a"), one.hash(b"b"));
        assert_eq!(one.key(b"a"), Key { hash: one.hash(b"a"), bytes: b"a"[..].into() });
    }

    proptest! {
        #[test]
        fn sorting_twice_is_sorting_once_and_order_of_names_does_not_count(parameters in prop::collection::vec("[a-c%=0-9]{0,5}", 0..6)) {
            let sorted = query(&QueryPolicy::Sorted, &format!("?{}", parameters.join("&")));
            prop_assert_eq!(&query(&QueryPolicy::Sorted, &sorted), &sorted);
            let dropped = query(&QueryPolicy::Drop(Box::default()), &sorted);
            prop_assert_eq!(dropped, sorted);
        }
    }
}
