//! Passive health: live requests that fail take their endpoint out for a while (circuit breaking).

use crate::config::EjectConfig;
use crate::endpoint::Totals;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many parts the window has over which the failure ratio looks.
const PARTS: u32 = 10;

/// Where an endpoint stands with ejection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ejection {
    /// It takes part.
    #[default]
    In,
    /// It takes no requests until then.
    Out { until: Instant },
    /// Its time is over; one request at a time shows whether it works again.
    Probing,
}

/// The ejections of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Ejections {
    pub(crate) now: Ejection,
    pub(crate) count: u64,
    in_row: u32,
    lasted: Duration,
    /// When it last came back in.
    back_since: Option<Instant>,
}

impl Ejections {
    /// Takes it out; returns for how long. The n-th ejection in a row lasts n times as long as the first; a
    /// row ends when the endpoint has been back for as long as it was last out.
    pub(crate) fn eject(&mut self, config: &EjectConfig, now: Instant) -> Duration {
        let held = self.back_since.is_some_and(|since| now.saturating_duration_since(since) >= self.lasted);
        self.in_row = if held { 1 } else { self.in_row + 1 };
        self.lasted =
            config.for_.get().saturating_mul(self.in_row).min(config.for_max.get().max(config.for_.get()));
        self.count += 1;
        self.back_since = None;
        self.now = Ejection::Out { until: now + self.lasted };
        self.lasted
    }

    /// The same name at another address: in, and only the count goes on.
    pub(crate) fn begin_anew(&self) -> Self {
        Self { count: self.count, ..Self::default() }
    }

    /// Lets probes through.
    pub(crate) fn begin_probing(&mut self) {
        self.now = Ejection::Probing;
    }

    /// A probe has succeeded.
    pub(crate) fn come_back(&mut self, now: Instant) {
        self.now = Ejection::In;
        self.back_since = Some(now);
    }
}

/// Whether one more of `endpoints` may be out when `ejected` are: at most the configured share, but always one
/// if there are two.
pub(crate) fn may_eject(config: &EjectConfig, ejected: usize, endpoints: usize) -> bool {
    if endpoints < 2 {
        return false;
    }
    let ejected_max = (endpoints as f64 * config.max.ratio()).floor() as usize;
    ejected < ejected_max.max(1)
}

/// Whether an endpoint's share of failures exceeds that of the rest of the pool by `ratio`: when all fail alike
/// the fault lies behind them, and taking out some would only load the others.
pub(crate) fn stands_out(own: Totals, rest: Totals, ratio: f64, requests_min: u32) -> bool {
    let share = |totals: Totals| totals.failed as f64 / totals.finished.max(1) as f64;
    own.finished >= u64::from(requests_min) && own.failed > 0 && share(own) - share(rest) >= ratio
}

/// An endpoint's totals at the beginning of each part of the window.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<(Instant, Totals)>);

impl History {
    /// How long one part of the window is.
    pub(crate) fn part(window: Duration) -> Duration {
        (window / PARTS).max(Duration::from_millis(1))
    }

    /// The history of an endpoint that begins now.
    pub(crate) fn begun(now: Instant) -> Self {
        Self(VecDeque::from([(now, Totals::default())]))
    }

    /// Notes the totals of now; returns what was added within the window.
    pub(crate) fn note(&mut self, totals: Totals, window: Duration, now: Instant) -> Totals {
        // Nobody has looked for so long that what was added since is not known to be recent.
        if self.0.back().is_some_and(|(last, _)| now.saturating_duration_since(*last) > window) {
            self.0.clear();
        }
        self.0.push_back((now, totals));
        // One from before the window's beginning stays, to count from.
        while self.0.len() > 1 && now.saturating_duration_since(self.0[1].0) >= window {
            self.0.pop_front();
        }
        let (_, before) = self.0[0];
        Totals {
            finished: totals.finished.saturating_sub(before.finished),
            failed: totals.failed.saturating_sub(before.failed),
        }
    }

    /// Begins anew: what was before no longer counts.
    pub(crate) fn forget(&mut self, totals: Totals, now: Instant) {
        self.0.clear();
        self.0.push_back((now, totals));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notation::{Duration as Text, Percent};

    fn config() -> EjectConfig {
        EjectConfig { for_: Text::secs(10), for_max: Text::secs(35), ..EjectConfig::default() }
    }

    #[test]
    fn each_ejection_in_a_row_lasts_longer_up_to_the_longest() {
        let (mut ejections, mut now) = (Ejections::default(), Instant::now());
        let mut lasted = Vec::new();
        for _ in 0..5 {
            let out = ejections.eject(&config(), now);
            lasted.push(out.as_secs());
            now += out;
            ejections.begin_probing();
        }
        assert_eq!(lasted, [10, 20, 30, 35, 35]);
        assert_eq!(ejections.count, 5);
    }

    #[test]
    fn an_endpoint_that_holds_as_long_as_it_was_out_begins_a_new_row() {
        let (mut ejections, now) = (Ejections::default(), Instant::now());
        ejections.eject(&config(), now);
        ejections.eject(&config(), now);
        ejections.come_back(now);
        let soon = now + Duration::from_secs(19);
        assert_eq!(ejections.eject(&config(), soon).as_secs(), 30);
        ejections.come_back(soon);
        assert_eq!(ejections.eject(&config(), soon + Duration::from_secs(30)).as_secs(), 10);
    }

    #[test]
    fn at_most_the_share_is_out_but_one_of_two_always_may_be() {
        let config = |percent| EjectConfig { max: Percent::of(percent), ..EjectConfig::default() };
        let ejected_max = |config: &EjectConfig, endpoints| {
            (0..20).take_while(|out| may_eject(config, *out, endpoints)).count()
        };
        assert_eq!([0, 1, 2, 3, 10].map(|endpoints| ejected_max(&config(50.0), endpoints)), [0, 0, 1, 1, 5]);
        assert_eq!([1, 2, 10].map(|endpoints| ejected_max(&config(0.0), endpoints)), [0, 1, 1]);
        assert_eq!(ejected_max(&config(30.0), 10), 3);
    }

    #[test]
    fn an_endpoint_stands_out_only_against_the_rest() {
        let totals = |finished, failed| Totals { finished, failed };
        assert!(stands_out(totals(100, 30), totals(300, 3), 0.2, 20));
        assert!(!stands_out(totals(100, 30), totals(300, 60), 0.2, 20), "the rest fails as well");
        assert!(!stands_out(totals(19, 19), totals(300, 0), 0.2, 20), "too few to judge");
        assert!(stands_out(totals(20, 4), totals(0, 0), 0.2, 20));
        assert!(!stands_out(totals(20, 0), totals(9, 0), 0.0, 20), "nothing failed");
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let (mut history, start, window) = (History::default(), Instant::now(), Duration::from_secs(10));
        let at = |secs| start + Duration::from_secs(secs);
        let totals = |finished| Totals { finished, failed: 0 };
        assert_eq!(history.note(totals(0), window, at(0)).finished, 0);
        assert_eq!(history.note(totals(50), window, at(1)).finished, 50);
        assert_eq!(history.note(totals(60), window, at(10)).finished, 60);
        assert_eq!(history.note(totals(60), window, at(11)).finished, 10);
        assert_eq!(
            history.note(totals(90), window, at(30)).finished,
            0,
            "nobody looked for longer than the window"
        );
        assert_eq!(History::begun(at(0)).note(totals(7), window, at(1)).finished, 7);
    }
}
