//! Points in time as text.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time by RFC 3339, in UTC, with milliseconds: `2026-03-01T12:30:00.250Z`.
/// What lies outside the years 1970 to 9999 is written as the nearer end of that range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub SystemTime);

const MILLIS_MAX: u128 = 253_402_300_799_999;

impl Rfc3339 {
    /// The text, always of the same length and in ASCII; it costs no allocation.
    pub fn text(self) -> [u8; 24] {
        let millis = self.0.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let millis = millis.min(MILLIS_MAX) as u64;
        let seconds = millis / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put(&mut text[..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], seconds / 3600 % 24);
        put(&mut text[14..16], seconds / 60 % 60);
        put(&mut text[17..19], seconds % 60);
        put(&mut text[20..23], millis % 1000);
        text
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|byte| fmt::Write::write_char(f, char::from(*byte)))
    }
}

/// The number's last digits, as many as there is room for.
fn put(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Days since 1970 as year, month and day (Howard Hinnant, "chrono-compatible low-level date algorithms").
/// It counts years from March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let from_0000_03_01 = days + 719_468;
    let (era, day_of_era) = (from_0000_03_01 / 146_097, from_0000_03_01 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> String {
        Rfc3339(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
    }

    #[test]
    fn known_moments_print_as_the_calendar_has_them() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(951_868_800_001), "2000-03-01T00:00:00.001Z");
        assert_eq!(at(1_709_164_800_250), "2024-02-29T00:00:00.250Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn clocks_that_are_wrong_print_as_the_end_of_the_range() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Rfc3339(before).to_string(), "1970-01-01T00:00:00.000Z");
        let after = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(Rfc3339(after).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
