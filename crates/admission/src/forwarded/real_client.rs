//! The client behind trusted proxies: who it is, and how it came.

use super::node::Node;
use super::parse::{Hop, parse_forwarded};
use crate::networks::Trust;
use std::net::IpAddr;

/// No chain of proxies is longer; what stands further left is not looked at.
const HOPS_MAX: usize = 32;

/// Who the client is. A proxy that is believed has named whom it was sent the request by, at the right end of the
/// list; if that is a proxy that is believed in turn, it has named somebody left of it, and so on: the first that is
/// not believed is the client. Where nobody is named, or nobody that has an address, it is the last one who was named.
///
/// Of [`Trust::Everybody`] it is only known that whoever connects is believed: the client is whom that one names.
///
/// `forwarded_for` are the values of `X-Forwarded-For` and `forwarded` those of `Forwarded`, each in the order of the
/// message. Where there is any `X-Forwarded-For`, `Forwarded` is not read: a proxy that knows only the one passes the
/// other on as its client has made it up, and the one that all of them know is the former.
pub fn real_client<'v, F, X>(peer: IpAddr, trust: &Trust, forwarded_for: X, forwarded: F) -> IpAddr
where
    X: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
    F: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
{
    let peer = peer.to_canonical();
    if !trust.believes(peer) {
        return peer;
    }
    let mut lines = forwarded_for.into_iter().rev().peekable();
    if lines.peek().is_some() {
        let entries = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        walk(peer, trust, entries.map(Node::parse_loosely))
    } else {
        let hops = forwarded.into_iter().rev().flat_map(from_the_right);
        walk(peer, trust, hops.map(|hop| hop.node))
    }
}

/// Whether a proxy that is believed says that whoever sent it the request came by HTTPS. What stands last is its word:
/// before that may stand what its client has made up.
///
/// `forwarded_for` and `forwarded_proto` are the values of `X-Forwarded-For` and `X-Forwarded-Proto`, and `forwarded` those of
/// `Forwarded`, each in the order of the message. Where there is any of the former two, `Forwarded` is not read, as with
/// [`real_client`]: a proxy that speaks by them passes on what its client says there.
pub fn came_by_https<'v, A, X, F>(forwarded_for: A, forwarded_proto: X, forwarded: F) -> bool
where
    A: IntoIterator<Item = &'v [u8]>,
    X: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
    F: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
{
    let is_https = |scheme: &[u8]| scheme.trim_ascii().eq_ignore_ascii_case(b"https");
    match forwarded_proto.into_iter().next_back() {
        Some(line) => line.rsplit(|byte| *byte == b',').next().is_some_and(is_https),
        None if forwarded_for.into_iter().next().is_some() => false,
        None => {
            let last = forwarded.into_iter().rev().flat_map(from_the_right).next();
            last.and_then(|hop| hop.proto).is_some_and(|proto| is_https(&proto))
        }
    }
}

/// What one line of `Forwarded` says, the last proxy first. Of a line that is malformed as a whole those elements are
/// read that stand at its right end by themselves, because proxies have written them there: with an open quote at the
/// left end, a client could be taken for the proxy.
fn from_the_right(line: &[u8]) -> Vec<Hop<'_>> {
    let (mut rest, mut hops) = (line, Vec::new());
    if let Ok(whole) = parse_forwarded(line) {
        hops = whole;
        hops.reverse();
        return hops;
    }
    while hops.len() < HOPS_MAX {
        let commas = rest.iter().enumerate().rev().filter(|(_, byte)| **byte == b',').take(HOPS_MAX);
        let mut ends = commas.map(|(at, _)| (at, parse_forwarded(&rest[at + 1..])));
        let Some((at, Ok(last))) = ends.find(|(_, hops)| hops.is_ok()) else { break };
        hops.extend(last.into_iter().rev());
        rest = &rest[..at];
    }
    // Whoever comes next has said nothing, at which the walk ends.
    hops.push(Hop::default());
    hops
}

