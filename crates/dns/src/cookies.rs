//! Server cookies (RFC 7873), in the form that servers with one key make and know alike (RFC 9018).
//!
//! Version, three reserved octets, a time, and SipHash-2-4 of the client's half, of those, and of its address: nothing is
//! kept of anybody. Whoever cannot receive at an address cannot know the cookie for it.

use crate::protocol::Cookie;
use balance::siphash;
use std::net::IpAddr;

/// The length of a cookie's server half here.
pub(crate) const COOKIE_BYTES: usize = 16;
/// What makes and knows cookies. Nodes that have the same know each other's.
pub(crate) type CookieKey = [u8; 16];

const VERSION: u8 = 1;
/// Version, reserved octets, and time.
const HEAD_BYTES: usize = 8;
/// RFC 9018 §4.3: so old a cookie may be, so far ahead the clock that made it, and from so old on there is a new one.
const AGE_MAX: i32 = 3600;
const AHEAD_MAX: i32 = 300;
const RENEWED_FROM: i32 = 1800;

/// What a client's cookie says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It has none of a server yet.
    New,
    /// It is ours: the client receives at its address.
    Good,
    /// It is not ours, not any more, or another client's.
    Bad,
}

/// What a cookie shows, and the server's half that its answer carries. `now` is in seconds of the Unix epoch.
pub(crate) fn judge(
    key: &CookieKey,
    cookie: &Cookie<'_>,
    client: IpAddr,
    now: u32,
) -> (Shown, [u8; COOKIE_BYTES]) {
    let fresh = || made(key, cookie.client, head_at(now), client);
    if cookie.server.is_empty() {
        return (Shown::New, fresh());
    }
    let Ok(server) = <[u8; COOKIE_BYTES]>::try_from(cookie.server) else { return (Shown::Bad, fresh()) };
    let [version, _, _, _, time @ .., _, _, _, _, _, _, _, _] = server;
    // RFC 9018 §4.3: by the arithmetic of serial numbers.
    let age = now.wrapping_sub(u32::from_be_bytes(time)) as i32;
    let head = server[..HEAD_BYTES].try_into().expect("the head is a part of the cookie");
    if version != VERSION
        || !(-AHEAD_MAX..=AGE_MAX).contains(&age)
        || !is_same(&server, &made(key, cookie.client, head, client))
    {
        return (Shown::Bad, fresh());
    }
    (Shown::Good, if age >= RENEWED_FROM { fresh() } else { server })
}

fn head_at(now: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = now.to_be_bytes();
    [VERSION, 0, 0, 0, a, b, c, d]
}

/// RFC 9018 §4.4.
fn made(key: &CookieKey, half: &[u8; 8], head: [u8; HEAD_BYTES], client: IpAddr) -> [u8; COOKIE_BYTES] {
    let mut hashed = [0; 8 + HEAD_BYTES + 16];
    hashed[..8].copy_from_slice(half);
    hashed[8..16].copy_from_slice(&head);
    let length = match client.to_canonical() {
        IpAddr::V4(v4) => {
            hashed[16..20].copy_from_slice(&v4.octets());
            20
        }
        IpAddr::V6(v6) => {
            hashed[16..].copy_from_slice(&v6.octets());
            32
        }
    };
    let hash = siphash(key, &hashed[..length]);
    let mut cookie = [0; COOKIE_BYTES];
    cookie[..HEAD_BYTES].copy_from_slice(&head);
    // The RFC's vectors have the hash as SipHash's reference writes it.
    cookie[HEAD_BYTES..].copy_from_slice(&hash.to_le_bytes());
    cookie
}

/// In a time that does not depend on where they differ.
fn is_same(a: &[u8; COOKIE_BYTES], b: &[u8; COOKIE_BYTES]) -> bool {
    u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    struct Vector {
        key: &'static str,
        client: &'static str,
        half: &'static str,
        server: &'static str,
        now: u32,
        shown: Shown,
        answer: &'static str,
    }

    #[test]
    fn the_vectors_of_rfc_9018_hold() {
        let v4 = "e5e973e5a6b2a43f48e7dc849e37bfcf";
        for vector in [
            // Appendix A.1: learning a cookie.
            Vector {
                key: v4,
                client: "198.51.100.100",
                half: "2464c4abcf10c957",
                server: "",
                now: 1_559_731_985,
                shown: Shown::New,
                answer: "010000005cf79f111f8130c3eee29480",
            },
            // A.2: the same client learns a renewed one.
            Vector {
                key: v4,
                client: "198.51.100.100",
                half: "2464c4abcf10c957",
                server: "010000005cf79f111f8130c3eee29480",
                now: 1_559_734_385,
                shown: Shown::Good,
                answer: "010000005cf7a871d4a564a1442aca77",
            },
        ] {
            let (key, half) = (bytes(vector.key), bytes(vector.half));
            let server = if vector.server.is_empty() { vec![] } else { bytes::<16>(vector.server).to_vec() };
            let cookie = Cookie { client: &half, server: &server };
            let (shown, answer) = judge(&key, &cookie, vector.client.parse().unwrap(), vector.now);
            assert_eq!((shown, answer), (vector.shown, bytes(vector.answer)));
        }
    }

    #[test]
    fn a_cookie_is_one_client_s_for_an_hour() {
        let (key, half) = ([7; 16], [1; 8]);
        let (here, there) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let now = 1_000_000;
        let asked = |server: &[u8], client, now| judge(&key, &Cookie { client: &half, server }, client, now);
        for client in [here, there] {
            let (shown, cookie) = asked(&[], client, now);
            assert_eq!(shown, Shown::New);
            assert_eq!(asked(&cookie, client, now + 1799), (Shown::Good, cookie));
            let (shown, renewed) = asked(&cookie, client, now + 1800);
            assert!(shown == Shown::Good && renewed != cookie);
            assert_eq!(asked(&cookie, client, now + 3600).0, Shown::Good);
            assert_eq!(asked(&cookie, client, now + 3601).0, Shown::Bad);
            assert_eq!(asked(&cookie, client, now - 300).0, Shown::Good);
            assert_eq!(asked(&cookie, client, now - 301).0, Shown::Bad);
            assert_eq!(asked(&cookie, "192.0.2.2".parse().unwrap(), now).0, Shown::Bad);
            assert_eq!(
                judge(&[8; 16], &Cookie { client: &half, server: &cookie }, client, now).0,
                Shown::Bad
            );
            let other = Cookie { client: &[2; 8], server: &cookie };
            assert_eq!(judge(&key, &other, client, now).0, Shown::Bad);
            for at in 0..COOKIE_BYTES {
                let mut wrong = cookie;
                wrong[at] ^= 1;
                assert_eq!(asked(&wrong, client, now).0, Shown::Bad, "octet {at}");
            }
            for length in [8, 15, 17, 32] {
                assert_eq!(asked(&vec![1; length], client, now).0, Shown::Bad);
            }
        }
        // The clock of cookies begins again in 2106.
        let (_, cookie) = asked(&[], here, u32::MAX);
        assert_eq!(asked(&cookie, here, 10).0, Shown::Good);
    }
}
