//! A bounded queue between tasks, with a word for when it is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{self, error::TrySendError};

/// What happens to a job that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The newest job, the one that is being sent, is dropped and counted.
    Shed,
    /// The sender waits for room.
    Wait,
}

/// Why a job was not taken; the job comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsent<T> {
    /// The queue is full.
    #[error("queue full: {jobs_max} of {jobs_max} jobs waiting")]
    Full {
        /// The job.
        job: T,
        /// The bound.
        jobs_max: usize,
    },
    /// The receiver is gone.
    #[error("queue closed")]
    Closed {
        /// The job.
        job: T,
    },
}

/// A queue that holds at most `jobs_max` jobs (at least 1).
pub fn queue<T>(jobs_max: usize, when_full: WhenFull) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(jobs_max.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
    (Sender { jobs: sender, when_full, dropped: Arc::default() }, Receiver(receiver))
}

/// The side that puts jobs in; clones share the queue and its count.
#[derive(Debug)]
pub struct Sender<T> {
    jobs: mpsc::Sender<T>,
    when_full: WhenFull,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), when_full: self.when_full, dropped: Arc::clone(&self.dropped) }
    }
}

impl<T> Sender<T> {
    /// Puts a job in: at once, or after waiting for room when the queue was made so.
    pub async fn send(&self, job: T) -> Result<(), Unsent<T>> {
        match self.when_full {
            WhenFull::Shed => self.offer(job),
            WhenFull::Wait => self.jobs.send(job).await.map_err(|unsent| Unsent::Closed { job: unsent.0 }),
        }
    }

    /// Puts a job in if there is room now, whatever the queue was made for; what found none is counted.
    pub fn offer(&self, job: T) -> Result<(), Unsent<T>> {
        self.jobs.try_send(job).map_err(|unsent| match unsent {
            TrySendError::Full(job) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Unsent::Full { job, jobs_max: self.jobs.max_capacity() }
            }
            TrySendError::Closed(job) => Unsent::Closed { job },
        })
    }

    /// How many jobs found the queue full and were not taken.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many jobs are in the queue.
    pub fn depth(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

/// The side that takes jobs out.
#[derive(Debug)]
pub struct Receiver<T>(mpsc::Receiver<T>);

impl<T> Receiver<T> {
    /// The oldest job, as soon as there is one; `None` when every sender is gone and the queue is empty.
    /// Cancel safe: no job is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }

    /// The oldest job, if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }

    /// Takes no more jobs; those within can still be received.
    pub fn close(&mut self) {
        self.0.close();
    }

    /// How many jobs are in the queue.
    pub fn depth(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    #[tokio::test]
    async fn a_full_queue_sheds_the_newest_and_counts_it() {
        let (sender, mut receiver) = queue(2, WhenFull::Shed);
        for job in 1..=2 {
            sender.send(job).await.unwrap();
        }
        let unsent = sender.send(3).await.unwrap_err();
        assert_eq!(unsent, Unsent::Full { job: 3, jobs_max: 2 });
        assert_eq!(unsent.to_string(), "queue full: 2 of 2 jobs waiting");
        assert_eq!((sender.dropped(), sender.depth()), (1, 2));
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(1), Some(2)));
        assert_eq!(receiver.try_recv(), None);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_for_room() {
        let (sender, mut receiver) = queue(1, WhenFull::Wait);
        sender.send(1).await.unwrap();
        let mut sending = pin!(sender.send(2));
        assert!(poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_pending())).await);
        assert_eq!(receiver.recv().await, Some(1));
        sending.await.unwrap();
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(sender.dropped(), 0);
    }

    #[tokio::test]
    async fn who_may_not_wait_can_offer_to_a_waiting_queue_and_is_counted() {
        let (sender, _receiver) = queue(1, WhenFull::Wait);
        sender.offer(1).unwrap();
        assert!(matches!(sender.clone().offer(2), Err(Unsent::Full { job: 2, .. })));
        assert_eq!(sender.dropped(), 1);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_the_job_back_and_empties() {
        for when_full in [WhenFull::Shed, WhenFull::Wait] {
            let (sender, mut receiver) = queue(2, when_full);
            sender.send("kept").await.unwrap();
            receiver.close();
            assert_eq!(sender.send("late").await, Err(Unsent::Closed { job: "late" }));
            assert_eq!((receiver.recv().await, receiver.recv().await), (Some("kept"), None));
            assert_eq!(sender.dropped(), 0, "what the receiver no longer wants is not a full queue");
        }
    }
}
