//! The kernel's clock as other processes read it.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CLOCK_MONOTONIC, which the service manager compares with its own; `Instant` hides its number.
pub fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(time.tv_sec).expect("the monotonic clock starts at zero and never goes back");
    let nanos = u32::try_from(time.tv_nsec).expect("a timespec has fewer than a billion nanoseconds");
    Duration::new(secs, nanos)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let before = super::monotonic();
        assert!(super::monotonic() >= before);
        assert!(!before.is_zero());
    }
}
