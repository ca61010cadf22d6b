//! The reverse proxy: listeners, HTTP/1.1, sites and routes.
//!
//! What arrives is a connection; what leaves is a response. On the way, in this order:
//!
//! 1. [`listener`] accepts it on one of the cores, and stays out of its way;
//! 2. [`connection`] reads one request after the other: [`protocol`] parses a head, or refuses it with 400
//!    before anything is decided by it;
//! 3. [`sites`] finds the site by the host and the route by the path ([`when`]: and by everything else);
//! 4. the route answers by itself ([`reply`], [`answer`]), or names a pool;
//! 5. [`exchange`] takes the request through the pool: a place in its gate, an endpoint ([`balance`]), a
//!    connection to it ([`upstream`]), the request out, the response back, another try where that is safe;
//!    after a 101 the two connections become a [`tunnel`];
//! 6. [`events`] counts it and writes its line in the access log.
//!
//! Invariants:
//! - A request is decided by one [`core::Snapshot`], from its first byte to its last.
//! - A request touches its own core only; the pools alone are shared between cores.
//! - No body is ever held whole: a buffer's worth is read only once the one before has been written.
//! - Nothing of a message reaches the other side before it has been understood without doubt.

mod answer;
mod arrival;
mod buffer;
mod check;
mod compress;
mod config;
mod connection;
mod core;
mod doors;
mod error;
mod events;
mod exchange;
mod explain;
mod file_answer;
mod flood;
mod forwarding;
mod gate;
mod http2;
#[cfg(feature = "http3")]
mod http3;
#[cfg(not(feature = "http3"))]
#[path = "http3_absent.rs"]
mod http3;
mod io;
#[doc(hidden)]
pub mod json_field;
mod listener;
mod loading;
mod message;
mod multiplexed;
mod pacing;
mod prefix;
pub mod protocol;
mod reply;
mod retry;
mod running;

mod sites;
mod stream;
mod tunnel;
mod upstream;
mod when;
mod wire;

pub use check::{check, check_doors};
pub use config::*;
pub use error::Error;
pub use explain::{Explanation, Query, QueryError, RouteSeen, explain};
pub use running::{Edge, EdgeParts, EdgeStatus, Prepared};
