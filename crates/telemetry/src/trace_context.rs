//! W3C Trace Context, level 1: the `traceparent` header.

use rand::{Rng, RngExt};

/// Who asked, across processes: `00-{trace id}-{parent id}-{flags}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace; never 0.
    pub trace_id: u128,
    /// The one span that is calling; never 0.
    pub span_id: u64,
    /// Bit 0: the caller may have recorded the trace. The other bits mean nothing yet.
    pub flags: u8,
}

/// The length of a version-00 header.
const LEN: usize = 55;
const SAMPLED: u8 = 1;

impl TraceContext {
    /// Parses a `traceparent` value, by §3.2 of the specification: lower-case hex only, no id all zero,
    /// version ff refused; a later version may have more after another `-`, of which nothing is read.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LEN)?;
        let version = hex(&known[..2])?;
        let rest_fits = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !rest_fits || known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        let (trace_id, span_id) = (hex(&known[3..35])?, hex(&known[36..52])? as u64);
        let flags = hex(&known[53..])? as u8;
        // Only the flag that we know may be passed on (§4.3).
        let context = Self { trace_id, span_id, flags: flags & SAMPLED };
        (trace_id != 0 && span_id != 0).then_some(context)
    }

    /// The first context of a new trace, not sampled.
    pub fn new(rng: &mut impl Rng) -> Self {
        Self { trace_id: rng.random_range(1..=u128::MAX), span_id: rng.random_range(1..=u64::MAX), flags: 0 }
    }

    /// What is passed on: the same trace, called by a new span.
    #[must_use]
    pub fn child(&self, rng: &mut impl Rng) -> Self {
        Self { span_id: rng.random_range(1..=u64::MAX), ..*self }
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Appends the header's value: 55 bytes, version 00.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"00-");
        write_hex(out, &self.trace_id.to_be_bytes());
        out.push(b'-');
        write_hex(out, &self.span_id.to_be_bytes());
        out.push(b'-');
        write_hex(out, &[self.flags]);
    }
}

/// The number behind lower-case hex digits, at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}
