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
        out.extend_from_slice(&self.trace_id_text());
        out.push(b'-');
        out.extend_from_slice(&self.span_id_text());
        out.push(b'-');
        out.extend_from_slice(&digits::<2>(self.flags.into()));
    }

    /// The trace's id as the header and logs have it.
    pub fn trace_id_text(&self) -> [u8; 32] {
        digits(self.trace_id)
    }

    /// The span's id as the header and logs have it.
    pub fn span_id_text(&self) -> [u8; 16] {
        digits(self.span_id.into())
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

/// The last `N` lower-case hex digits of a number.
fn digits<const N: usize>(mut number: u128) -> [u8; N] {
    let mut text = [0; N];
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(value: &str) -> Option<TraceContext> {
        TraceContext::parse(value.as_bytes())
    }

    fn written(context: &TraceContext) -> String {
        let mut out = Vec::new();
        context.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let context = parse(GOOD).unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(written(&context), GOOD);
    }

    #[test]
    fn what_the_specification_calls_invalid_is_refused() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
            "0A-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what-the-future-will-not-be-like",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_we_know_it() {
        let known = parse(GOOD);
        assert_eq!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), known);
        assert_eq!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future"), known);
        assert_eq!(parse("fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"), known);
    }

    #[test]
    fn flags_that_mean_nothing_yet_are_not_passed_on() {
        let context = parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff").unwrap();
        assert_eq!(context.flags, 1);
        let context = parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe").unwrap();
        assert!(!context.is_sampled());
    }

    #[test]
    fn a_child_stays_in_its_trace() {
        let mut rng = SmallRng::seed_from_u64(9);
        let parent = parse(GOOD).unwrap();
        let child = parent.child(&mut rng);
        assert_eq!((child.trace_id, child.flags), (parent.trace_id, parent.flags));
        assert_ne!(child.span_id, parent.span_id);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let context = TraceContext::new(&mut rng);
            for context in [context, context.child(&mut rng), TraceContext { flags: 1, ..context }] {
                prop_assert_eq!(written(&context).len(), LEN);
                prop_assert_eq!(parse(&written(&context)), Some(context));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>, at in 0..LEN, byte: u8) {
            TraceContext::parse(&value);
            let mut spoiled = GOOD.as_bytes().to_vec();
            spoiled[at] = byte;
            TraceContext::parse(&spoiled);
        }
    }
}
