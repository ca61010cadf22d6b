//! What a proxy adds to the requests it passes on: who the client is, and how the request can be traced.

use crate::protocol::Version;
use rand::{Rng, RngExt};
use std::net::IpAddr;
use telemetry::TraceContext;

/// A request's identity.
#[derive(Debug, Clone)]
pub(crate) struct RequestIds {
    /// The value of `X-Request-Id`: our own 32 hexadecimal digits, or a trusted proxy's.
    pub(crate) request_id: Vec<u8>,
    /// W3C trace context; its span is ours, within the client's trace if there is one.
    pub(crate) trace: TraceContext,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { request_id: Vec::new(), trace: TraceContext { trace_id: 0, span_id: 0, flags: 0 } }
    }
}

const REQUEST_ID_BYTES_MAX: usize = 128;

impl RequestIds {
    /// Sets the identity of the next request. `given` is what a trusted proxy said.
    pub(crate) fn renew(&mut self, given: Option<&[u8]>, traceparent: Option<&[u8]>, rng: &mut impl Rng) {
        self.trace = match traceparent.and_then(TraceContext::parse) {
            Some(parent) => parent.child(rng),
            None => TraceContext::new(rng),
        };
        self.request_id.clear();
        match given.filter(|id| is_plain_id(id)) {
            Some(id) => self.request_id.extend_from_slice(id),
            None => write_hex(&mut self.request_id, rng.random()),
        }
    }

    /// `X-Request-Id` and `traceparent` lines.
    pub(crate) fn write_lines(&self, out: &mut Vec<u8>) {
        self.write_request_id(out);
        out.extend_from_slice(b"traceparent: ");
        self.trace.write_to(out);
        out.extend_from_slice(b"\r\n");
    }

    /// The `X-Request-Id` line.
    pub(crate) fn write_request_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Request-Id: ");
        out.extend_from_slice(&self.request_id);
        out.extend_from_slice(b"\r\n");
    }
}

fn is_plain_id(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
}

/// A key for the handshake of a WebSocket (RFC 6455 §4.1), where the client spoke in frames and sent none: the base64
/// of 16 bytes.
pub(crate) fn websocket_key(rng: &mut impl Rng) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let random: u128 = rng.random();
    // 21 digits hold 126 bits, the last digit two and four of padding.
    let digit = |at: u32| char::from(DIGITS[(random >> (6 * at)) as usize & 63]);
    let last = char::from(DIGITS[((random >> 126) as usize & 3) << 4]);
    (0..21).map(digit).chain([last, '=', '=']).collect()
}

