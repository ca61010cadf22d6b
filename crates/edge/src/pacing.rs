//! How fast a client's connection may be written to.

use crate::arrival::Peer;
use admission::Pace;
use std::cell::RefCell;
use std::time::Instant;

/// Smaller pieces cost more than they are worth.
const PIECE_BYTES_MIN: usize = 512;

/// The pace of what is sent on one connection, if there is one.
pub(crate) struct Pacing<'a>(Option<(&'a RefCell<Option<Pace>>, u64)>);

impl<'a> Pacing<'a> {
    pub(crate) fn new(peer: &'a Peer, bytes_per_second: Option<u64>) -> Self {
        Self(bytes_per_second.map(|bytes_per_second| (&peer.pace, bytes_per_second)))
    }

    /// The most that is written in one go: about a second's worth, so that a slow pace is no silence.
    pub(crate) fn piece_bytes_max(&self) -> usize {
        self.0.map_or(usize::MAX, |(_, bytes_per_second)| {
            usize::try_from(bytes_per_second).unwrap_or(usize::MAX).max(PIECE_BYTES_MIN)
        })
    }

    /// Counts bytes that were sent, and waits until more may be.
    pub(crate) async fn wait(&self, bytes: usize) {
        let Some((pace, bytes_per_second)) = self.0 else { return };
        let wait = {
            let (mut pace, now) = (pace.borrow_mut(), Instant::now());
            let pace = pace.get_or_insert_with(|| Pace::new(bytes_per_second, now));
            pace.set_rate(bytes_per_second);
            pace.take(bytes, now)
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }
}
