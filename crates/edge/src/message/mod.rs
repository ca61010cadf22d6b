//! Messages of HTTP/2 and HTTP/3, as the rest of the edge wants them: heads in the lines of HTTP/1.1, bodies as bytes.
//!
//! A head is understood once, by one parser, whatever wire it came on: what arrives in frames is written as lines
//! ([`lines`]), held against the rules of [`crate::protocol`], and goes out in frames again. Bodies pass by
//! [`Incoming`] and [`Outgoing`], whose flow control is the back pressure.

mod incoming;
pub(crate) mod lines;
mod outgoing;

pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;

/// Both sides of one exchange of messages with a peer.
pub(crate) struct Message {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}
