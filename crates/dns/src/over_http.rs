//! Messages that others bring, who speak HTTP (RFC 8484): the same answers from the same snapshot.

use crate::listener::responder::{Arrival, Responded, renew, respond, respond_later_to};
use crate::protocol::{MESSAGE_BYTES_MAX, Transport, least_ttl};
use crate::snapshot::Snapshot;
use cores::Open;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Answers messages, until the DNS that it is of ends and for as long after as anybody asks.
#[derive(Clone)]
pub struct Answers(watch::Receiver<Arc<Snapshot>>);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The answer in wire form.
    pub message: Vec<u8>,
    /// The smallest TTL of what was answered, if anything has one.
    pub ttl: Option<u32>,
    /// Whether another client may be answered otherwise.
    pub is_private: bool,
}

impl Answers {
    pub(crate) fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self(snapshots)
    }

    /// Answers a message. `None`: it is no query. To be awaited on a core: what others have to be asked for is looked up by tasks of
    /// that one.
    pub async fn answer(&self, client: SocketAddr, message: &[u8]) -> Option<Answered> {
        let snapshot = self.0.borrow().clone();
        let events = snapshot.live.events.of(Transport::Https);
        events.received_bytes.add(message.len() as u64);
        let received = snapshot.wants_time().then(Instant::now);
        let arrival = Arrival { client, transport: Transport::Https, received };
        let (mut out, owner) = (Vec::with_capacity(512), Open::default());
        match respond(&snapshot, message, arrival, &mut out) {
            Responded::Not => return None,
            Responded::Now => {}
            Responded::Due(key) => renew(&owner, &snapshot, &key),
            Responded::Later(waiting) => {
                if !respond_later_to(&snapshot, &owner, message, arrival, &mut out, waiting).await {
                    return None;
                }
            }
        }
        debug_assert!(out.len() <= MESSAGE_BYTES_MAX, "an answer is a message");
        events.sent_bytes.add(out.len() as u64);
        // Where there is a route, the answer may be its, or may be when it changes; a resolver is for those who may ask it.
        let is_private = snapshot.has_routes || snapshot.resolver.is_some();
        Some(Answered { ttl: least_ttl(&out), is_private, message: out })
    }
}
