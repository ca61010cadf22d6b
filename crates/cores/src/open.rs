//! What a core has open, counted so that a drain can wait for it.

use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;

/// What is open on one core. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Open(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: Cell<usize>,
    ended: Notify,
}

/// One of what is open, until it is dropped.
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub struct Guard(Rc<Shared>);

impl Open {
    /// Counts one more.
    pub fn enter(&self) -> Guard {
        self.0.count.set(self.0.count.get() + 1);
        Guard(self.0.clone())
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.count.get()
    }

    /// Waits until nothing is open.
    pub async fn none(&self) {
        while self.count() > 0 {
            self.0.ended.notified().await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.ended.notify_one();
    }
}