fn write_hex(out: &mut Vec<u8>, number: u128) {
    for byte in number.to_be_bytes() {
        for digit in [byte >> 4, byte & 0xf] {
            out.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
}

/// What a trusted proxy in front of us has said of its client: it is passed on, and not said again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said<'a> {
    pub(crate) proto: bool,
    pub(crate) host: bool,
    pub(crate) real_ip: bool,
    /// The client that it names, as text, where that is not the one that we see.
    pub(crate) client: Option<&'a [u8]>,
}

/// The lines about a client that are the same for all its requests on a connection, made once.
#[derive(Debug)]
pub(crate) struct ClientLines {
    /// The client's address as text.
    pub(crate) address: Box<str>,
    /// `X-Real-IP`, a whole line.
    real_ip: Box<[u8]>,
    /// The value's start of `Forwarded` (RFC 7239 §4): `for=192.0.2.1;proto=http`.
    forwarded: Box<[u8]>,
    /// `http` or `https`.
    proto: &'static str,
    /// `Client-Cert` (RFC 9440), a whole line, where the client showed one.
    certificate: Box<[u8]>,
}

impl ClientLines {
    pub(crate) fn new(client: IpAddr, is_secure: bool, certificate: Option<&str>) -> Self {
        let proto = if is_secure { "https" } else { "http" };
        // A v4 client of a v6 listener is a v4 client.
        let client = client.to_canonical();
        let node = match client {
            IpAddr::V4(address) => format!("for={address}"),
            // RFC 7239 §6: an IPv6 address stands in brackets, and so in quotes.
            IpAddr::V6(address) => format!("for=\"[{address}]\""),
        };
        Self {
            address: client.to_string().into(),
            real_ip: format!("X-Real-IP: {client}\r\n").into_bytes().into(),
            forwarded: format!("{node};proto={proto}").into_bytes().into(),
            proto,
            certificate: certificate
                .map(|field| format!("Client-Cert: {field}\r\n").into_bytes())
                .unwrap_or_default()
                .into(),
        }
    }

    /// Whether the client has shown a certificate.
    pub(crate) fn shows_certificate(&self) -> bool {
        !self.certificate.is_empty()
    }

    /// `X-Forwarded-*`, `X-Real-IP`, `Forwarded` and `Via`. `earlier_for` and `earlier_forwarded` are the
    /// values that a trusted proxy in front of us sent, which are extended.
    pub(crate) fn write_lines<'v>(
        &self,
        out: &mut Vec<u8>,
        host: &[u8],
        via: (Version, &[u8]),
        said: Said<'_>,
        earlier_for: impl Iterator<Item = &'v [u8]>,
        earlier_forwarded: impl Iterator<Item = &'v [u8]>,
    ) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        for earlier in earlier_for {
            out.extend_from_slice(earlier);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(self.address.as_bytes());
        out.extend_from_slice(b"\r\n");
        if !said.proto {
            out.extend_from_slice(b"X-Forwarded-Proto: ");
            out.extend_from_slice(self.proto.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match said.client {
            _ if said.real_ip => {}
            None => out.extend_from_slice(&self.real_ip),
            Some(named) => {
                out.extend_from_slice(b"X-Real-IP: ");
                out.extend_from_slice(named);
                out.extend_from_slice(b"\r\n");
            }
        }
        if !host.is_empty() && !said.host {
            out.extend_from_slice(b"X-Forwarded-Host: ");
            out.extend_from_slice(host);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.certificate);
        out.extend_from_slice(b"Forwarded: ");
        for earlier in earlier_forwarded {
            out.extend_from_slice(earlier);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(&self.forwarded);
        if !host.is_empty() {
            // A host with a port or brackets is no token, and a quoted string is right for any.
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(host);
            out.push(b'"');
        }
        // RFC 9110 §7.6.3: the version that the message was received in.
        let (version, via) = via;
        out.extend_from_slice(b"\r\nVia: ");
        out.extend_from_slice(version.number().as_bytes());
        out.push(b' ');
        out.extend_from_slice(via);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_v6_client_is_quoted_in_forwarded_and_a_mapped_one_is_v4() {
        let lines = |address: &str| {
            let client = ClientLines::new(address.parse().unwrap(), false, None);
            text(|out| {
                client.write_lines(
                    out,
                    b"shop.test:8080",
                    (Version::Http11, b"nines"),
                    Said::default(),
                    [].into_iter(),
                    [].into_iter(),
                );
            })
        };
        let v6 = lines("2001:db8::1");
        assert!(
            v6.contains("Forwarded: for=\"[2001:db8::1]\";proto=http;host=\"shop.test:8080\"\r\n"),
            "{v6}"
        );
        let mapped = lines("::ffff:192.0.2.1");
        assert!(mapped.starts_with("X-Forwarded-For: 192.0.2.1\r\n"), "{mapped}");
        assert!(mapped.ends_with("Via: 1.1 nines\r\n"), "{mapped}");
    }

    #[test]
    fn a_trusted_chain_is_extended_at_its_end() {
        let client = ClientLines::new("192.0.2.1".parse().unwrap(), false, None);
        let earlier = [&b"203.0.113.7"[..], &b"198.51.100.2"[..]];
        let forwarded = [&b"for=203.0.113.7"[..]];
        let lines = text(|out| {
            client.write_lines(
                out,
                b"",
                (Version::Http11, b"nines"),
                Said::default(),
                earlier.into_iter(),
                forwarded.into_iter(),
            );
        });
        assert!(lines.contains("X-Forwarded-For: 203.0.113.7, 198.51.100.2, 192.0.2.1\r\n"), "{lines}");
        assert!(lines.contains("Forwarded: for=203.0.113.7, for=192.0.2.1;proto=http\r\n"), "{lines}");
    }

    #[test]
    fn an_id_that_could_break_a_header_is_replaced() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut ids = RequestIds::default();
        ids.renew(Some(b"good-1.2"), None, &mut rng);
        assert_eq!(ids.request_id, b"good-1.2");
        for bad in [&b""[..], b"a b", b"x\"y", &[b'a'; 129]] {
            ids.renew(Some(bad), None, &mut rng);
            assert!(ids.request_id.len() == 32 && ids.request_id.iter().all(u8::is_ascii_hexdigit));
        }
    }

    #[test]
    fn a_client_s_trace_goes_on_with_a_span_of_ours() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut ids = RequestIds::default();
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        ids.renew(None, Some(parent), &mut rng);
        assert_eq!(ids.trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_ne!(ids.trace.span_id, 0xb7ad_6b71_6920_3331);
        let broken = b"00-00000000000000000000000000000000-b7ad6b7169203331-01";
        ids.renew(None, Some(broken), &mut rng);
        assert_ne!(ids.trace.trace_id, 0);
    }
}
