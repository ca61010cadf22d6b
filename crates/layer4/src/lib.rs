//! TCP and UDP through a pool.
//!
//! A connection is let in (`tcp::arrival`: by its address, by a PROXY header, by the name within its TLS), given an
//! endpoint (`tcp::reach`: another one if that cannot be reached) and joined with it (`tcp::forward`) until both sides
//! have ended; bytes in bulk do not leave the kernel (`tcp::splice`). A datagram belongs to a session (`udp::table`)
//! which has an endpoint and a socket of its own, so that answers find their way back. Everything is decided by one
//! `snapshot`, made of the file's `[tcp.NAME]` and `[udp.NAME]`.
//!
//! Invariants:
//! - What a client is denied, it is told in its protocol's own words: a reset, or an alert of TLS. A stream that was cut
//!   off ends with a reset as well: it must not look like one that was whole.
//! - Connections keep what they were given: a new snapshot is for those that come. Sessions, which have no end of their
//!   own, follow it with the next datagram.
//! - Every table, buffer and pipe has a bound.

mod check;
pub mod client_hello;
mod config;
mod core;
mod error;
mod events;
mod explain;
mod routes;
mod running;
mod snapshot;
mod tcp;
mod udp;

pub use check::{check_tcp, check_udp};
pub use config::{TcpConfig, TcpLimits, TcpTimeouts, UdpConfig};
pub use error::{Error, ExplainError};
pub use explain::{Explanation, Question, explain};
pub use running::{Layer4, Layer4Parts, ListenerStatus, Prepared};
