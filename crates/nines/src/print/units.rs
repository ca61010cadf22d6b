//! Figures as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A length of time by its two largest units: "3m12s", "850ms".
pub(crate) fn span(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let secs = duration.as_secs();
    if secs == 0 {
        return format!("{}ms", duration.subsec_millis());
    }
    let first = UNITS.iter().position(|(_, size)| secs >= *size).unwrap_or(UNITS.len() - 1);
    let (unit, size) = UNITS[first];
    let rest = UNITS.get(first + 1).map(|(unit, smaller)| (secs % size / smaller, unit));
    match rest.filter(|(count, _)| *count > 0) {
        Some((count, smaller)) => format!("{}{unit}{count}{smaller}", secs / size),
        None => format!("{}{unit}", secs / size),
    }
}

/// How long ago a moment was, in milliseconds of the Unix epoch.
pub(crate) fn since(unix_ms: u64, now: SystemTime) -> String {
    let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ago_ms = now_ms.saturating_sub(unix_ms.into());
    // Below a second nobody wants the milliseconds.
    span(Duration::from_secs(u64::try_from(ago_ms / 1000).unwrap_or(u64::MAX))).replace("0ms", "now")
}

/// A latency with three digits: "0.85ms", "12.3ms", "1.20s".
pub(crate) fn latency(ms: f64) -> String {
    match ms {
        ms if ms >= 1000.0 => format!("{:.2}s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0}ms"),
        ms if ms >= 10.0 => format!("{ms:.1}ms"),
        ms => format!("{ms:.2}ms"),
    }
}

/// Memory with two or three digits: "512B", "1.4KiB", "177MiB".
pub(crate) fn memory(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size < 10.0 { format!("{size:.1}{}", UNITS[unit]) } else { format!("{size:.0}{}", UNITS[unit]) }
}

/// "1 server", "3 servers".
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_the_unit_that_fits() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1434, "1.4KiB"),
            (180_000_000, "172MiB"),
            (5 << 40, "5.0TiB"),
        ] {
            assert_eq!(memory(bytes), expected);
        }
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        for (ms, expected) in [
            (0, "0ms"),
            (850, "850ms"),
            (1_999, "1s"),
            (192_000, "3m12s"),
            (180_000, "3m"),
            (3_605_000, "1h"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn a_moment_within_the_last_second_is_now() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(since(99_500, now), "now");
        assert_eq!(since(40_000, now), "1m");
        assert_eq!(since(200_000, now), "now");
    }

    #[test]
    fn a_latency_has_three_digits() {
        assert_eq!([0.853, 12.34, 123.4, 1204.0].map(latency), ["0.85ms", "12.3ms", "123ms", "1.20s"]);
    }
}
