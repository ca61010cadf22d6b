//! A moving average of latency that jumps to a peak at once and forgets it slowly, in one word of memory.
//!
//! The upper half is the average in seconds (`f32`), the lower half the moment of its last change in steps
//! of 16 µs (wrapping after 19 hours). Zero means that nothing has been measured.

use std::time::Duration;

/// The time in which an average loses 63 % of its distance to what is measured now.
const DECAY_SECS: f64 = 10.0;
const STEP_NANOS: u64 = 1 << 14;

/// The moment `elapsed` after the pool's beginning.
pub(crate) fn stamp(elapsed: Duration) -> u32 {
    (elapsed.as_nanos() as u64 / STEP_NANOS) as u32
}

/// The average after a further measurement.
pub(crate) fn observe(average: u64, measured: Duration, stamp: u32) -> u64 {
    let measured = (measured.as_secs_f32()).max(1e-9);
    let Some((value, changed)) = unpack(average) else { return pack(measured, stamp) };
    if measured >= value {
        return pack(measured, stamp);
    }
    let age_secs = age_secs(changed, stamp);
    if age_secs == 0.0 {
        return average;
    }
    let weight = -(-age_secs / DECAY_SECS).exp_m1();
    pack(value + (measured - value) * weight as f32, stamp)
}

/// The average in seconds as it stands at `stamp`: without measurements it sinks, so that an endpoint that
/// was slow once is tried again.
pub(crate) fn sunk(average: u64, stamp: u32) -> Option<f64> {
    let (value, changed) = unpack(average)?;
    let age_secs = age_secs(changed, stamp);
    // Below a thousandth of the decay an exponential would cost more than it tells.
    let left = if age_secs < DECAY_SECS / 1000.0 { 1.0 } else { (-age_secs / DECAY_SECS).exp() };
    Some(f64::from(value) * left)
}

/// The average in seconds as it was last measured.
pub(crate) fn measured(average: u64) -> Option<f64> {
    unpack(average).map(|(value, _)| f64::from(value))
}

fn age_secs(changed: u32, stamp: u32) -> f64 {
    let steps = stamp.wrapping_sub(changed);
    // Two cores may store in the wrong order; a step into the past is no age.
    if steps > u32::MAX / 2 { 0.0 } else { f64::from(steps) * STEP_NANOS as f64 / 1e9 }
}

fn pack(value: f32, stamp: u32) -> u64 {
    u64::from(value.to_bits()) << 32 | u64::from(stamp)
}

fn unpack(average: u64) -> Option<(f32, u32)> {
    (average >> 32 != 0).then(|| (f32::from_bits((average >> 32) as u32), average as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_peak_counts_at_once_and_sinks_slowly() {
        let calm = observe(0, MS, stamp(MS));
        let peak = observe(calm, 500 * MS, stamp(2 * MS));
        assert!((measured(peak).unwrap() - 0.5).abs() < 1e-6);
        let soon = observe(peak, MS, stamp(100 * MS));
        assert!(measured(soon).unwrap() > 0.49, "a tenth of a second forgets one percent");
        let later = observe(peak, MS, stamp(Duration::from_secs(60)));
        assert!(measured(later).unwrap() < 0.003);
    }

    #[test]
    fn many_quick_answers_within_one_step_do_not_hold_a_peak_for_ever() {
        let mut average = observe(0, 100 * MS, 0);
        for micros in 0..20_000_000u64 / 10 {
            average = observe(average, MS, stamp(Duration::from_micros(micros * 10)));
        }
        assert!(measured(average).unwrap() < 0.016, "{:?}", measured(average));
    }

    #[test]
    fn an_unused_endpoint_looks_better_with_time() {
        let average = observe(0, 100 * MS, 0);
        assert!((sunk(average, stamp(MS)).unwrap() - 0.1).abs() < 1e-4);
        assert!(sunk(average, stamp(Duration::from_secs(30))).unwrap() < 0.006);
        assert_eq!(sunk(0, 0), None);
    }

    #[test]
    fn a_measurement_from_the_past_is_no_age() {
        let average = observe(0, 100 * MS, 1000);
        assert_eq!(observe(average, MS, 999), average);
    }
}
