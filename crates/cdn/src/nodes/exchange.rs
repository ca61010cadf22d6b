//! What nodes say to each other, and what of it says that one was heard.

use super::contact::Contact;
use super::ledger::Vector;
use super::message::{MESSAGE_ITEMS_BYTES, Message};
use super::{Moment, Nodes};
use crate::Error;
use rand::Rng;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What has come of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanged {
    /// Both know the same.
    Level,
    /// There is more to be told, or to hear.
    More,
    /// It was this node itself.
    Itself,
}

impl Nodes {
    /// What is said to a node. `None`: it is no longer one.
    pub fn message(&self, to: SocketAddr, now: Moment) -> Option<Message> {
        let vector = self.contacts().find(to)?.vector.clone();
        // Whoever has not said yet what it knows is told nothing else: it says it in its answer.
        Some(self.say(vector.as_ref(), now))
    }

    /// What is known here, for whoever has said nothing.
    pub fn describe(&self, now: Moment) -> Message {
        self.say(None, now)
    }

    /// Takes what a node says, and answers it. Waits for the disk. Where that fails, nothing is answered, as what has begun here cannot
    /// be told: whoever does not hear of it must not take this node for heard.
    pub fn answer(&self, message: &Message, now: Moment) -> Result<Message, Error> {
        self.renew_if_behind(message)?;
        self.take(&message.items)?;
        if message.is_leaving && self.ledger().covers(&message.vector) {
            let mut contacts = self.contacts();
            contacts.of(message.from).for_each(|contact| contact.left(now));
            self.publish(&contacts, now);
        }
        let mut contacts = self.contacts();
        contacts.of(message.from).for_each(|contact| contact.vector = Some(message.vector.clone()));
        if !message.is_leaving {
            // Where nobody is known by that name, it may be any that was never met.
            let is_met = contacts.of(message.from).next().is_some();
            let speaks = |contact: &&mut Contact| {
                contact.id == Some(message.from) || (!is_met && contact.id.is_none())
            };
            contacts.all.iter_mut().filter(speaks).for_each(Contact::speaks);
        }
        self.publish(&contacts, now);
        drop(contacts);
        self.changed();
        self.settle()?;
        Ok(self.say(Some(&message.vector), now))
    }

    /// Takes what a node has answered to what was `sent`. Waits for the disk.
    pub fn take_answer(
        &self,
        from: SocketAddr,
        answer: &Message,
        sent: Moment,
        now: Moment,
    ) -> Result<Exchanged, Error> {
        if answer.from == self.own() {
            let mut contacts = self.contacts();
            contacts.all.retain(|contact| contact.address != from);
            self.publish(&contacts, now);
            drop(contacts);
            self.changed();
            return Ok(Exchanged::Itself);
        }
        self.renew_if_behind(answer)?;
        self.take(&answer.items)?;
        let (covers, lacks) = {
            let ledger = self.ledger();
            (ledger.covers(&answer.vector), ledger.lacks(&answer.vector))
        };
        let mut contacts = self.contacts();
        if let Some(contact) = contacts.find(from) {
            contact.id = Some(answer.from);
            contact.vector = Some(answer.vector.clone());
            contact.met();
            if covers && answer.is_leaving {
                contact.left(now);
            } else if covers {
                contact.heard(sent, now, true);
            }
        }
        if covers {
            for (address, ago) in &answer.heard {
                let (Some(contact), Some(then)) = (contacts.find(*address), sent.checked_sub(*ago)) else {
                    continue;
                };
                contact.heard(then, now, false);
            }
        }
        self.publish(&contacts, now);
        drop(contacts);
        self.changed();
        Ok(if covers && lacks == 0 { Exchanged::Level } else { Exchanged::More })
    }

    /// A node was not reached; its machine said that it does not run, or nothing.
    pub fn missed(&self, at: SocketAddr, is_refused: bool, now: Moment) {
        let mut contacts = self.contacts();
        if let Some(contact) = contacts.find(at) {
            if is_refused {
                contact.refused(now, || self.engine.upgrade().map_or(0, |engine| engine.purges().advance()));
            } else {
                contact.fail();
            }
        }
        self.publish(&contacts, now);
    }

    /// When a node is to be asked next, and whether news must wait until then.
    pub fn wait(&self, to: SocketAddr, rng: &mut impl Rng) -> Option<(Duration, bool)> {
        let mut contacts = self.contacts();
        let silent = contacts.silent;
        contacts.find(to).map(|contact| (contact.wait(silent, rng), contact.has_failed()))
    }

    /// Whether a node is known to lack something.
    pub fn is_behind(&self, address: SocketAddr) -> bool {
        let vector = self.contacts().find(address).and_then(|contact| contact.vector.clone());
        vector.is_some_and(|vector| self.ledger().lacks(&vector) > 0)
    }

    /// From now on it says that it ends, once it has told all.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    fn say(&self, to: Option<&Vector>, now: Moment) -> Message {
        // Before the vector is read: what was heard is in there.
        let heard = {
            let contacts = self.contacts();
            let heard =
                contacts.all.iter().filter_map(|contact| Some((contact.address, contact.heard_ago(now)?)));
            heard.collect()
        };
        let ledger = self.ledger();
        Message {
            from: ledger.own(),
            is_leaving: self.is_leaving.load(Ordering::Relaxed) && self.is_settled(),
            vector: ledger.vector(),
            items: to.map(|vector| ledger.lacking(vector, MESSAGE_ITEMS_BYTES)).unwrap_or_default(),
            heard,
        }
    }
}
