//! Response rate limiting: whoever asks over UDP under somebody else's address must not be able to send that one more than so
//! many answers.
//!
//! What is limited are answers that are alike, to one network. They are alike if the same thing was answered with: the records of
//! a name, the wildcard, DNAME or cut that stands for it, or that something is not in a zone. So random names below a wildcard
//! or in a zone count together, and a resolver that asks for many names does not come near a limit. Errors of a network are all alike.
//!
//! A limited answer is not sent; but every so many of them go out cut off (TC), so that a client that is really there comes back
//! over TCP, and learns a cookie. Whoever has shown a cookie of ours (RFC 7873 §5.2) or a connection is not limited.

mod config;
mod table;

pub(crate) use config::check;
pub(crate) use table::Table;

use crate::answer::Kind;
use crate::config::DnsLimits;
use crate::policy::Client;
use admission::Network;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use table::Pace;

/// Decides which answers are sent.
#[derive(Clone)]
pub(crate) struct Limiter {
    pace: Pace,
    /// Of so many limited answers one is sent cut off; 0: none.
    slip: u64,
    exempt: Box<[Network]>,
    table: Arc<Table>,
}

/// What answers that are alike have in common, the client aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// Which zone, as a number; 0 for none.
    pub(crate) zone: usize,
    /// What of it, as a number within the zone.
    pub(crate) about: u64,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is sent.
    Sent,
    /// It is limited, but one that sends the client to TCP goes out in its place.
    Slipped,
    /// It is limited.
    Dropped,
}

impl Limiter {
    /// If there is a limit. The table is shared by all cores, and outlives reloads.
    pub(crate) fn new(limits: &DnsLimits, table: impl FnOnce() -> Arc<Table>) -> Option<Self> {
        let rate = limits.responses_per_client?;
        Some(Self {
            pace: Pace::new(rate.per_second()),
            slip: limits.slip.into(),
            exempt: config::networks(&limits.exempt).collect(),
            table: table(),
        })
    }

    /// What becomes of an answer to a client that has proved nothing. `draw` is a number that nobody foresees.
    #[inline]
    pub(crate) fn judge(&self, client: IpAddr, subject: Subject, now: Instant, draw: u64) -> Verdict {
        // The network of the client; what a resolver says of its own clients does not count.
        let (subnet, _) = Client::of(client, None).subnet();
        let what = [subject.about, (subject.zone as u64).rotate_left(8) ^ subject.kind as u64];
        if self.table.is_allowed(self.pace, subnet, what, now)
            || self.exempt.iter().any(|network| network.contains(client))
        {
            return Verdict::Sent;
        }
        // By chance: who counts along could have each of these.
        if draw.checked_rem(self.slip) == Some(0) { Verdict::Slipped } else { Verdict::Dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const KINDS: [Kind; 4] = [Kind::Positive, Kind::NoData, Kind::NoName, Kind::Error];

    fn limiter(more: &str, now: Instant) -> Limiter {
        let limits: DnsLimits = toml::from_str(&format!("responses_per_client = '10/s'\n{more}")).unwrap();
        let table = || Arc::new(Table::new(1024, now));
        Limiter::new(&limits, table).unwrap()
    }

    fn about(about: u64) -> Subject {
        Subject { kind: Kind::Positive, zone: 1, about }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    impl Limiter {
        /// How many of a hundred answers at once are sent, slipped and dropped.
        fn hundred(&self, client: &str, subject: Subject, now: Instant) -> [usize; 3] {
            let verdicts: Vec<_> =
                (0..100).map(|draw| self.judge(address(client), subject, now, draw)).collect();
            [Verdict::Sent, Verdict::Slipped, Verdict::Dropped]
                .map(|verdict| verdicts.iter().filter(|found| **found == verdict).count())
        }
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let table = || unreachable!("nobody needs a table");
        assert!(Limiter::new(&DnsLimits::default(), table).is_none());
    }

    #[test]
    fn a_second_s_worth_is_sent_and_of_the_rest_every_other_is_cut_off() {
        let now = Instant::now();
        let limiter = limiter("", now);
        assert_eq!(limiter.hundred("192.0.2.1", about(1), now), [10, 45, 45]);
        assert_eq!(limiter.hundred("192.0.2.1", about(1), now + Duration::from_millis(500)), [5, 47, 48]);
        assert_eq!(limiter.hundred("192.0.2.1", about(1), now + Duration::from_secs(9)), [10, 45, 45]);
    }

    #[test]
    fn slip_says_how_many_are_cut_off() {
        let now = Instant::now();
        assert_eq!(limiter("slip = 0", now).hundred("192.0.2.1", about(1), now), [10, 0, 90]);
        assert_eq!(limiter("slip = 1", now).hundred("192.0.2.1", about(1), now), [10, 90, 0]);
        assert_eq!(limiter("slip = 10", now).hundred("192.0.2.1", about(1), now), [10, 9, 81]);
    }

    #[test]
    fn a_network_is_one_client_and_another_is_another() {
        let now = Instant::now();
        for (one, neighbour, other) in [
            ("192.0.2.1", "::ffff:192.0.2.99", "192.0.3.1"),
            ("2001:db8::1", "2001:db8:0:ff::", "2001:db8:0:100::"),
        ] {
            let limiter = limiter("slip = 0", now);
            assert_eq!(limiter.hundred(one, about(1), now)[0], 10);
            assert_eq!(limiter.hundred(neighbour, about(1), now)[0], 0, "{neighbour}");
            assert_eq!(limiter.hundred(other, about(1), now)[0], 10, "{other}");
        }
    }

    #[test]
    fn answers_that_differ_are_limited_apart() {
        let now = Instant::now();
        let limiter = limiter("slip = 0", now);
        for kind in KINDS {
            for (zone, about) in [(1, 1), (1, 2), (2, 1)] {
                let subject = Subject { kind, zone, about };
                assert_eq!(limiter.hundred("192.0.2.1", subject, now)[0], 10, "{subject:?}");
            }
        }
    }

    #[test]
    fn exempt_networks_are_not_limited() {
        let now = Instant::now();
        let limiter = limiter("exempt = ['10.0.0.0/8', '2001:db8::/32']", now);
        for client in ["10.1.2.3", "::ffff:10.9.9.9", "2001:db8:1::1"] {
            assert_eq!(limiter.hundred(client, about(1), now), [100, 0, 0]);
        }
        assert_eq!(limiter.hundred("11.1.2.3", about(1), now)[0], 10);
    }
}
