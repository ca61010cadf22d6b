//! Candidates to try policies on.

use crate::endpoint::Endpoint;
use crate::policy::Candidate;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// Any of them may be used.
pub(crate) fn all(_: &Candidate) -> bool {
    true
}

/// All but the one with this name.
pub(crate) fn but(name: &str) -> impl Fn(&Candidate) -> bool + '_ {
    move |candidate| candidate.endpoint.name() != name
}

pub(crate) fn rng() -> SmallRng {
    SmallRng::seed_from_u64(9)
}

/// Candidates named app-0, app-1, … with these weights.
pub(crate) fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let named =
        weights.iter().enumerate().map(|(number, weight)| candidate(&format!("app-{number}"), *weight));
    named.collect()
}

pub(crate) fn candidate(name: &str, weight: u32) -> Candidate {
    let endpoint = Endpoint::new(name.into(), ([10, 0, 0, 1], 80).into(), 0, Weak::new(), Instant::now());
    Candidate { endpoint, weight, probing: false }
}

/// Puts this many requests in flight.
pub(crate) fn load(candidate: &Candidate, requests: usize) {
    for _ in 0..requests {
        assert!(candidate.endpoint.start(u64::MAX));
    }
}

/// Ends one request after this latency.
pub(crate) fn answer(candidate: &Candidate, latency: Duration, now: Instant) {
    candidate.endpoint.end_answered(latency, now);
}

/// How often each of `count` candidates comes in `picks` picks.
pub(crate) fn counts(count: usize, picks: usize, mut pick: impl FnMut() -> Option<usize>) -> Vec<u64> {
    let mut counts = vec![0; count];
    for _ in 0..picks {
        counts[pick().expect("all candidates are usable")] += 1;
    }
    counts
}

/// Pearson's chi-square stays within five standard deviations of what chance gives.
pub(crate) fn assert_by_weight(counts: &[u64], weights: &[u32]) {
    let (picks, total) = (counts.iter().sum::<u64>() as f64, f64::from(weights.iter().sum::<u32>()));
    let chi_square: f64 = counts
        .iter()
        .zip(weights)
        .map(|(count, weight)| {
            let expected = picks * f64::from(*weight) / total;
            (*count as f64 - expected).powi(2) / expected
        })
        .sum();
    let freedom = (counts.len() - 1) as f64;
    assert!(
        chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(),
        "chi-square {chi_square:.1}: {counts:?} for {weights:?}"
    );
}

/// Each share is within this part of what its weight asks for.
pub(crate) fn assert_close_to_weight(counts: &[u64], weights: &[u32], tolerance: f64) {
    let (picks, total) = (counts.iter().sum::<u64>() as f64, f64::from(weights.iter().sum::<u32>()));
    for (count, weight) in counts.iter().zip(weights) {
        let expected = picks * f64::from(*weight) / total;
        assert!((*count as f64 / expected - 1.0).abs() < tolerance, "{counts:?} for {weights:?}");
    }
}
