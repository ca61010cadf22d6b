//! The retry budget: how much of it there is, and for how long.

use flow::RetryBudget;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn withdraw_all(budget: &RetryBudget, now: Instant) -> u64 {
    (0..).take_while(|_| budget.try_withdraw(now)).count() as u64
}

#[test]
fn a_fifth_of_the_requests_may_be_tried_again() {
    let (budget, now) = (RetryBudget::new(0.2, 0), Instant::now());
    assert!(!budget.try_withdraw(now), "nothing was deposited");
    for _ in 0..100 {
        budget.deposit(now);
    }
    assert_eq!(budget.left(now), 20);
    assert_eq!(withdraw_all(&budget, now), 20);
    assert_eq!(budget.left(now), 0);
}

#[test]
fn a_quiet_pool_may_retry_at_all() {
    let (budget, now) = (RetryBudget::new(0.2, 3), Instant::now());
    assert_eq!(withdraw_all(&budget, now), 30, "3 a second, over 10 seconds");
    assert!(!budget.try_withdraw(now + SECOND * 9));
    assert_eq!(withdraw_all(&budget, now + SECOND * 10), 30);
}

#[test]
fn what_was_deposited_ten_seconds_ago_is_gone() {
    let (budget, now) = (RetryBudget::new(1.0, 0), Instant::now());
    budget.deposit(now);
    budget.deposit(now + SECOND * 5);
    assert_eq!(budget.left(now + SECOND * 9), 2);
    assert_eq!(budget.left(now + SECOND * 10), 1);
    assert_eq!(budget.left(now + SECOND * 15), 0);
}

#[test]
fn a_day_without_requests_leaves_nothing_of_the_day_before() {
    let (budget, now) = (RetryBudget::new(1.0, 0), Instant::now());
    // The same slot of the ring, many turns later.
    for turn in 0..4 {
        let now = now + SECOND * 16 * 5400 * turn;
        assert_eq!(withdraw_all(&budget, now), 0);
        budget.deposit(now);
        assert_eq!(withdraw_all(&budget, now), 1);
    }
}

#[test]
fn a_clock_that_goes_back_neither_panics_nor_gives_anything_away() {
    let (budget, now) = (RetryBudget::new(1.0, 0), Instant::now() + SECOND * 100);
    budget.deposit(now);
    budget.deposit(now - SECOND * 50);
    assert_eq!(withdraw_all(&budget, now), 2, "a late deposit counts as one of the first second");
    budget.deposit(now + SECOND * 16);
    budget.deposit(now);
    assert_eq!(withdraw_all(&budget, now + SECOND * 16), 1, "the slot belongs to a newer second");
}

#[test]
fn new_limits_hold_at_once_for_what_was_deposited_before() {
    let (budget, now) = (RetryBudget::new(0.0, 0), Instant::now());
    for _ in 0..10 {
        budget.deposit(now);
    }
    assert!(!budget.try_withdraw(now));
    budget.set(0.5, 0);
    assert_eq!(withdraw_all(&budget, now), 5);
}

#[test]
fn nonsense_ratios_are_taken_as_the_nearest_sense() {
    let now = Instant::now();
    for ratio in [-1.0, f64::NAN, f64::NEG_INFINITY] {
        let budget = RetryBudget::new(ratio, 0);
        budget.deposit(now);
        assert_eq!(budget.left(now), 0, "{ratio}");
    }
    let budget = RetryBudget::new(f64::INFINITY, 0);
    budget.deposit(now);
    assert_eq!(budget.left(now), 1000);
}

#[test]
fn no_deposit_of_any_core_is_lost_and_none_is_withdrawn_twice() {
    const THREADS: u64 = 4;
    const DEPOSITS: u64 = 20_000;
    let (budget, now) = (Arc::new(RetryBudget::new(1.0, 0)), Instant::now());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let budget = Arc::clone(&budget);
            std::thread::spawn(move || {
                let turn = |index| {
                    // Nine seconds, so that slots change hands while others deposit.
                    budget.deposit(now + SECOND * (index * 9 / DEPOSITS as u32));
                    index % 64 == 0 && budget.try_withdraw(now + SECOND * 9)
                };
                (0..DEPOSITS as u32).filter(|index| turn(*index)).count() as u64
            })
        })
        .collect();
    let withdrawn: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(budget.left(now + SECOND * 9) + withdrawn, THREADS * DEPOSITS);
}

proptest! {
    #[test]
    fn within_ten_seconds_retries_never_exceed_their_share(
        ratio in 0.0..2.0f64,
        min_per_second in 0..3u32,
        steps in vec((0..2500u64, 0..20u64, 0..20u64), 1..60),
    ) {
        let budget = RetryBudget::new(ratio, min_per_second);
        let start = Instant::now();
        // Its seconds begin with the first `now` it sees.
        budget.deposit(start);
        let (mut now_ms, mut deposits, mut withdrawals) = (0, vec![0], Vec::new());
        for (pause_ms, requests, retries) in steps {
            now_ms += pause_ms;
            let now = start + Duration::from_millis(now_ms);
            for _ in 0..requests {
                budget.deposit(now);
                deposits.push(now_ms / 1000);
            }
            for _ in 0..retries {
                let recent = |seconds: &[u64]| seconds.iter().filter(|at| **at + 10 > now_ms / 1000).count() as f64;
                let allowed = ratio * recent(&deposits) + f64::from(min_per_second) * 10.0;
                let withdrawn = recent(&withdrawals) + 1.0;
                let granted = budget.try_withdraw(now);
                // The ratio is kept in millionths, so right at the edge either answer is right.
                if (allowed - withdrawn).abs() > 0.01 {
                    prop_assert_eq!(granted, withdrawn <= allowed, "{} of {}", withdrawn, allowed);
                }
                if granted {
                    withdrawals.push(now_ms / 1000);
                }
            }
        }
    }
}
