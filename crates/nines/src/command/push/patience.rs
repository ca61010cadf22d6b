//! How long is waited for somebody who uploads the same.

use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The node hashes what is whole before it takes anything else, which takes long for gigabytes.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The pauses while nothing goes on: each twice as long as the one before, for a minute in all.
#[derive(Default)]
pub(super) struct Patience {
    waited: Duration,
    last: Duration,
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.last = (self.last * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.waited += self.last;
        (self.waited <= WAIT_MAX).then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_after_a_minute() {
        let pauses: Vec<Duration> = Patience::default().collect();
        assert_eq!(pauses[..3], [50, 100, 200].map(Duration::from_millis));
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= PAUSE_MAX));
        let all: Duration = pauses.iter().sum();
        assert!(all <= WAIT_MAX && all + PAUSE_MAX > WAIT_MAX, "{all:?}");
    }
}
