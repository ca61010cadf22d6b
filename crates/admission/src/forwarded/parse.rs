//! `Forwarded` (RFC 7239 §4).

use super::node::Node;
use std::borrow::Cow;
use thiserror::Error;

/// A line of `Forwarded` that breaks its grammar: nothing in it can be relied on, because it is not told where one proxy's
/// word ends and the next one's begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed Forwarded")]
pub struct Malformed;

/// What one proxy says of whom it was sent a request by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hop<'a> {
    /// Who that is (`for`).
    pub node: Option<Node>,
    /// The scheme that it came by (`proto`), such as `https`, without quotes and otherwise as it stands there.
    pub proto: Option<Cow<'a, [u8]>>,
}

/// Reads the value of one line: the word of each proxy, in order. Other parameters are read, and skipped.
pub fn parse_forwarded(value: &[u8]) -> Result<Vec<Hop<'_>>, Malformed> {
    let mut rest = Rest(value);
    let mut hops = Vec::new();
    loop {
        rest.skip_blanks();
        if let Some(hop) = element(&mut rest)? {
            hops.push(hop);
        }
        rest.skip_blanks();
        if rest.0.is_empty() {
            return Ok(hops);
        }
        if !rest.take(b',') {
            return Err(Malformed);
        }
    }
}

/// One proxy's pairs; `None` for an empty element of the list, which means nothing (RFC 9110 §5.6.1.2).
fn element<'a>(rest: &mut Rest<'a>) -> Result<Option<Hop<'a>>, Malformed> {
    if rest.0.is_empty() || rest.0.starts_with(b",") {
        return Ok(None);
    }
    let (mut hop, mut seen): (Hop<'_>, Vec<&[u8]>) = (Hop::default(), Vec::new());
    loop {
        // Pairs may be missing between semicolons; blanks are not in the grammar, but come from proxies.
        rest.skip_blanks();
        if !matches!(rest.0.first(), None | Some(b';' | b',')) {
            let name = rest.token().ok_or(Malformed)?;
            // RFC 7239 §4: no parameter stands twice for one proxy.
            if seen.iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) || seen.len() == PAIRS_MAX {
                return Err(Malformed);
            }
            seen.push(name);
            if !rest.take(b'=') {
                return Err(Malformed);
            }
            let value = rest.value().ok_or(Malformed)?;
            if name.eq_ignore_ascii_case(b"for") {
                hop.node = Some(Node::parse(&value).ok_or(Malformed)?);
            } else if name.eq_ignore_ascii_case(b"proto") {
                hop.proto = Some(value);
            }
            rest.skip_blanks();
        }
        if !rest.take(b';') {
            return Ok(Some(hop));
        }
    }
}

/// There are four parameters, and a registry that has had no other for ten years.
const PAIRS_MAX: usize = 16;

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// RFC 9110 §5.6.2.
    fn token(&mut self) -> Option<&'a [u8]> {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let end = self.0.iter().position(|byte| !is_token(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token or a quoted string (RFC 9110 §5.6.4), without its quotes.
    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut text = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(text.into()),
                b'\\' => {
                    let (escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    text.push(is_text(*escaped).then_some(*escaped)?);
                }
                other => text.push(is_text(*other).then_some(*other)?),
            }
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Option<Node>>, Malformed> {
        parse_forwarded(text.as_bytes()).map(|hops| hops.into_iter().map(|hop| hop.node).collect())
    }

    fn at(address: &str) -> Option<Node> {
        Some(Node::Address(address.parse().unwrap()))
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7239 §4 and §7.1.
        let hidden = Some(Node::Hidden("_gazonk".into()));
        for (text, nodes) in [
            ("for=\"_gazonk\"", vec![hidden]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec![at("2001:db8:cafe::17")]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![at("192.0.2.60")]),
            ("for=192.0.2.43, for=198.51.100.17", vec![at("192.0.2.43"), at("198.51.100.17")]),
            (
                "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
                vec![at("192.0.2.43"), at("2001:db8:cafe::17"), Some(Node::Unknown)],
            ),
        ] {
            assert_eq!(read(text), Ok(nodes), "{text}");
        }
    }

    #[test]
    fn ports_blanks_and_empty_elements_are_read() {
        for text in [
            "for=\"192.0.2.1:80\"",
            "for=\"192.0.2.1:_p\"",
            " for=192.0.2.1 ",
            ",, for=192.0.2.1 ,",
            "for=192.0.2.1; proto=https ;",
            ";for=192.0.2.1",
            "host=\"a\\\"b,c;d\";for=192.0.2.1",
            "for=\"192.0.2\\.1\"",
            "for=\"[::ffff:192.0.2.1]\"",
        ] {
            assert_eq!(read(text), Ok(vec![at("192.0.2.1")]), "{text}");
        }
        assert_eq!(read("proto=http"), Ok(vec![None]));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn each_proxy_has_its_own_scheme_or_none() {
        for (text, protos) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &[Some("http")][..]),
            ("Proto=HTTPS, proto=\"h\\ttps\"", &[Some("HTTPS"), Some("https")]),
            ("proto=http, for=192.0.2.1, host=\"a, b;proto=https\"", &[Some("http"), None, None]),
        ] {
            let hops = parse_forwarded(text.as_bytes()).unwrap();
            let read: Vec<Option<&[u8]>> = hops.iter().map(|hop| hop.proto.as_deref()).collect();
            let protos: Vec<Option<&[u8]>> = protos.iter().map(|proto| proto.map(str::as_bytes)).collect();
            assert_eq!(read, protos, "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_malformed() {
        for text in [
            "for",
            "for=",
            "=a",
            "for =a",
            "for= 192.0.2.1",
            "for=192.0.2.1 for=192.0.2.2",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;FOR=192.0.2.2",
            "proto=http;proto=https",
            "for=2001:db8::1",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[192.0.2.1]\"",
            "for=\"[2001:db8::1\"",
            "for=\"[2001:db8::1]x\"",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\\",
            "for=\"192.0.2.1:\"",
            "for=\"192.0.2.1:123456\"",
            "for=\"192.0.2.1:x\"",
            "for=nobody",
            "for=_",
            "for=\"_a b\"",
            "for=\"\u{1}\"",
            "for=192.0.2.01",
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
        let many: String = (0..17).map(|number| format!("p{number}=a;")).collect();
        assert_eq!(read(&many), Err(Malformed), "{many}");
    }

    proptest! {
        #[test]
        fn lists_in_one_line_are_those_of_two(left in ARBITRARY, right in ARBITRARY) {
            let both = read(&format!("{left},{right}"));
            if let (Ok(mut left), Ok(right)) = (read(&left), read(&right)) {
                left.extend(right);
                prop_assert_eq!(both, Ok(left));
            }
        }

        #[test]
        fn addresses_are_read_back(bits in proptest::collection::vec(any::<u128>(), 0..6)) {
            let addresses: Vec<_> = bits.iter().map(|bits| std::net::Ipv6Addr::from_bits(*bits)).collect();
            let text: Vec<String> = addresses.iter().map(|address| format!("for=\"[{address}]\"")).collect();
            let nodes = addresses.iter().map(|address| Some(Node::Address(std::net::IpAddr::V6(*address).to_canonical())));
            prop_assert_eq!(read(&text.join(", ")), Ok(nodes.collect()));
        }

        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_forwarded(&value);
        }
    }

    const ARBITRARY: &str =
        "((for|by|host)=(\"[a-z0-9_.:;,\\[\\]]{0,9}\"|[a-z0-9_.]{0,9})[;, ]?){0,3}|[ -~]{0,12}";
}
