//! The gate under many threads that come, wait, give up and go away at once.

use flow::{Gate, Permit};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const THREADS: u64 = 4;
const TASKS: u64 = 24;
const ROUNDS: usize = 400;

/// Counts who is inside, apart from the gate's own count.
#[derive(Default)]
struct Inside(AtomicUsize);

impl Inside {
    fn check(&self, inflight_max: usize) -> impl Drop + '_ {
        struct Leaving<'a>(&'a AtomicUsize);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let inside = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(inside <= inflight_max, "{inside} inside, {inflight_max} allowed");
        Leaving(&self.0)
    }
}

/// Runs many of `task` on every thread, each thread with a runtime of its own, as the edge has them.
fn on_all_threads<F: Future<Output = ()> + 'static>(task: impl Fn(u64) -> F + Clone + Send + 'static) {
    let threads = (0..THREADS).map(|thread| {
        let task = task.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            let tasks: Vec<_> =
                (0..TASKS).map(|index| local.spawn_local(task(thread << 32 | index))).collect();
            runtime.block_on(local);
            for task in tasks {
                runtime.block_on(task).expect("a task that ends well");
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("a thread that ends well");
    }
}

fn assert_all_permits_are_in(gate: &Gate, inflight_max: usize) {
    assert_eq!((gate.inflight(), gate.waiting()), (0, 0));
    let permits: Vec<Permit> = std::iter::from_fn(|| gate.try_enter()).collect();
    assert_eq!(permits.len(), inflight_max);
}

#[test]
fn no_permit_is_lost_while_waiters_give_up_at_any_moment() {
    const INFLIGHT_MAX: usize = 3;
    let gate = Gate::new(INFLIGHT_MAX, 40, Duration::from_millis(2));
    let inside = Arc::new(Inside::default());
    let task = {
        let gate = gate.clone();
        move |seed| come_and_go(gate.clone(), Arc::clone(&inside), INFLIGHT_MAX, seed)
    };
    on_all_threads(task);
    assert_all_permits_are_in(&gate, INFLIGHT_MAX);
}

/// Enters again and again: waits to the end, or goes away after a few polls, or asks without waiting.
async fn come_and_go(gate: Gate, inside: Arc<Inside>, inflight_max: usize, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..ROUNDS {
        let permit = match rng.random_range(0..4) {
            0 => gate.try_enter(),
            1 => {
                let polls = rng.random_range(0..4);
                tokio::select! {
                    biased;
                    permit = gate.enter() => permit.ok(),
                    () = yield_times(polls) => None,
                }
            }
            _ => gate.enter().await.ok(),
        };
        let Some(permit) = permit else { continue };
        let leaving = inside.check(inflight_max);
        yield_times(rng.random_range(0..3)).await;
        // Out of the count before the permit: whoever gets it next comes in.
        drop(leaving);
        drop(permit);
    }
}

#[test]
fn everybody_who_waits_is_served_when_nobody_holds_a_permit_for_long() {
    // The longest wait is an hour: a lost permit shows as a test that hangs, a lost wake-up too.
    let gate = Gate::new(1, usize::MAX, Duration::from_secs(3600));
    let served = Arc::new(AtomicUsize::new(0));
    let task = {
        let (gate, served) = (gate.clone(), Arc::clone(&served));
        move |_| {
            let (gate, served) = (gate.clone(), Arc::clone(&served));
            async move {
                for _ in 0..ROUNDS {
                    let _permit = gate.enter().await.unwrap();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    on_all_threads(task);
    assert_eq!(served.load(Ordering::Relaxed), THREADS as usize * TASKS as usize * ROUNDS);
    assert_all_permits_are_in(&gate, 1);
}

#[test]
fn limits_that_change_under_load_lose_nobody() {
    let gate = Gate::new(1, usize::MAX, Duration::from_secs(3600));
    let task = {
        let gate = gate.clone();
        move |seed| {
            let gate = gate.clone();
            async move {
                let mut rng = SmallRng::seed_from_u64(seed);
                for round in 0..ROUNDS {
                    let permit = gate.enter().await.unwrap();
                    if round % 7 == 0 {
                        gate.set(rng.random_range(1..6), usize::MAX, Duration::from_secs(3600));
                    }
                    yield_times(rng.random_range(0..2)).await;
                    drop(permit);
                }
            }
        }
    };
    on_all_threads(task);
    gate.set(4, 0, Duration::ZERO);
    assert_all_permits_are_in(&gate, 4);
}

async fn yield_times(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
