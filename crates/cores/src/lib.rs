//! The threads of the data plane, one a core, and the sockets they accept on.
//!
//! A tier says what a core does with a socket: [`Work`]. [`Cores`] runs one such work on each of its threads, opens
//! sockets (`socket`), gives every core one of its own for each address, takes them back, hands copies of them
//! to the next process, and drains: all without a stop, and with everything that may fail done before anything shows.
//! How many may come, whom a drain waits for, and how what is left is told of the end is the tier's own; so is which
//! sockets cannot change hands, because they hold connections: the next process opens such addresses beside this one.
//!
//! Invariants:
//! - What a connection touches lives on its core: a thread with a runtime that has no other thread.
//! - A change is prepared, which may fail and shows nothing, or committed, which cannot fail.
//! - A socket that stays in the file stays open: nobody who waits in its backlog is sent away.

mod accept;
mod core;
mod error;
mod group;
mod open;
mod socket;
#[cfg(test)]
mod tests;
mod watcher;

pub use accept::accept;
pub use core::Work;
pub use error::Error;
pub use group::{Cores, Prepared};
pub use open::{Guard, Open};
pub use socket::{Address, Socket, Transport, check_free};
pub use watcher::Watcher;
