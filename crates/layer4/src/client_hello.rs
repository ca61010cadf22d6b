//! The first message of TLS, read without taking part: which server name does the client ask for?
//!
//! RFC 8446 §4.1.2 and §5.1: a ClientHello is a handshake message that may be cut over several records, each of which
//! may arrive in pieces. Its `server_name` extension is that of RFC 6066 §3. Nothing here reads a socket, and nothing is
//! read but what routing needs: what else is wrong with the message is for the endpoint to say.

/// More than any client sends: a hello with post-quantum keys and several tickets has some 4 KiB.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

/// RFC 8446 §5.1: no record carries more.
const RECORD_BYTES_MAX: usize = 1 << 14;
const RECORD_HEAD_BYTES: usize = 5;

pub(crate) const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What a connection's first bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed to tell.
    Incomplete,
    /// The first message of TLS.
    Tls {
        /// The server that the client asks for, in lower case and without a final dot.
        server_name: Option<String>,
    },
    /// Anything else: another protocol, a message that breaks its own lengths, or one that is too long.
    Other,
}

/// Reads the first bytes of a connection. [`Hello::Incomplete`] is never the answer to [`HELLO_BYTES_MAX`] bytes or
/// more, and every other answer stays the same whatever follows.
pub fn read(bytes: &[u8]) -> Hello {
    let bytes = &bytes[..bytes.len().min(HELLO_BYTES_MAX)];
    match message(bytes) {
        Ok(message) => match server_name(&message) {
            Some(server_name) => Hello::Tls { server_name },
            None => Hello::Other,
        },
        Err(Unread::Other) => Hello::Other,
        Err(Unread::Incomplete) if bytes.len() == HELLO_BYTES_MAX => Hello::Other,
        Err(Unread::Incomplete) => Hello::Incomplete,
    }
}

enum Unread {
    Incomplete,
    Other,
}

/// The whole first handshake message without its head, put together from its records.
fn message(mut bytes: &[u8]) -> Result<Vec<u8>, Unread> {
    let mut message = Vec::new();
    loop {
        let (fragment, rest) = record(bytes)?;
        message.extend_from_slice(fragment);
        bytes = rest;
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Unread::Other);
        }
        if let [_, high, middle, low, body @ ..] = &message[..] {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > HELLO_BYTES_MAX {
                return Err(Unread::Other);
            }
            if body.len() >= length {
                return Ok(body[..length].to_vec());
            }
        }
    }
}

/// The fragment of the first record, and what follows it.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8]), Unread> {
    let expected = [HANDSHAKE, 3];
    let known = bytes.len().min(expected.len());
    if bytes[..known] != expected[..known] {
        return Err(Unread::Other);
    }
    let Some((head, rest)) = bytes.split_at_checked(RECORD_HEAD_BYTES) else {
        return Err(Unread::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    // An empty fragment of a handshake is forbidden.
    if length == 0 || length > RECORD_BYTES_MAX {
        return Err(Unread::Other);
    }
    rest.split_at_checked(length).ok_or(Unread::Incomplete)
}

/// The server name of a whole ClientHello; `None` when the message breaks its own lengths.
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    const VERSION_AND_RANDOM_BYTES: usize = 2 + 32;
    let mut hello = Reader(hello);
    hello.take(VERSION_AND_RANDOM_BYTES)?;
    let _session = hello.vector8()?;
    let _ciphers = hello.vector16()?;
    let _compressions = hello.vector8()?;
    // A client of TLS 1.2 may have no extensions at all.
    if hello.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(hello.vector16()?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let (kind, body) = (extensions.number16()?, extensions.vector16()?);
        if kind != SERVER_NAME {
            continue;
        }
        // One extension of a kind (RFC 8446 §4.2): with two, whoever asks twice could be told apart differently by
        // the endpoint.
        if found.is_some() {
            return None;
        }
        found = Some(host_name(body)?);
    }
    Some(found)
}

fn host_name(body: &[u8]) -> Option<String> {
    let mut body = Reader(body);
    let mut names = Reader(body.vector16()?);
    let kind = names.take(1)?[0];
    let name = names.vector16()?;
    // One name of a kind, and there is no other kind.
    if kind != HOST_NAME || !names.0.is_empty() || !body.0.is_empty() {
        return None;
    }
    let is_allowed = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if name.is_empty() || !name.iter().all(is_allowed) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    Some(name.strip_suffix('.').map(str::to_owned).unwrap_or(name))
}

