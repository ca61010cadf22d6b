//! What a response says about its way through this cache: `Cache-Status` (RFC 9211) and `Age` (RFC 9111 §5.1).

use super::storing::NotStored;
use super::targeted::NAME;

/// Why a request went on to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache was told not to be used.
    Bypass,
    /// By its method.
    Method,
    /// Nothing is stored for the URL.
    UriMiss,
    /// Nothing that is stored for the URL matches the request.
    VaryMiss,
    /// The request demands it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is a part, and not enough.
    Partial,
}

impl Forwarded {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// One member of `Cache-Status`: what this cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStatus {
    /// Why the request went on; `None`: it was a hit.
    pub forwarded: Option<Forwarded>,
    /// The status that came back, where it went on and another one is sent.
    pub forwarded_status: Option<u16>,
    /// For how long the response is fresh still, in seconds; negative: since when it is stale.
    pub ttl: Option<i64>,
    /// What came was stored.
    pub stored: bool,
    /// It waited for the fetch of another request.
    pub collapsed: bool,
    /// Why what came was not stored.
    pub not_stored: Option<NotStored>,
}

impl CacheStatus {
    /// A hit that is fresh for so long, in seconds.
    pub fn hit(ttl: i64) -> Self {
        Self { ttl: Some(ttl), ..Self::default() }
    }

    /// Writes the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Cache-Status: ");
        out.extend_from_slice(NAME.as_bytes());
        match self.forwarded {
            None => out.extend_from_slice(b"; hit"),
            Some(reason) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(reason.token().as_bytes());
                if let Some(status) = self.forwarded_status {
                    write_number(b"; fwd-status=", status, out);
                }
            }
        }
        if let Some(ttl) = self.ttl {
            write_number(b"; ttl=", ttl, out);
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(reason) = self.not_stored {
            out.extend_from_slice(b"; detail=");
            out.extend_from_slice(reason.token().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the `Age` line of a response that comes from the store.
pub fn write_age(seconds: u32, out: &mut Vec<u8>) {
    write_number(b"Age: ", seconds, out);
    out.extend_from_slice(b"\r\n");
}

fn write_number(before: &[u8], number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: CacheStatus) -> String {
        let mut out = Vec::new();
        status.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_member_says_what_was_done() {
        assert_eq!(written(CacheStatus::hit(55)), "Cache-Status: nines; hit; ttl=55\r\n");
        assert_eq!(written(CacheStatus::hit(-5)), "Cache-Status: nines; hit; ttl=-5\r\n");
        let miss = CacheStatus {
            forwarded: Some(Forwarded::UriMiss),
            ttl: Some(60),
            stored: true,
            collapsed: true,
            ..CacheStatus::default()
        };
        assert_eq!(written(miss), "Cache-Status: nines; fwd=uri-miss; ttl=60; stored; collapsed\r\n");
        let stale = CacheStatus {
            forwarded: Some(Forwarded::Stale),
            forwarded_status: Some(304),
            not_stored: Some(NotStored::Private),
            ..CacheStatus::default()
        };
        assert_eq!(written(stale), "Cache-Status: nines; fwd=stale; fwd-status=304; detail=private\r\n");
    }

    #[test]
    fn an_age_is_a_line() {
        let mut out = Vec::new();
        write_age(7, &mut out);
        assert_eq!(out, b"Age: 7\r\n");
    }
}
