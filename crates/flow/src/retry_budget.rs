//! How much may be tried again: a share of what was asked, so that retries never become a storm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;
use sys::PerCore;

/// What was deposited or withdrawn this long ago no longer counts.
const WINDOW_SECS: u64 = 10;
/// Slots of a second each: at least the window; a power of two is a cheap modulo.
const SLOTS: usize = 16;
/// Ratios are kept in millionths.
const ONE: u64 = 1_000_000;

/// A budget of retries, as Finagle and linkerd keep it: within the last ten seconds there are never more
/// retries than `ratio` of the requests, plus `min_per_second` so that a quiet pool may retry at all.
///
/// A deposit touches only this core's counters; a withdrawal adds up all of them under a mutex, which only
/// retries ever take.
#[derive(Debug)]
pub struct RetryBudget {
    ratio_millionths: AtomicU64,
    min_per_second: AtomicU64,
    /// The first `now` ever seen; seconds are counted from it.
    start: OnceLock<Instant>,
    deposits: PerCore<[AtomicU64; SLOTS]>,
    withdrawals: Mutex<[Slot; SLOTS]>,
}

/// What happened within one second.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    count: u64,
}

impl RetryBudget {
    /// A budget of `ratio` retries a request (0.2 for 20 %) and at least `min_per_second`.
    pub fn new(ratio: f64, min_per_second: u32) -> Self {
        let budget = Self {
            ratio_millionths: AtomicU64::new(0),
            min_per_second: AtomicU64::new(0),
            start: OnceLock::new(),
            deposits: PerCore::new(Default::default),
            withdrawals: Mutex::default(),
        };
        budget.set(ratio, min_per_second);
        budget
    }

    /// Changes the limits; what was deposited and withdrawn stays.
    pub fn set(&self, ratio: f64, min_per_second: u32) {
        // A float beyond the range, or no number at all, becomes the nearest value that is within.
        self.ratio_millionths
            .store((ratio.clamp(0.0, 1000.0) * ONE as f64).round() as u64, Ordering::Relaxed);
        self.min_per_second.store(min_per_second.into(), Ordering::Relaxed);
    }

    /// Counts a request, but not its retries.
    #[inline]
    pub fn deposit(&self, now: Instant) {
        let second = self.second(now);
        let slot = &self.deposits.mine()[second as usize % SLOTS];
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let found = unpack(seen);
            if found.second == second {
                // Nothing adds 2^32 requests a second on one core, so the count never reaches the second.
                slot.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if found.second > second {
                return; // `now` is older than the window.
            }
            match slot.compare_exchange_weak(seen, pack(second, 1), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => seen = current,
            }
        }
    }

    /// Takes one retry out of the budget; `false` when there is none left.
    pub fn try_withdraw(&self, now: Instant) -> bool {
        let second = self.second(now);
        let mut withdrawals = self.withdrawals.lock().unwrap_or_else(PoisonError::into_inner);
        let withdrawn: u64 = withdrawals.iter().map(|slot| within_window(*slot, second)).sum();
        if (withdrawn + 1).saturating_mul(ONE) > self.allowance_millionths(second) {
            return false;
        }
        let slot = &mut withdrawals[second as usize % SLOTS];
        if slot.second != second {
            *slot = Slot { second, count: 0 };
        }
        slot.count += 1;
        true
    }

    /// How many retries the budget would still give.
    pub fn left(&self, now: Instant) -> u64 {
        let second = self.second(now);
        let withdrawals = self.withdrawals.lock().unwrap_or_else(PoisonError::into_inner);
        let withdrawn: u64 = withdrawals.iter().map(|slot| within_window(*slot, second)).sum();
        (self.allowance_millionths(second) / ONE).saturating_sub(withdrawn)
    }

    fn allowance_millionths(&self, second: u64) -> u64 {
        let slots = self.deposits.iter().flatten();
        let requests: u64 =
            slots.map(|slot| within_window(unpack(slot.load(Ordering::Relaxed)), second)).sum();
        let earned = requests.saturating_mul(self.ratio_millionths.load(Ordering::Relaxed));
        earned.saturating_add(self.min_per_second.load(Ordering::Relaxed) * WINDOW_SECS * ONE)
    }

    fn second(&self, now: Instant) -> u64 {
        let start = *self.start.get_or_init(|| now);
        // Cut to what a packed slot holds: 136 years.
        now.saturating_duration_since(start).as_secs() & u64::from(u32::MAX)
    }
}

fn pack(second: u64, count: u64) -> u64 {
    second << 32 | count
}

fn unpack(packed: u64) -> Slot {
    Slot { second: packed >> 32, count: packed & u64::from(u32::MAX) }
}

/// The slot's count, if its second is one of the last ten.
fn within_window(slot: Slot, second: u64) -> u64 {
    if slot.second <= second && slot.second + WINDOW_SECS > second { slot.count } else { 0 }
}
