//! The zone above is asked whether it has the DS of a new key: over TCP, where nobody answers in another's name without being on the way.
//!
//! All of its servers that the file names have to have it. Who has not is asked again after a quarter of the time that it has taken so far:
//! soon at first, and rarely where somebody has to do it by hand.

use super::key::Key;
use super::submission::Submission;
use super::zone::SignedZone;
use crate::changes::random_u64;
use crate::protocol::Name;
use crate::protocol::message::{Header, Reader, Writer};
use domain::base::iana::{Class, Rcode, Rtype};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{Counter, Registry};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long a server may take.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is asked, at most and at least, in seconds.
const PAUSE: std::ops::RangeInclusive<u64> = 1..=3600;
/// Zones that are asked for at once.
const ASKED_MAX: usize = 16;
/// A key that has waited for so long is told of, as often.
const OVERDUE: u64 = 86_400;
/// RD: where a resolver is asked, it is to look.
const RECURSION_DESIRED: u16 = 0x0100;
/// RFC 2181 §8: a longer time is none.
const TTL_MAX: u32 = i32::MAX as u32;

/// Why a server was not understood.
#[derive(Debug, Error)]
pub(crate) enum AskFault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it answered {0}")]
    Rcode(Rcode),
    #[error("what it answered is no answer to what was asked")]
    NoAnswer,
}

/// What was asked for in the name of zones.
pub(crate) struct Submissions {
    under_way: JoinSet<Asked>,
    /// When each zone is asked for next, and when it is told that it takes long.
    next: HashMap<String, Next>,
    events: Events,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    tag: u16,
    ask_at: u64,
    tell_at: u64,
    is_asked: bool,
}

/// What came of it.
pub(crate) struct Asked {
    name: String,
    zone: Arc<SignedZone>,
    tag: u16,
    since: u64,
    /// How long the DS may be remembered; `None`: it is not there yet.
    found: Option<u32>,
}

impl Submissions {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self { under_way: JoinSet::new(), next: HashMap::new(), events: Events::new(registry) }
    }

    /// Begins to ask for what is due. When there is something next, in seconds since 1970.
    pub(crate) fn begin<'z>(
        &mut self,
        zones: impl Iterator<Item = (&'z str, &'z Arc<SignedZone>)>,
        now: u64,
    ) -> Option<u64> {
        let waiting: Vec<_> =
            zones.filter_map(|(name, zone)| Some((name, zone, zone.submission()?))).collect();
        self.next.retain(|name, next| {
            waiting.iter().any(|(known, _, of)| known == name && of.key.tag() == next.tag)
        });
        let mut first = None;
        for (name, zone, submission) in waiting {
            let fresh = Next {
                tag: submission.key.tag(),
                ask_at: now,
                tell_at: submission.since + OVERDUE,
                is_asked: false,
            };
            let next = self.next.entry(name.to_owned()).or_insert(fresh);
            if next.tell_at <= now {
                next.tell_at = now + OVERDUE;
                let waited = (now - submission.since) / 3600;
                tracing::warn!(target: "dns", zone = name, tag = next.tag, hours = waited, "the zone above does not have the DS of a new key yet");
            }
            let mut at = next.tell_at;
            if !submission.parents.is_empty() && !next.is_asked {
                if next.ask_at <= now && self.under_way.len() < ASKED_MAX {
                    next.is_asked = true;
                    self.under_way.spawn(ask_all(name.to_owned(), Arc::clone(zone), submission));
                } else {
                    at = at.min(next.ask_at.max(now + 1));
                }
            }
            first = Some(first.map_or(at, |first: u64| first.min(at)));
        }
        first
    }

    /// What came of something that was asked for. It never comes if nothing was.
    pub(crate) async fn answered(&mut self) -> Asked {
        match self.under_way.join_next().await {
            Some(Ok(asked)) => asked,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Takes an answer in.
    pub(crate) fn take(&mut self, asked: &Asked, now: u64) {
        let Asked { name, zone, tag, since, found } = asked;
        if let Some(next) = self.next.get_mut(name) {
            next.is_asked = false;
            next.ask_at = now + (now.saturating_sub(*since) / 4).clamp(*PAUSE.start(), *PAUSE.end());
        }
        let Some(ttl) = *found else { return self.events.absent.inc() };
        self.events.seen.inc();
        // Another one may have taken its place while it was asked for.
        if zone.submission().is_none_or(|submission| submission.key.tag() != *tag) {
            return;
        }
        match zone.ds_seen(Some(ttl.into()), now) {
            Ok((tag, trusted)) => {
                tracing::info!(target: "dns", zone = name, tag, trusted, "the zone above has the DS of a new key");
            }
            Err(error) => {
                tracing::error!(target: "dns", zone = name, %error, "that the zone above has a DS cannot be kept");
            }
        }
    }
}

/// Asks all servers of the zone above, one after the other, until one has it not.
async fn ask_all(name: String, zone: Arc<SignedZone>, submission: Submission) -> Asked {
    let apex = zone.zone().apex().clone();
    let Submission { key, since, parents } = submission;
    let mut longest = Some(0);
    for parent in parents {
        let found = match tokio::time::timeout(WAIT, ask(parent, &apex, &key)).await {
            Ok(found) => found,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(target: "dns", zone = name, %parent, %error, "a server of the zone above cannot be asked for a DS");
            None
        });
        longest = longest.zip(found).map(|(one, other)| one.max(other));
        if longest.is_none() {
            break;
        }
    }
    Asked { name, zone, tag: key.tag(), since, found: longest }
}

