//! How an upstream does, and who is asked first: pure, with `now` and `rng`.

use rand::{Rng, RngExt};
use std::time::{Duration, Instant};

/// What is known of one upstream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// RFC 6298 §2: the smoothed round trip and its variation.
    rtt: Option<(Duration, Duration)>,
    /// Failures since the last answer.
    failures: u32,
    /// It is asked last until then.
    down_until: Option<Instant>,
}

/// It is down after so many failures in a row.
const FAILURES_MAX: u32 = 3;
const DOWN_MIN: Duration = Duration::from_secs(1);
const DOWN_MAX: Duration = Duration::from_secs(60);
/// The patience for one try.
const PATIENCE_MIN: Duration = Duration::from_millis(150);
const PATIENCE_MAX: Duration = Duration::from_millis(1500);
const PATIENCE_UNKNOWN: Duration = Duration::from_millis(400);
/// Of so many questions one goes to another than the fastest first: it may have become faster.
const EXPLORED: u32 = 20;

impl Health {
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|(smoothed, _)| smoothed)
    }

    pub(crate) fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    /// Whether its time of being down is over. Whoever hears so is the one that finds out: the next question does not go there too, until
    /// this one is answered or not.
    pub(crate) fn claim(&mut self, now: Instant) -> bool {
        let is_due = self.down_until.is_some_and(|until| until <= now);
        if is_due {
            self.down_until = Some(now + DOWN_MIN);
        }
        is_due
    }

    /// Whether it was found down, and has not answered since.
    pub(crate) fn is_known_down(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// RFC 6298 §2.3.
    pub(crate) fn answered(&mut self, rtt: Duration) {
        self.rtt = Some(match self.rtt {
            None => (rtt, rtt / 2),
            Some((smoothed, variation)) => {
                ((smoothed * 7 + rtt) / 8, (variation * 3 + smoothed.abs_diff(rtt)) / 4)
            }
        });
        self.failures = 0;
        self.down_until = None;
    }

    /// It has not answered, or not what it should.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            let doubled = DOWN_MIN * (1 << (self.failures - FAILURES_MAX).min(6));
            self.down_until = Some(now + doubled.min(DOWN_MAX));
        }
    }

    /// Another one has answered first, and it was waited for so long: that counts against it if it was more than it takes at most.
    pub(crate) fn overtaken(&mut self, waited: Duration, now: Instant) {
        if waited >= self.patience(0) {
            self.failed(now);
        }
    }

    /// How long an answer is waited for before another try, the `round`th (from 0) to this one.
    pub(crate) fn patience(&self, round: u32) -> Duration {
        let once = match self.rtt {
            None => PATIENCE_UNKNOWN,
            Some((smoothed, variation)) => (smoothed + variation * 4).clamp(PATIENCE_MIN, PATIENCE_MAX),
        };
        (once * (1 << round.min(4))).min(PATIENCE_MAX * 2)
    }
}

/// The order in which they are asked: the fastest first, those that nobody knows yet before them, those that are down last. One that
/// was down long enough is asked first, if it is claimed: if it fails it is down for longer. Also says whether the first is one of those.
pub(crate) fn order(healths: &[Health], now: Instant, rng: &mut impl Rng) -> (Vec<usize>, bool) {
    let mut order: Vec<usize> = (0..healths.len()).collect();
    order.sort_by_key(|&at| {
        let health = &healths[at];
        (health.down_until.is_some(), health.rtt().unwrap_or_default(), at)
    });
    let due = order.iter().position(|&at| healths[at].down_until.is_some_and(|until| until <= now));
    if let Some(position) = due {
        order[..=position].rotate_right(1);
        return (order, true);
    }
    let up = order.iter().filter(|&&at| healths[at].down_until.is_none()).count();
    if up > 1 && rng.random_range(0..EXPLORED) == 0 {
        let other = rng.random_range(1..up);
        order[..=other].rotate_right(1);
    }
    (order, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn world<const N: usize>(rtts: [Option<u64>; N]) -> [Health; N] {
        rtts.map(|rtt| {
            let mut health = Health::default();
            if let Some(rtt) = rtt {
                health.answered(ms(rtt));
            }
            health
        })
    }

    /// How often each is the first of a thousand.
    fn firsts<const N: usize>(healths: &mut [Health; N], now: Instant) -> [usize; N] {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut firsts = [0; N];
        for _ in 0..1000 {
            let (order, is_due) = order(healths, now, &mut rng);
            assert_eq!(is_due, healths[order[0]].claim(now));
            firsts[order[0]] += 1;
        }
        firsts
    }

    #[test]
    fn the_fastest_is_asked_first_and_the_others_now_and_then() {
        let now = Instant::now();
        let [slow, fast, middle] = firsts(&mut world([Some(80), Some(5), Some(20)]), now);
        assert!(fast > 900 && slow > 5 && middle > 5, "{slow} {fast} {middle}");
        let [known, unknown] = firsts(&mut world([Some(5), None]), now);
        assert!(unknown > 900 && known > 5);
    }

    #[test]
    fn one_that_fails_is_asked_last_for_a_time_that_doubles_and_then_once() {
        let mut now = Instant::now();
        let mut healths = world([Some(5), Some(50)]);
        for _ in 0..2 {
            healths[0].failed(now);
        }
        assert!(!healths[0].is_down(now));
        healths[0].failed(now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(firsts(&mut healths, now), [0, 1000]);
            now += Duration::from_secs(seconds) - ms(1);
            assert_eq!(firsts(&mut healths, now), [0, 1000], "after {seconds}");
            now += ms(1);
            assert_eq!(firsts(&mut healths, now), [1, 999], "one question finds out");
            healths[0].failed(now);
        }
        healths[0].answered(ms(5));
        assert!(firsts(&mut healths, now)[0] > 900);
    }

    #[test]
    fn patience_follows_the_round_trip_within_bounds() {
        let mut health = Health::default();
        assert_eq!(health.patience(0), ms(400));
        assert_eq!(health.patience(1), ms(800));
        health.answered(ms(100));
        assert_eq!(health.patience(0), ms(300));
        for _ in 0..100 {
            health.answered(ms(1));
        }
        assert_eq!(health.patience(0), ms(150));
        for _ in 0..100 {
            health.answered(ms(4000));
        }
        assert_eq!(health.patience(0), ms(1500));
        assert_eq!(health.patience(9), ms(3000));
    }

    #[test]
    fn whoever_is_overtaken_though_late_has_failed() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..5 {
            health.overtaken(ms(399), now);
        }
        assert!(!health.is_down(now));
        for _ in 0..3 {
            health.overtaken(ms(400), now);
        }
        assert!(health.is_down(now));
    }
}
