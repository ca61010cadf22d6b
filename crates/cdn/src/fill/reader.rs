//! One who waits for a response, and reads it as it arrives.

use super::Failure;
use super::state::{Heard, Shared};
use crate::rules::Stored;
use crate::store::Object;
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, timeout_at};

/// How a response begins, for one who waits.
#[derive(Debug)]
pub enum Begun {
    /// An interim head, whole; more follows. Only the request that it is fetched for hears it.
    Interim(Bytes),
    /// Its head is here, the body follows. One who was not the first still has to see whether `Vary` fits its own request.
    Head(Arc<Stored>),
    /// What is kept was confirmed by the origin, or has come some other way: this is it.
    Confirmed(Arc<Object>),
    /// A part was asked for, and the fetch of all of it brings it: join that.
    Elsewhere,
    /// It cannot be shared, or it took too long: ask the origin for your own.
    Alone,
    /// It did not come. [`Failure::Dropped`] says nothing about the origin: join again.
    Failed(Failure),
}

/// One who waits. It may be moved between threads and runtimes; dropped, it is out of the way.
pub struct Reader {
    shared: Arc<Shared>,
    seat: usize,
}

impl Reader {
    /// Of the request that it is fetched for.
    pub(super) fn own(shared: &Arc<Shared>) -> Self {
        let seat = shared.state().seat(true);
        Self { shared: Arc::clone(shared), seat }
    }

    /// Of another one; `None` where it is no longer there from its start.
    pub(super) fn join(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.state();
        // Under one lock: it may become a window, and let go of its first pieces, at any moment.
        let seat = state.is_open().then(|| state.seat(false))?;
        drop(state);
        Some(Self { shared: Arc::clone(shared), seat })
    }

    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// Waits for the head. May be dropped and called again.
    pub async fn head(&mut self) -> Begun {
        poll_fn(|context| self.poll_head(context)).await
    }

    /// Waits for the head until then, and no longer: [`Begun::Alone`].
    pub async fn head_by(&mut self, deadline: Instant) -> Begun {
        timeout_at(deadline, self.head()).await.unwrap_or(Begun::Alone)
    }

    /// The head, for a task that waits for other things too.
    pub fn poll_head(&mut self, context: &Context<'_>) -> Poll<Begun> {
        self.shared.state().poll_head(self.seat, context).map(|heard| match heard {
            Heard::Interim(head) => Begun::Interim(head),
            Heard::Head(stored) => Begun::Head(stored),
            Heard::Confirmed(object) => Begun::Confirmed(object),
            Heard::Elsewhere => Begun::Elsewhere,
            Heard::Alone => Begun::Alone,
            Heard::Failed(failure) => Begun::Failed(failure),
        })
    }

    /// Waits for the next piece of the body. `None` is its end; an error says that it will never be whole. May be dropped and called again.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    /// The next piece, for a task that waits for other things too.
    pub fn poll_piece(&mut self, context: &Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        self.shared.poll_piece(self.seat, context)
    }
}

impl Reader {
    /// The lines that came after the body, once its end was read. They are kept for nobody else (RFC 9111 §3).
    pub fn trailers(&self) -> Bytes {
        self.shared.state().trailers.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.leave(self.seat);
    }
}
