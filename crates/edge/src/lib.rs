//! The reverse proxy: listeners, TLS, HTTP/1.1, HTTP/2 and HTTP/3, sites and routes.
//!
//! What arrives is a connection; what leaves is a response. On the way, in this order:
//!
//! 1. [`listener`] accepts it on one of the [`cores`], and stays out of its way;
//! 2. [`arrival`] asks who it is and whether it may come: the PROXY header, lists of networks, TLS;
//! 3. [`connection`] reads one request after the other from it, [`http2`] and [`http3`] many at once ([`framed`]): their
//!    frames are written as lines ([`message`]), so that [`protocol`] understands every head, or refuses it with 400
//!    before anything is decided by it; [`flood`] watches over what frames cost, [`gathered`] sends them off together;
//! 4. [`request`] serves each, whatever it came in, from here to its line in the log: it says who asks, and has [`sites`]
//!    find the site by the host and the route by the path ([`when`]: and by everything else; [`prefix`]: by fields of a
//!    body's first bytes);
//! 5. [`gate`] asks whether it is served: by HTTPS alone, by networks, rates, passwords, certificates; before a body is
//!    read for its route, as far as it does not depend on that;
//! 6. the route answers by itself ([`reply`], [`answer`]), with a file ([`file_answer`]), or names a pool;
//! 7. where the route has a cache, [`cached`] answers with what is kept, or fetches it for all who ask;
//! 8. [`exchange`] takes the request through the pool: a place in its gate, an endpoint ([`balance`]), a
//!    connection to it ([`upstream`]; [`multiplexed`]: shared, in HTTP/2), the request out, the response back, another
//!    try where that is safe; after a 101 the two connections become a [`tunnel`];
//! 9. on its way out a response is compressed ([`compress`]) and slowed down ([`pacing`]) where that is wished for;
//! 10. [`events`] counts it and writes its line in the access log.
//!
//! Both sides of a request are a [`wire`]: bytes of a [`stream`], with TLS or without, or frames.
//!
//! Invariants:
//! - A request is decided by one [`core::Snapshot`], from its first byte to its last.
//! - A request touches its own core only; the pools and what is known of clients ([`gate::Shared`]) alone are shared
//!   between cores.
//! - No body is ever held whole: a buffer's worth is read only once the one before has been written.
//! - Nothing of a message reaches the other side before it has been understood without doubt, by one parser, whatever
//!   it came in.

#![cfg_attr(not(feature = "http3"), allow(dead_code, reason = "what HTTP/3 alone uses"))]

mod answer;
mod arrival;
mod buffer;
mod cached;
mod check;
mod compress;
mod config;
mod connection;
mod core;
mod dns_answer;
mod error;
mod events;
mod exchange;
mod explain;
mod file_answer;
mod flood;
mod forwarding;
mod framed;
mod gate;
mod gathered;
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
mod request;
mod retry;
mod running;
mod signing;
mod sites;
mod stream;
mod tunnel;
mod upstream;
mod when;
mod wire;

pub use admission::SignedConfig;
pub use cached::{
    CacheCounts, CacheExplainer, CacheExplanation, CacheOutcome, Cdn, FetchExplanation, FieldExplanation,
    KeptExplanation, MissStatus, PURGE_TOLD_WAIT, SiteCacheStatus, UnsharedExplanation,
};
pub use check::{check, check_doors, check_keys};
pub use config::*;
pub use dns_answer::{DnsAnswered, DnsAnswers};
pub use error::Error;
pub use explain::{Explanation, Query, QueryError, RouteSeen, explain};
pub use running::{Edge, EdgeParts, EdgeStatus, ListenerStatus, Prepared};
pub use signing::{SignError, SignWish, SignedUrl, sign};