/// How long the DS of a key may be remembered, as this server has it; `None`: it has not.
async fn ask(parent: SocketAddr, apex: &Name, key: &Key) -> Result<Option<u32>, AskFault> {
    let mut stream = TcpStream::connect(parent).await?;
    let id = random_u64() as u16;
    let message = Writer::new(id, 0, RECURSION_DESIRED, apex, Rtype::DS).message;
    stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    judge(&answer, id, apex, |ds| key.is_named_by(ds, apex.as_wire()))
}

/// How long a DS may be remembered that is in an answer to a question with the identifier 0. For tests from outside.
pub fn judge_ds(answer: &[u8], apex: &Name, ds: &[u8]) -> Option<u32> {
    judge(answer, 0, apex, |found| found == ds).ok()?
}

/// What an answer says of a DS.
fn judge(
    answer: &[u8],
    id: u16,
    apex: &Name,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<Option<u32>, AskFault> {
    let header = Header::of(answer).ok_or(AskFault::NoAnswer)?;
    if !header.is_response() || header.id != id || header.opcode() != 0 || header.counts[0] != 1 {
        return Err(AskFault::NoAnswer);
    }
    if header.rcode() != 0 {
        return Err(AskFault::Rcode(Rcode::masked_from_int(header.rcode())));
    }
    let mut reader = Reader::new(answer);
    let question = reader.question().ok_or(AskFault::NoAnswer)?;
    if (&question.name, question.rtype, question.class) != (apex, Rtype::DS, Class::IN) {
        return Err(AskFault::NoAnswer);
    }
    let mut found = None;
    for _ in 0..header.counts[1] {
        let record = reader.record().ok_or(AskFault::NoAnswer)?;
        if (&record.owner, record.rtype, record.class) == (apex, Rtype::DS, Class::IN) && is_it(record.data) {
            found = Some(if record.ttl > TTL_MAX { 0 } else { record.ttl });
        }
    }
    Ok(found)
}

/// What is counted.
struct Events {
    seen: Counter,
    absent: Counter,
}

impl Events {
    fn new(registry: &Registry) -> Self {
        let counter = |outcome| {
            let help = "How often the zone above was asked for the DS of a new key.";
            registry.counter("nines_dns_ds_checks_total", help, &[("outcome", outcome)])
        };
        Self { seen: counter("seen"), absent: counter("absent") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Algorithm;
    use super::*;
    use proptest::prelude::*;

    fn apex() -> Name {
        "shop.test".parse().unwrap()
    }

    /// An answer with these DS records.
    fn answer(records: &[(&Name, u32, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(7, 0, 0x8400, &apex(), Rtype::DS);
        for (owner, ttl, data) in records {
            writer.record(1, owner.as_wire(), Rtype::DS, *ttl, data);
        }
        writer.message
    }

    fn judged(answer: &[u8], id: u16, apex: &Name, key: &Key) -> Result<Option<u32>, AskFault> {
        judge(answer, id, apex, |ds| key.is_named_by(ds, apex.as_wire()))
    }

    #[test]
    fn a_ds_of_the_key_is_found_among_others_and_nothing_else_is() {
        let (key, other) = (
            Key::generate(Algorithm::Ed25519, true).unwrap(),
            Key::generate(Algorithm::Ed25519, true).unwrap(),
        );
        let (apex, wrong) = (apex(), "shop.example".parse().unwrap());
        let ds = |key: &Key| key.ds(apex.as_wire());
        let both = answer(&[(&apex, 300, ds(&other)), (&apex, 600, ds(&key))]);
        assert_eq!(judged(&both, 7, &apex, &key).unwrap(), Some(600));
        let old = answer(&[(&apex, 300, ds(&other)), (&wrong, 600, ds(&key))]);
        assert_eq!(judged(&old, 7, &apex, &key).unwrap(), None);
        assert_eq!(judged(&answer(&[]), 7, &apex, &key).unwrap(), None);
        let odd = answer(&[(&apex, u32::MAX, ds(&key))]);
        assert_eq!(judged(&odd, 7, &apex, &key).unwrap(), Some(0));
        assert!(matches!(judged(&both, 8, &apex, &key), Err(AskFault::NoAnswer)));
        assert!(matches!(judged(&both, 7, &wrong, &key), Err(AskFault::NoAnswer)));
        let mut refused = answer(&[]);
        refused[3] |= 5;
        assert!(matches!(judged(&refused, 7, &apex, &key), Err(AskFault::Rcode(Rcode::REFUSED))));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_judged(message in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100, octet in any::<u8>()) {
            let key = Key::generate(Algorithm::Ed25519, true).unwrap();
            let _ = judged(&message, 7, &apex(), &key);
            let mut changed = answer(&[(&apex(), 300, key.ds(apex().as_wire()))]);
            let at = at % changed.len();
            changed[at] = octet;
            let _ = judged(&changed, 7, &apex(), &key);
            let _ = judged(&changed[..at], 7, &apex(), &key);
        }
    }
}
