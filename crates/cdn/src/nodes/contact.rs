//! What is known of one other node: when it was heard, and whether what is kept here may be served without asking the origin.
//!
//! A node was *heard* at a moment if everything is known here that it knew then: of itself, or through a third node. One that does
//! not run begins no purge: a machine that refuses the connection is as good as heard, but for what the node may have begun just before,
//! so that what was kept until then is confirmed once.

use super::ledger::{NodeId, Vector};
use super::moment::Moment;
use rand::{Rng, RngExt};
use std::net::SocketAddr;
use std::time::Duration;

/// The longest time between two exchanges, and the first wait after one that failed.
const EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Another node.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Its admin API.
    pub address: SocketAddr,
    /// Who it is, once it was met.
    pub id: Option<NodeId>,
    /// What it said that it knows.
    pub vector: Option<Vector>,
    /// When it was heard last.
    heard: Option<Moment>,
    /// When it was found not to run. No other node relies on that, since it would miss what the node began just before.
    refused: Option<Moment>,
    /// It does not run. What was asked for before the purge of this number is confirmed until it was heard again.
    down: Option<u64>,
    /// Exchanges that failed, one after the other, and all of them.
    failed: u32,
    /// All of them.
    pub failed_total: u64,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was heard.
    Heard,
    /// It does not run.
    Down,
    /// Nothing was heard of it for too long.
    Silent,
}

impl State {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Down => "down",
            Self::Silent => "silent",
        }
    }
}

impl Contact {
    /// One that was never heard.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            id: None,
            vector: None,
            heard: None,
            refused: None,
            down: None,
            failed: 0,
            failed_total: 0,
        }
    }

    /// Everything is known that it knew then. `is_itself`: it said so itself.
    pub fn heard(&mut self, then: Moment, now: Moment, is_itself: bool) {
        if self.heard.is_none_or(|heard| now.since(then) < now.since(heard)) {
            self.heard = Some(then);
        }
        if is_itself {
            (self.down, self.failed) = (None, 0);
        }
    }

    /// It answered, but not everything is known yet that it knows.
    pub fn met(&mut self) {
        self.failed = 0;
    }

    /// It runs, whatever was heard of it before: what it may begin from now on is not known. Where it is refused next, that counts anew.
    pub fn speaks(&mut self) {
        if self.down.take().is_some() {
            self.refused = None;
        }
    }

    /// It says that it ends, and everything is known that it knew.
    pub fn left(&mut self, now: Moment) {
        self.heard(now, now, true);
        self.down = Some(0);
    }

    /// Its machine says that it does not run. `next` gives the number that purges have come to from now on.
    pub fn refused(&mut self, now: Moment, next: impl FnOnce() -> u64) {
        self.fail();
        self.down.get_or_insert_with(next);
        self.refused = Some(now);
    }

    /// Nothing came of an exchange.
    pub fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
        self.failed_total += 1;
    }

    /// Whether the last exchange failed.
    pub fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// How long ago it was heard.
    pub fn heard_ago(&self, now: Moment) -> Option<Duration> {
        self.heard.map(|heard| now.since(heard))
    }

    /// How long ago all was known that it had begun.
    fn known_ago(&self, now: Moment) -> Option<Duration> {
        self.heard.into_iter().chain(self.refused).map(|known| now.since(known)).min()
    }

    /// How it is, if it may be silent for so long.
    pub fn state(&self, now: Moment, silent: Duration) -> State {
        match self.known_ago(now) {
            Some(ago) if ago < silent && self.down.is_some() => State::Down,
            Some(ago) if ago < silent => State::Heard,
            _ => State::Silent,
        }
    }

    /// When it is to be asked next, unless there is news for it.
    pub fn wait(&self, silent: Duration, rng: &mut impl Rng) -> Duration {
        let wait = match self.failed {
            0 => EVERY.min(silent / 4),
            // It must be known within the time whether it was heard.
            failed => RETRY_FIRST.saturating_mul(1 << failed.min(10)).min(RETRY_MAX).min(silent / 3),
        };
        // All nodes that lost one must not ask it at the same moment.
        wait.mul_f64(rng.random_range(0.5..1.0))
    }
}

/// Whether what is kept may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// For so long; `None`: it is confirmed with the origin first.
    pub remaining: Option<Duration>,
    /// And only what was asked for since the purge of this number.
    pub floor: u64,
}

/// What all contacts together say.
pub fn trust(contacts: &[Contact], now: Moment, silent: Duration) -> Trust {
    let remaining = |contact: &Contact| silent.checked_sub(contact.known_ago(now)?);
    let remaining =
        contacts.iter().map(remaining).try_fold(silent, |least, remaining| Some(least.min(remaining?)));
    let floor = contacts.iter().filter_map(|contact| contact.down).max().unwrap_or(0);
    Trust { remaining: remaining.filter(|remaining| !remaining.is_zero()), floor }
}
