//! The cheaper of two drawn by weight, where the cost is the expected latency times the requests that would
//! be in flight, these counted against the endpoint's weight. Latency is a moving average that takes a peak at once and forgets it over ten seconds
//! (after Finagle's and Linkerd's), so that an endpoint in a pause of its garbage collector is left alone
//! before its queue grows.

use crate::policy::Candidate;
use crate::policy::draw::{Shares, draw_two};
use rand::Rng;
use std::time::Instant;

/// What an endpoint without a measurement is taken to need, once a request is under way that will measure it.
const UNMEASURED_SECS: f64 = 1.0;

pub(crate) fn pick(
    shares: &Shares,
    candidates: &[Candidate],
    usable: &impl Fn(&Candidate) -> bool,
    now: Instant,
    rng: &mut impl Rng,
) -> Option<usize> {
    let (first, second) = draw_two(shares, candidates, usable, rng)?;
    let Some(second) = second else { return Some(first) };
    let cost = |index: usize| cost(&candidates[index], shares.mean(), now);
    Some(if cost(second) < cost(first) { second } else { first })
}

/// What a further request would cost. An endpoint that was never measured costs nothing until it has its
/// first request: so each is tried.
fn cost(candidate: &Candidate, weight_mean: f64, now: Instant) -> f64 {
    let inflight = candidate.endpoint.inflight() as f64 * weight_mean / f64::from(candidate.weight);
    match candidate.endpoint.latency_secs(now) {
        Some(latency_secs) => latency_secs * (inflight + 1.0),
        None => UNMEASURED_SECS * inflight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn measured(weights: &[u32], latencies_ms: &[u32], now: Instant) -> Vec<Candidate> {
        let candidates = candidates(weights);
        for (candidate, latency_ms) in candidates.iter().zip(latencies_ms) {
            load(candidate, 1);
            answer(candidate, MS * *latency_ms, now);
        }
        candidates
    }

    #[test]
    fn the_slower_of_two_is_left_alone_until_its_peak_has_sunk() {
        let (now, mut rng) = (Instant::now(), rng());
        let candidates = measured(&[1, 1], &[5, 500], now);
        let shares = Shares::of(&candidates);
        assert_eq!(counts(2, 1000, || pick(&shares, &candidates, &all, now, &mut rng)), [1000, 0]);
        // The slow one is not asked, so its average sinks; the quick one goes on being measured.
        let later = now + Duration::from_secs(60);
        load(&candidates[0], 1);
        answer(&candidates[0], 5 * MS, later);
        assert_eq!(counts(2, 1000, || pick(&shares, &candidates, &all, later, &mut rng)), [0, 1000]);
    }

    #[test]
    fn load_counts_as_much_as_latency() {
        let (now, mut rng) = (Instant::now(), rng());
        let candidates = measured(&[1, 1], &[5, 20], now);
        let shares = Shares::of(&candidates);
        load(&candidates[0], 3);
        let at_four_times = counts(2, 1000, || pick(&shares, &candidates, &all, now, &mut rng));
        assert!(at_four_times.iter().all(|count| *count > 400), "{at_four_times:?}");
        load(&candidates[0], 1);
        assert_eq!(counts(2, 1000, || pick(&shares, &candidates, &all, now, &mut rng)), [0, 1000]);
    }

    #[test]
    fn an_unmeasured_endpoint_is_tried_by_one_request() {
        let (now, mut rng) = (Instant::now(), rng());
        let candidates = measured(&[1, 1], &[5], now);
        let shares = Shares::of(&candidates);
        assert_eq!(counts(2, 100, || pick(&shares, &candidates, &all, now, &mut rng)), [0, 100]);
        load(&candidates[1], 1);
        assert_eq!(counts(2, 100, || pick(&shares, &candidates, &all, now, &mut rng)), [100, 0]);
    }

    #[test]
    fn with_equal_latencies_shares_follow_the_weights() {
        let (weights, now, mut rng) = ([1, 4, 2], Instant::now(), rng());
        let candidates = measured(&weights, &[5, 5, 5], now);
        let shares = Shares::of(&candidates);
        assert_by_weight(&counts(3, 50_000, || pick(&shares, &candidates, &all, now, &mut rng)), &weights);
        let loaded = counts(3, 7_000, || {
            let picked = pick(&shares, &candidates, &all, now, &mut rng)?;
            load(&candidates[picked], 1);
            Some(picked)
        });
        assert_close_to_weight(&loaded, &weights, 0.02);
    }
}
