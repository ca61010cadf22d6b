//! Stopping without dropping: tell everyone, wait until the last one is done.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The side that decides to stop. Dropping it decides nothing: only [`Drain::start`] does.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Shared>);

/// The side that is told, and that holds a guard while it works.
#[derive(Debug, Clone)]
pub struct Draining(Arc<Shared>);

/// Work that a drain waits for, until dropped.
#[derive(Debug)]
#[must_use = "a guard that is dropped holds up no drain"]
pub struct Working(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_started: AtomicBool,
    started: Notify,
    working: AtomicUsize,
    idle: Notify,
}

impl Drain {
    /// A drain that has not started, with nothing to wait for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells everyone to stop. Doing so again changes nothing.
    pub fn start(&self) {
        self.0.is_started.store(true, Ordering::SeqCst);
        self.0.started.notify_waiters();
    }

    /// Waits until no guard is left, for at most `deadline`; `true` when none is.
    pub async fn finished(&self, deadline: Duration) -> bool {
        let idle = wait_until(&self.0.idle, || self.working() == 0);
        tokio::time::timeout(deadline, idle).await.is_ok()
    }

    /// How many guards there are.
    pub fn working(&self) -> usize {
        self.0.working.load(Ordering::SeqCst)
    }

    /// A handle for those who are to be told.
    pub fn watch(&self) -> Draining {
        Draining(Arc::clone(&self.0))
    }
}

impl Draining {
    /// Whether the drain has started.
    #[inline]
    pub fn is_started(&self) -> bool {
        self.0.is_started.load(Ordering::SeqCst)
    }

    /// Resolves once the drain has started; at once when it has already. Cancel safe.
    pub async fn started(&self) {
        wait_until(&self.0.started, || self.is_started()).await;
    }

    /// Makes the drain wait until the guard is dropped.
    pub fn guard(&self) -> Working {
        self.0.working.fetch_add(1, Ordering::SeqCst);
        Working(Arc::clone(&self.0))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if self.0.working.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Waits for a condition whose every change to true is followed by `notify_waiters`.
async fn wait_until(notify: &Notify, is_met: impl Fn() -> bool) {
    while !is_met() {
        let mut notified = pin!(notify.notified());
        // In line before looking again: a change after this look wakes us.
        notified.as_mut().enable();
        if is_met() {
            return;
        }
        notified.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn everybody_who_watches_is_told_before_and_after() {
        let drain = Drain::new();
        let early = drain.watch();
        let waiting = tokio::spawn({
            let early = early.clone();
            async move { early.started().await }
        });
        tokio::task::yield_now().await;
        assert!(!early.is_started() && !waiting.is_finished());
        drain.start();
        waiting.await.unwrap();
        assert!(early.is_started());
        drain.watch().started().await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_finished_when_the_last_guard_is_dropped() {
        let drain = Drain::new();
        let (first, second) = (drain.watch().guard(), drain.watch().guard());
        drain.start();
        let finished = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finished(LONG).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!finished.is_finished());
        assert_eq!(drain.working(), 1);
        drop(second);
        let before = tokio::time::Instant::now();
        assert!(finished.await.unwrap());
        assert_eq!(before.elapsed(), Duration::ZERO, "it did not wait for the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_that_stays_ends_the_wait_at_the_deadline() {
        let drain = Drain::new();
        let _stuck = drain.watch().guard();
        drain.start();
        let before = tokio::time::Instant::now();
        assert!(!drain.finished(LONG).await);
        assert_eq!(before.elapsed(), LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_wait_for_it_is_finished_at_once() {
        let drain = Drain::new();
        drain.start();
        assert!(drain.finished(Duration::ZERO).await);
    }

    #[test]
    fn guards_that_end_on_other_threads_are_not_missed() {
        for _ in 0..200 {
            let drain = Drain::new();
            let guards: Vec<Working> = (0..4).map(|_| drain.watch().guard()).collect();
            let threads: Vec<_> =
                guards.into_iter().map(|guard| std::thread::spawn(move || drop(guard))).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            drain.start();
            assert!(runtime.block_on(drain.finished(LONG)));
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