/// What is left to read of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes after their length of one byte.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// Bytes after their length of two.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use std::sync::Arc;

    /// What a client of rustls sends first.
    fn hello(server: &str) -> Vec<u8> {
        let config = rustls::ClientConfig::builder_with_provider(tls::provider().clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(server.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn named(name: &str) -> Hello {
        Hello::Tls { server_name: Some(name.into()) }
    }

    /// The same message in records of so many bytes.
    fn in_records(bytes: &[u8], length: usize) -> Vec<u8> {
        let message = &bytes[RECORD_HEAD_BYTES..];
        let record = |part: &[u8]| {
            let length = (part.len() as u16).to_be_bytes();
            [&[HANDSHAKE, 3, 1][..], &length, part].concat()
        };
        message.chunks(length).flat_map(record).collect()
    }

    /// A hello with these extensions and nothing else of interest.
    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        let head = [&[HANDSHAKE, 3, 1][..], &(message.len() as u16).to_be_bytes()].concat();
        [head, message].concat()
    }

    fn name_extension(name: &[u8]) -> Vec<u8> {
        let length = name.len() as u16;
        let numbers = [length + 5, length + 3];
        let mut out = vec![0, 0];
        numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
        out.push(HOST_NAME);
        out.extend(length.to_be_bytes());
        out.extend(name);
        out
    }

    #[test]
    fn the_name_that_a_client_asks_for_is_found() {
        assert_eq!(read(&hello("shop.test")), named("shop.test"));
        assert_eq!(read(&hello("SHOP.test")), named("shop.test"));
        assert_eq!(read(&hello("192.0.2.1")), Hello::Tls { server_name: None }, "addresses are not sent");
        assert_eq!(read(&with_extensions(&name_extension(b"a.test."))), named("a.test"));
    }

    #[test]
    fn it_is_found_however_it_is_cut() {
        let whole = hello("shop.test");
        for length in [1, 2, 3, 4, 5, 50, 100, 5000] {
            assert_eq!(read(&in_records(&whole, length)), named("shop.test"), "records of {length}");
        }
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), Hello::Incomplete, "{end} bytes");
        }
    }

    #[test]
    fn what_is_not_tls_is_told_by_its_first_bytes() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"\0\0\0\x08\x04\xd2\x16\x2f", b"SSH-2.0-x", &[22, 2], &[21]]
        {
            assert_eq!(read(bytes), Hello::Other, "{bytes:?}");
        }
        assert_eq!(read(&[22, 3, 1, 0, 0]), Hello::Other, "an empty record");
        assert_eq!(read(&[22, 3, 1, 0xff, 0xff]), Hello::Other, "a record beyond all lengths");
        assert_eq!(read(&[22, 3, 3, 0, 1, 2]), Hello::Other, "a ServerHello");
        assert_eq!(read(&[22, 3, 3, 0, 4, 1, 1, 0, 0]), Hello::Other, "a message of 64 KiB");
    }

    #[test]
    fn a_name_that_could_be_read_in_two_ways_is_none() {
        let (one, two) = (name_extension(b"a.test"), name_extension(b"b.test"));
        assert_eq!(read(&with_extensions(&one)), named("a.test"));
        assert_eq!(read(&with_extensions(&[one.clone(), two].concat())), Hello::Other, "two extensions");
        for name in [&b""[..], b"a\0.test", b"a test", "\u{e9}.test".as_bytes()] {
            assert_eq!(read(&with_extensions(&name_extension(name))), Hello::Other, "{name:?}");
        }
        let mut longer = one;
        longer[3] += 1;
        assert_eq!(read(&with_extensions(&longer)), Hello::Other, "a length that lies");
    }

    #[test]
    fn a_hello_that_never_ends_is_given_up() {
        let mut endless = vec![HANDSHAKE, 3, 1, 0x40, 0, CLIENT_HELLO, 0, 0x40, 0];
        endless.resize(HELLO_BYTES_MAX - 1, 0);
        assert_eq!(read(&endless), Hello::Incomplete);
        endless.push(0);
        assert_eq!(read(&endless), Hello::Other);
    }

    proptest! {
        #[test]
        fn whatever_comes_an_answer_is_final(mut bytes: Vec<u8>, more: Vec<u8>, begins_well: bool) {
            if begins_well {
                bytes.splice(0..0, [HANDSHAKE, 3, 1]);
            }
            let answer = read(&bytes);
            if answer != Hello::Incomplete {
                bytes.extend(more);
                prop_assert_eq!(read(&bytes), answer);
            }
        }

        #[test]
        fn any_cut_of_a_hello_says_the_same(length in 1..600usize, end in 0..3000usize, flip in 0..200usize, bit in 0..8u8) {
            let whole = hello("shop.test");
            let cut = in_records(&whole, length);
            prop_assert_eq!(read(&cut), named("shop.test"));
            if end < cut.len() {
                prop_assert_eq!(read(&cut[..end]), Hello::Incomplete);
            }
            // A flipped bit is another message or none, and never a panic.
            let mut flipped = cut;
            flipped[flip] ^= 1 << bit;
            let answer = read(&flipped);
            flipped.push(0);
            prop_assert!(answer == Hello::Incomplete || read(&flipped) == answer);
        }
    }
}