/// From the right to the left. `None` is a proxy that has named nobody.
fn walk(peer: IpAddr, trust: &Trust, nodes: impl Iterator<Item = Option<Node>>) -> IpAddr {
    let mut client = peer;
    for node in nodes.take(HOPS_MAX) {
        let Some(Node::Address(address)) = node else { break };
        client = address;
        if !matches!(trust, Trust::Networks(networks) if networks.contains(address)) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::TrustConfig;
    use proptest::prelude::*;
    use std::path::Path;

    fn trust(config: &str) -> Trust {
        #[derive(serde::Deserialize)]
        struct File {
            trust: TrustConfig,
        }
        let file: File = toml::from_str(&format!("trust = {config}")).unwrap();
        Trust::load(&file.trust, Path::new(".")).unwrap()
    }

    const PROXIES: &str = "[\"10.0.0.0/8\", \"2001:db8:ffff::/48\"]";

    fn client(trust: &Trust, peer: &str, forwarded_for: &[&str], forwarded: &[&str]) -> String {
        let bytes = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
        let (forwarded_for, forwarded) = (bytes(forwarded_for), bytes(forwarded));
        let lines = forwarded_for.iter().map(Vec::as_slice);
        real_client(peer.parse().unwrap(), trust, lines, forwarded.iter().map(Vec::as_slice)).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let spoofed = (&["192.0.2.9"][..], &["for=192.0.2.9"][..]);
        assert_eq!(client(&trust("false"), "10.0.0.1", spoofed.0, spoofed.1), "10.0.0.1");
        assert_eq!(client(&trust(PROXIES), "11.0.0.1", spoofed.0, spoofed.1), "11.0.0.1");
    }

    #[test]
    fn the_first_from_the_right_who_is_not_trusted_is_the_client() {
        let trust = trust(PROXIES);
        for (forwarded_for, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["8.8.8.8, 192.0.2.1"], "192.0.2.1"),
            (&["8.8.8.8, 192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
            (&["8.8.8.8", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.1, 2001:db8:ffff::1"], "192.0.2.1"),
            (&["192.0.2.1, [2001:db8:ffff::1]:443, 10.0.0.2:80"], "192.0.2.1"),
            (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.5, 10.0.0.2"], "10.0.0.5"),
            (&["192.0.2.1,, , 10.0.0.2 ,"], "192.0.2.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(&trust, "10.0.0.1", forwarded_for, &[]), expected, "{forwarded_for:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk_at_the_last_good_one() {
        let trust = trust(PROXIES);
        for (forwarded_for, expected) in [
            (&["192.0.2.1, nonsense, 10.0.0.2"][..], "10.0.0.2"),
            (&["192.0.2.1, nonsense"], "10.0.0.1"),
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1, 10.0.0.999"], "10.0.0.1"),
        ] {
            assert_eq!(client(&trust, "10.0.0.1", forwarded_for, &[]), expected, "{forwarded_for:?}");
        }
        for (forwarded, expected) in [
            (&["for=192.0.2.1, for=_hidden, for=10.0.0.2"][..], "10.0.0.2"),
            (&["for=192.0.2.1", "for=\"broken", "for=10.0.0.2"], "10.0.0.2"),
            (&["for=192.0.2.1, proto=https"], "10.0.0.1"),
            (&["for=192.0.2.1, for=2001:db8::1"], "10.0.0.1"),
            (&["for=192.0.2.1, for=2001:db8::1, for=10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(client(&trust, "10.0.0.1", &[], forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn forwarded_is_read_where_there_is_nothing_else() {
        let trust = trust(PROXIES);
        let forwarded = ["for=8.8.8.8;proto=http, for=\"[2001:db8::7]:99\"", "for=10.0.0.2"];
        assert_eq!(client(&trust, "10.0.0.1", &[], &forwarded), "2001:db8::7");
        assert_eq!(client(&trust, "10.0.0.1", &["192.0.2.1"], &forwarded), "192.0.2.1");
        assert_eq!(client(&trust, "::ffff:10.0.0.1", &["192.0.2.1"], &[]), "192.0.2.1");
    }

    #[test]
    fn where_everybody_is_trusted_the_last_one_named_is_the_client() {
        let trust = trust("true");
        assert_eq!(client(&trust, "10.0.0.1", &["8.8.8.8, 192.0.2.1"], &[]), "192.0.2.1");
        assert_eq!(client(&trust, "10.0.0.1", &[], &["for=8.8.8.8", "for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&trust, "10.0.0.1", &[], &[]), "10.0.0.1");
    }

    fn by_https(forwarded_proto: &[&str], forwarded: &[&str]) -> bool {
        let bytes = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
        let (forwarded_proto, forwarded) = (bytes(forwarded_proto), bytes(forwarded));
        came_by_https([], forwarded_proto.iter().map(Vec::as_slice), forwarded.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_proxy_that_names_addresses_alone_does_not_vouch_for_what_its_client_says_elsewhere() {
        let forwarded = [&b"proto=https"[..]];
        assert!(came_by_https([], [], forwarded));
        assert!(!came_by_https([&b"192.0.2.1"[..]], [], forwarded));
    }

    #[test]
    fn the_last_proxy_s_word_says_what_its_client_came_by() {
        for (forwarded_proto, forwarded, expected) in [
            (&[][..], &[][..], false),
            (&["https"], &[], true),
            (&["http, HTTPS "], &[], true),
            (&["https, http"], &[], false),
            (&["https", "http"], &[], false),
            (&["https,"], &[], false),
            (&[], &["for=192.0.2.1;proto=https"], true),
            (&[], &["proto=http, for=192.0.2.1; Proto=\"HTTPS\" ;by=_a"], true),
            (&[], &["proto=https, for=192.0.2.1"], false),
            (&[], &["proto=https", "proto=http"], false),
            (&[], &["proto=http;host=\"a, b;proto=https;c\""], false),
            (&[], &["for=\"broken, for=192.0.2.1;proto=https"], true),
            (&[], &["proto=https, for=\"broken"], false),
            (&["http"], &["proto=https"], false),
        ] {
            assert_eq!(by_https(forwarded_proto, forwarded), expected, "{forwarded_proto:?} {forwarded:?}");
        }
    }

    #[test]
    fn a_chain_without_end_is_walked_so_far() {
        let chain = format!("192.0.2.1{}", ", 10.0.0.2".repeat(HOPS_MAX));
        assert_eq!(client(&trust(PROXIES), "10.0.0.1", &[&chain], &[]), "10.0.0.2");
    }

    proptest! {
        #[test]
        fn what_a_client_sends_is_never_believed(made_up in "[ -~]{0,40}", is_line: bool) {
            let trust = trust(PROXIES);
            // The proxy appends to the client's line, or adds its own behind it.
            let appended = format!("{made_up}, 192.0.2.1");
            let lines = if is_line { vec![made_up.as_str(), "192.0.2.1"] } else { vec![appended.as_str()] };
            prop_assert_eq!(client(&trust, "10.0.0.1", &lines, &[]), "192.0.2.1");
        }

        #[test]
        fn what_a_client_sends_as_forwarded_is_never_believed(
            made_up in "[ -~]{0,40}|((for|host)=\"?[0-9,;.]{0,9}\"?[,; ]?){0,3}", is_line: bool, hops in 0..3usize,
        ) {
            let by_proxies = format!("for=192.0.2.1;host=\"a,b;for=8.8.8.8\"{}", ", for=10.0.0.2".repeat(hops));
            let appended = format!("{made_up}, {by_proxies}");
            let lines = if is_line { vec![made_up.as_str(), &by_proxies] } else { vec![appended.as_str()] };
            prop_assert_eq!(client(&trust(PROXIES), "10.0.0.1", &[], &lines), "192.0.2.1");
        }

        #[test]
        fn a_scheme_that_a_client_sends_is_never_believed(
            made_up in "[ -~]{0,40}|((for|host|proto)=\"?(https)?\"?[,; ]?){0,3}", is_line: bool, by_https_too: bool,
        ) {
            let scheme = if by_https_too { "https" } else { "http" };
            let word = format!("for=192.0.2.1;proto={scheme};host=\"a,b;proto=https\"");
            let (appended, forwarded) = (format!("{made_up}, {scheme}"), format!("{made_up}, {word}"));
            let lines = if is_line { vec![made_up.as_str(), scheme] } else { vec![appended.as_str()] };
            prop_assert_eq!(by_https(&lines, &[]), by_https_too);
            let lines = if is_line { vec![made_up.as_str(), &word] } else { vec![forwarded.as_str()] };
            prop_assert_eq!(by_https(&[], &lines), by_https_too);
        }
    }
}
