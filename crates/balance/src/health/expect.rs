//! The statuses that pass: `"200-399"`, `"200,204"`, `"200-299,404"`.

use std::ops::RangeInclusive;

/// Ranges of statuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (status(from)?, status(to)?);
            (from <= to).then_some(from..=to)
        });
        ranges.collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim();
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| is_number && (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_statuses_pass() {
        let statuses = Statuses::parse("200-299, 404").unwrap();
        let passing: Vec<u16> = (100..600).filter(|status| statuses.contain(*status)).collect();
        assert_eq!((passing.len(), passing[0], passing[100]), (101, 200, 404));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for wrong in ["", "ok", "20", "200-", "-200", "399-200", "200,,204", "+200", "600", "200-299-404"] {
            assert_eq!(Statuses::parse(wrong), None, "{wrong}");
        }
    }
}
