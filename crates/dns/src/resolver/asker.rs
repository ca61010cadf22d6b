//! Upstreams as hickory's validator sees them: what it asks for, and the keys that are kept for it.
//!
//! Keys and what delegations say of them (DNSKEY, DS) are needed again and again. They are kept with all other answers, under what a client
//! would find them that validates by itself; since nobody has looked at them they are kept for some minutes only, and are forgotten when what
//! hangs on them does not hold.

use super::Kept;
use super::cache::{Hit, Stored};
use super::freshness::Terms;
use super::key::{Asked, Key};
use super::look_up::stored;
use super::upstream::{Failure, Manner, Upstream, ask};
use super::validation::{keep_own_keys, wire_of};
use crate::protocol::Name;
use domain::base::iana::Rtype;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, DnsResponseStream};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, ResponseCode};
use std::sync::Arc;

/// How long keys are kept before they are asked for again.
const KEYS_MAX_S: u32 = 300;

/// Asks upstreams for what a validator needs.
#[derive(Clone)]
pub(super) struct Asker {
    upstreams: Arc<[Arc<Upstream>]>,
    manner: Manner,
    kept: Arc<Kept>,
    terms: Terms,
}

impl Asker {
    pub(super) fn new(
        upstreams: Arc<[Arc<Upstream>]>,
        manner: Manner,
        kept: Arc<Kept>,
        terms: &Terms,
    ) -> Self {
        // Whoever prefetches does so for clients.
        Self { upstreams, manner, kept, terms: Terms { prefetch: false, ..terms.clone() } }
    }

    /// Forgets the keys on the way to a name: something does not hold that hangs on them.
    pub(super) fn forget(&self, name: &[u8]) {
        let mut rest = name;
        while let Ok(at) = Name::from_wire(rest) {
            for rtype in [Rtype::DS, Rtype::DNSKEY] {
                let key = Key::new(&at, asked(rtype.to_int()));
                self.kept.cache.remove(&key.name, key.asked, key.hash());
            }
            let Some(above) = rest.get(1 + usize::from(rest[0])..) else { return };
            rest = above;
        }
    }

    async fn ask(&self, key: &Key) -> Result<Vec<u8>, NetError> {
        let are_keys = [Rtype::DS, Rtype::DNSKEY].iter().any(|of| of.to_int() == key.asked.rtype);
        if are_keys && let Some(message) = self.known(key) {
            return Ok(message);
        }
        let flushes = self.kept.flushes();
        let reply =
            ask(&self.upstreams, (&key.name, key.asked), self.manner).await.map_err(
                |failure| match failure {
                    Failure::Silence => NetError::Timeout,
                    Failure::Refused | Failure::Bogus => {
                        DnsError::ResponseCode(ResponseCode::ServFail).into()
                    }
                },
            )?;
        let now_ms = self.kept.now_ms();
        let got = stored((reply, None), (&key.name, key.asked), &self.terms, now_ms);
        let mut got = got.ok_or_else(|| NetError::from("too long"))?;
        let message = message(key, &got.seen_at(now_ms));
        if are_keys && got.meta.ttl_s > 0 {
            got.meta.ttl_s = got.meta.ttl_s.min(KEYS_MAX_S);
            self.kept.put(key, got, flushes);
        }
        Ok(message)
    }

    fn known(&self, key: &Key) -> Option<Vec<u8>> {
        let now_ms = self.kept.now_ms();
        let got: Stored = self.kept.cache.get(&key.name, key.asked, key.hash())?;
        let hit = got.seen_at(now_ms);
        (!got.meta.is_failure && hit.age.left(got.meta.ttl_s) > 0).then(|| message(key, &hit))
    }
}

impl DnsHandle for Asker {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        let asker = self.clone();
        let asking = async move {
            let query = request.queries.first().cloned().ok_or_else(|| NetError::from("no question"))?;
            let name = Name::from_wire(&wire_of(query.name())).map_err(|_| NetError::from("no name"))?;
            let message = asker.ask(&Key::new(&name, asked(query.query_type().into()))).await?;
            let mut message = DnsResponse::from_buffer(message)?.into_message();
            keep_own_keys(&query, &mut message);
            Ok(DnsResponse::from_message(message)?)
        };
        Box::pin(asking).into()
    }
}

/// RFC 6840 §5.9: an upstream that validates too is not to keep what it finds wrong from us.
fn asked(rtype: u16) -> Asked {
    Asked { rtype, dnssec_ok: true, checking_disabled: true, subnet: None }
}

/// What is kept as a message.
fn message(key: &Key, hit: &Hit<'_>) -> Vec<u8> {
    let mut message = vec![0, 0, 0x80, (hit.meta.rcode & 0x0f) as u8, 0, 1];
    hit.meta.counts.iter().for_each(|count| message.extend_from_slice(&count.to_be_bytes()));
    message.extend_from_slice(&key.name);
    message.extend_from_slice(&key.asked.rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let start = message.len();
    message.extend_from_slice(hit.body);
    for place in hit.ttls_at.as_chunks::<2>().0 {
        let at = start + usize::from(u16::from_ne_bytes(*place));
        if let Some(ttl) = message.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *ttl = hit.age.left(u32::from_be_bytes(*ttl)).to_be_bytes();
        }
    }
    message
}
