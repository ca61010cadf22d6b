//! What is known of other nodes, for whoever asks: who purges, who fetches from one of them, and who looks.

use super::contact::{Contact, State};
use super::fetched::{self, Fetched};
use super::ledger::{NodeId, Vector};
use super::{Moment, Nodes};
use std::net::SocketAddr;
use std::time::Duration;

/// Who has heard of a purge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// How many other nodes have acknowledged it.
    pub acknowledged: usize,
    /// Those that have not.
    pub pending: Vec<SocketAddr>,
}

/// What is known of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its admin API.
    pub address: SocketAddr,
    /// Who it is, if it was met.
    pub id: Option<NodeId>,
    /// How it is.
    pub state: State,
    /// How long ago everything was known here that it knew.
    pub heard_ago: Option<Duration>,
    /// Purges that it has not acknowledged.
    pub pending: u64,
    /// Exchanges that failed.
    pub failed: u64,
}

impl Nodes {
    /// Who has acknowledged all purges that have begun here until now, or does within a time.
    pub async fn told(&self, wait: Duration) -> Told {
        let (own, upto) = {
            let ledger = self.ledger();
            (ledger.own(), ledger.upto(ledger.own()))
        };
        let told = || {
            let contacts = self.contacts();
            let has = |contact: &&Contact| {
                contact
                    .vector
                    .as_ref()
                    .is_some_and(|known| known.get(&own).is_some_and(|known| *known >= upto))
            };
            let pending: Vec<_> =
                contacts.all.iter().filter(|one| !has(one)).map(|contact| contact.address).collect();
            Told { acknowledged: contacts.all.len() - pending.len(), pending }
        };
        let mut changes = self.changes.subscribe();
        let all = async { while !told().pending.is_empty() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(wait, all).await;
        told()
    }

    /// The other nodes.
    pub fn seen(&self, now: Moment) -> Vec<Seen> {
        let contacts = self.contacts();
        let ledger = self.ledger();
        let nobody = Vector::new();
        let seen = |contact: &Contact| Seen {
            address: contact.address,
            id: contact.id,
            state: contact.state(now, contacts.silent),
            heard_ago: contact.heard_ago(now),
            pending: ledger.lacks(contact.vector.as_ref().unwrap_or(&nobody)),
            failed: contact.failed_total,
        };
        contacts.all.iter().map(seen).collect()
    }

    /// Purges that are known here and not acknowledged by every other node: what a node must know that is asked for a response on
    /// behalf of a client here.
    pub fn unshared(&self) -> Vector {
        let vectors: Vec<Vector> = {
            let contacts = self.contacts();
            contacts.all.iter().map(|contact| contact.vector.clone().unwrap_or_default()).collect()
        };
        let mut vector = self.ledger().vector();
        vector.retain(|id, upto| vectors.iter().any(|known| known.get(id).is_none_or(|known| known < upto)));
        vector
    }

    /// What a fetch of this node says to another one; `None` where that may not serve it, since not all that has taken effect here is told
    /// yet, or it is too much. To be asked once the number of purges was read that the response will be held against.
    pub fn fetched(&self) -> Option<Fetched> {
        let is_settled = self.is_settled();
        let fetched = Fetched { from: self.own(), vector: self.unshared() };
        (is_settled && fetched.vector.len() <= fetched::VECTOR_MAX).then_some(fetched)
    }

    /// Whether this is another node of the file, and was met.
    pub fn is_one(&self, id: NodeId) -> bool {
        self.contacts().of(id).next().is_some()
    }

    /// Whether all is known here that a vector says.
    pub fn covers(&self, vector: &Vector) -> bool {
        self.ledger().covers(vector)
    }
}
