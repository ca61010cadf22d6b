//! A new process takes over from a running one without a gap.
//!
//! The running one listens on `nines.sock` in the data folder. The new one says hello and starts its services
//! and pools; once these can do what the old ones can, it asks for the listening sockets, starts its edge on
//! them and says that it serves. Until then the old one carries on as if nothing happened, and does so too
//! when the new one fails or dies. Then it lets go of the lock and the socket, takes no new connection, and
//! is stopped by whoever awaits [`super::Running::handed_over`].
//!
//! The sockets themselves are shared: no connection meets a closed port, and what waits in a listener's
//! backlog is accepted by whichever process comes first.

mod message;
mod new;
mod old;
mod peer;

pub(super) use new::Previous;
pub(super) use old::await_successor;
