//! The mechanism of back pressure. Nothing here knows a protocol.
//!
//! Work asks a [`Gate`] for a permit; when none is left it stands in a bounded line, first come first
//! served, until its time is up. Failed work may be tried again while a [`RetryBudget`] allows it, after a
//! [`Backoff`]. Work that runs holds a [`Working`] guard, so that a [`Drain`] knows when all of it is done.
//! What is handed to another task goes through a [`queue()`] with a bound and a word for when it is full.
//!
//! Invariants: a permit is never lost and never doubled, whoever is cancelled, however late. Every decision
//! that depends on time or chance is given `now` and `rng`; only waiting itself asks tokio's clock.

mod backoff;
mod deadline;
mod drain;
mod gate;
mod queue;
mod retry_budget;

pub use backoff::Backoff;
pub use deadline::Deadline;
pub use drain::{Drain, Draining, Working};
pub use gate::{Gate, Permit, Refused};
pub use queue::{Receiver, Sender, Unsent, WhenFull, queue};
pub use retry_budget::RetryBudget;
