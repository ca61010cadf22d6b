//! One limit: how many requests a client may send, and how it is told.

use super::gcra::Decision;
use crate::client::Key;
use notation::Rate;
use std::io::Write;
use std::time::Duration;

/// How many requests each client may send, in one place of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub(crate) scope: u64,
    /// Nanoseconds, at least one.
    pub(crate) period: u64,
    pub(crate) burst: u32,
}

impl RateLimit {
    /// Within a `scope`, such as `site shop.test`: limits of one scope count together, as the one before and the one
    /// after a reload. Without a `burst` it is what comes in a second, at least one.
    pub fn new(scope: &str, rate: Rate, burst: Option<u32>) -> Self {
        let period = (1e9 / rate.per_second()).round().max(1.0) as u64;
        let a_second_of = rate.per_second().ceil() as u32;
        Self { scope: Key::hashed(scope).0, period, burst: burst.unwrap_or(a_second_of).max(1) }
    }

    /// How many may come at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// How long it takes until `burst` requests may come again.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.period.saturating_mul(u64::from(self.burst)))
    }

    /// Appends `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10 §3 and §4) and, for a refusal,
    /// `Retry-After` (RFC 9110 §10.2.3) as lines of a header. Times are whole seconds, rounded up: a client that
    /// keeps to them is never refused.
    pub fn write_lines(&self, decision: &Decision, out: &mut Vec<u8>) {
        let (burst, window, reset) = (self.burst, seconds(self.window()), seconds(decision.reset));
        // Writing into memory does not fail.
        let _ = write!(
            out,
            "RateLimit-Policy: \"default\";q={burst};w={window}\r\nRateLimit: \"default\";r={};t={reset}\r\n",
            decision.remaining
        );
        if !decision.is_allowed {
            let _ = write!(out, "Retry-After: {}\r\n", seconds(decision.retry_after));
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::decide;

    fn limit(rate: &str, burst: Option<u32>) -> RateLimit {
        RateLimit::new("site a.test", rate.parse().unwrap(), burst)
    }

    fn lines(limit: RateLimit, tat: u64) -> String {
        let mut out = Vec::new();
        limit.write_lines(&decide(tat, 0, limit.period, limit.burst), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_burst_is_a_second_s_worth_and_at_least_one() {
        for (rate, burst) in [("50/s", 50), ("90/m", 2), ("1/h", 1), ("999999999999/s", u32::MAX)] {
            assert_eq!(limit(rate, None).burst(), burst, "{rate}");
        }
        assert_eq!(limit("50/s", Some(0)).burst(), 1, "none at all would be no limit but a wall");
    }

    #[test]
    fn a_client_is_told_what_is_left_and_when_it_is_back() {
        assert_eq!(
            lines(limit("50/s", None), 0),
            "RateLimit-Policy: \"default\";q=50;w=1\r\nRateLimit: \"default\";r=49;t=1\r\n"
        );
        assert_eq!(
            lines(limit("10/m", Some(5)), u64::MAX),
            "RateLimit-Policy: \"default\";q=5;w=30\r\nRateLimit: \"default\";r=0;t=30\r\nRetry-After: 6\r\n"
        );
    }

    #[test]
    fn limits_of_one_scope_are_the_same_limit() {
        assert_eq!(limit("50/s", None).scope, limit("1/s", None).scope);
        let other = RateLimit::new("site b.test", "50/s".parse().unwrap(), None);
        assert_ne!(limit("50/s", None).scope, other.scope);
    }
}
