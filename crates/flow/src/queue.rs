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
