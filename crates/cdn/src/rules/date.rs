//! Dates as caches read them (RFC 9110 §5.6.7, RFC 9111 §4.2).

use super::lines::trim;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Reads a date in any of the three forms. Upper and lower case are the same, and `UTC` is as good as `GMT`: RFC 9111 §4.2 asks
/// caches for that, and to take any other zone as no date. Anything else is `None`. Dates before 1970 are its beginning.
///
/// `now` decides the century of a year with two digits: one that seems more than 50 years ahead is the last one like it.
pub(crate) fn parse(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let value = trim(value);
    let comma = value.iter().position(|byte| *byte == b',');
    match comma {
        Some(3) if is_name(&value[..3]) => imf(value.get(4..)?),
        Some(at @ 6..=9) if is_name(&value[..at]) => rfc850(value.get(at + 1..)?, now),
        Some(_) => None,
        None => asctime(value),
    }
}

/// Whole seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds from `earlier` to `later`, 0 if it is the other way around.
pub(crate) fn between(earlier: SystemTime, later: SystemTime) -> u64 {
    seconds(later).saturating_sub(seconds(earlier))
}

fn is_name(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphabetic)
}

/// ` 06 Nov 1994 08:49:37 GMT`.
fn imf(text: &[u8]) -> Option<SystemTime> {
    let [b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', rest @ ..] = text else { return None };
    let time = zoned(rest)?;
    made(number(&[*y1, *y2, *y3, *y4])?, month(&[*m1, *m2, *m3])?, number(&[*d1, *d2])?, time)
}

/// ` 06-Nov-94 08:49:37 GMT`.
fn rfc850(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    let [b' ', d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', rest @ ..] = text else { return None };
    let this_year = 1970 + seconds(now) / 31_556_952;
    let mut year = this_year / 100 * 100 + number(&[*y1, *y2])?;
    if year > this_year + 50 {
        year -= 100;
    } else if year + 50 <= this_year {
        year += 100;
    }
    made(year, month(&[*m1, *m2, *m3])?, number(&[*d1, *d2])?, zoned(rest)?)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &[u8]) -> Option<SystemTime> {
    let [w1, w2, w3, b' ', m1, m2, m3, b' ', d1, d2, b' ', rest @ ..] = text else { return None };
    if !is_name(&[*w1, *w2, *w3]) || rest.len() != 13 || rest[8] != b' ' {
        return None;
    }
    let day = if *d1 == b' ' { number(&[*d2])? } else { number(&[*d1, *d2])? };
    made(number(&rest[9..])?, month(&[*m1, *m2, *m3])?, day, clock(&rest[..8])?)
}

/// `08:49:37 GMT`, in seconds of the day.
fn zoned(text: &[u8]) -> Option<u64> {
    let zone = text.get(8..)?;
    let is_universal = zone.eq_ignore_ascii_case(b" gmt") || zone.eq_ignore_ascii_case(b" utc");
    if is_universal { clock(&text[..8]) } else { None }
}

fn clock(text: &[u8]) -> Option<u64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = text else { return None };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    // A leap second is the last second that the clock of this system knows.
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, byte| Some(number * 10 + u64::from(char::from(*byte).to_digit(10)?)))
}

/// From 1 on.
fn month(name: &[u8; 3]) -> Option<u64> {
    let place = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Some(place as u64 + 1)
}

fn made(year: u64, month: u64, day: u64, second_of_day: u64) -> Option<SystemTime> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    if year < 1970 {
        return Some(UNIX_EPOCH);
    }
    // Days since 1 March of the year 0 (proleptic Gregorian): a leap day is then the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let since_1970 = days - 719_468;
    UNIX_EPOCH.checked_add(Duration::from_secs(since_1970 * 86_400 + second_of_day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_790_000_000) // 2026
    }

    fn at(text: &str) -> Option<u64> {
        parse(text.as_bytes(), now()).map(seconds)
    }

    #[test]
    fn the_three_forms_mean_the_same() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 NOV 1994 08:49:37 gMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            " Sun, 06 Nov 1994 08:49:37 GMT\t",
        ] {
            assert_eq!(at(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn a_year_of_two_digits_is_within_fifty_years() {
        let year_2050 = at("Thu, 18 Aug 2050 02:01:18 GMT");
        assert_eq!(at("Thursday, 18-Aug-50 02:01:18 GMT"), year_2050);
        assert_eq!(at("Friday, 18-Aug-77 02:01:18 GMT"), at("Thu, 18 Aug 1977 02:01:18 GMT"));
    }

    #[test]
    fn what_is_malformed_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "foo",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 31 Feb 2050 02:01:18 GMT",
            "Thu, 00 Feb 2050 02:01:18 GMT",
            "Thu, 18 Foo 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        assert_eq!(at("Wed, 01 Jan 1800 00:00:00 GMT"), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(secs in 0u64..253_402_300_799) {
            let time = UNIX_EPOCH + Duration::from_secs(secs);
            prop_assert_eq!(at(&httpdate::fmt_http_date(time)), Some(secs));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            parse(&bytes, now());
        }

        #[test]
        fn no_text_like_a_date_makes_it_panic(text in "[A-Z][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT") {
            parse(text.as_bytes(), now());
        }
    }
}
