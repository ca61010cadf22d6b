//! What a pick reads: who may be chosen, in groups of falling preference, with each policy's tables ready.
//! It is built whenever an endpoint's state changes, swapped whole, and never changed after.

use crate::config::{HashKey, Policy, PoolConfig, Sticky};
use crate::member::Member;
use crate::picked::KeySource;
use crate::policy::draw::Shares;
use crate::policy::maglev::Table;
use crate::policy::ring_hash::Ring;
use crate::policy::weighted_round_robin::Sequence;
use crate::policy::{
    Candidate, least_loaded, maglev, peak_ewma, power_of_two, random, ring_hash, round_robin,
    weighted_round_robin,
};
use crate::slow_start;
use crate::status::State;
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who may be picked until the next change.
pub(crate) struct Snapshot {
    /// Never empty ones; the first is preferred.
    pub(crate) groups: Vec<Group>,
    /// The endpoints that a sticky cookie may name, by token: also those that take no new work.
    pub(crate) sticky: Vec<Candidate>,
    /// The name of the cookie that the pool issues.
    pub(crate) cookie: Option<Arc<str>>,
    /// What a request's hash is made from.
    pub(crate) key_source: KeySource,
    /// Requests in flight on one endpoint.
    pub(crate) inflight_max: u64,
    /// How long a probe is waited for.
    pub(crate) probe_patience: Duration,
    /// Whether a request that comes for the first time may go to any candidate of the first group.
    pub(crate) is_plain: bool,
    pub(crate) is_panic: bool,
    pub(crate) available: usize,
    pub(crate) endpoints: usize,
    /// What is the matter with those that are not available.
    pub(crate) causes: Arc<str>,
    /// Where endpoints are, each address once: first those that new clients may be sent to.
    pub(crate) addresses: Box<[IpAddr]>,
    pub(crate) addresses_available: usize,
    /// When time alone will change it.
    pub(crate) changes_at: Option<Instant>,
}

/// Candidates of equal preference.
pub(crate) struct Group {
    pub(crate) rank: Rank,
    pub(crate) candidates: Vec<Candidate>,
    chooser: Chooser,
    /// For a client that keeps its endpoint by header or address.
    affinity: Option<Table>,
}

/// Why a group comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// At the node's own place.
    Near,
    /// Elsewhere, or nobody says where.
    Any,
    /// Used when there are no others.
    Backup,
}

/// A policy with its tables.
enum Chooser {
    Random(Shares),
    RoundRobin(Shares),
    /// Also plain round-robin while a slow start makes weights uneven: a row of ten would not be slow.
    WeightedRoundRobin(Sequence),
    LeastLoaded,
    PowerOfTwo(Shares),
    PeakEwma(Shares),
    RingHash(Ring),
    Maglev(Table),
}

impl Snapshot {
    pub(crate) fn of(members: &[Member], config: &PoolConfig, at: Option<&str>, now: Instant) -> Self {
        let is_panic = is_panic(members, config);
        let mut ranked: BTreeMap<Rank, Vec<&Member>> = BTreeMap::new();
        let usable = |member: &&Member| if is_panic { may_panic(member) } else { member.is_available() };
        let backups = members.iter().filter(|member| member.wanted.backup && member.is_available());
        for member in members.iter().filter(|member| !member.wanted.backup).filter(usable).chain(backups) {
            ranked.entry(rank(member, at, is_panic)).or_default().push(member);
        }
        let build = |(rank, members): (Rank, Vec<&Member>)| Group::of(rank, &members, config, is_panic, now);
        let groups: Vec<Group> = ranked.into_iter().map(build).collect();
        let inflight_max = config.limit.inflight_per_endpoint.map_or(u64::MAX, u64::from);
        let (addresses, addresses_available) = addresses(members);
        let probing = groups.iter().flat_map(|group| &group.candidates).any(|candidate| candidate.probing);
        Self {
            sticky: sticky(members, is_panic),
            cookie: match &config.sticky {
                Some(Sticky::Cookie(name)) => Some(name.as_str().into()),
                _ => None,
            },
            key_source: key_source(config),
            inflight_max,
            probe_patience: config.eject.for_.get(),
            is_plain: inflight_max == u64::MAX && !probing,
            is_panic,
            available: members.iter().filter(|member| member.is_available()).count(),
            endpoints: members.len(),
            causes: causes(members),
            addresses,
            addresses_available,
            changes_at: changes_at(members, config, now),
            groups,
        }
    }

    /// Whether time alone has made it out of date.
    pub(crate) fn is_outdated(&self, now: Instant) -> bool {
        self.changes_at.is_some_and(|at| now >= at)
    }

    /// The endpoint that a sticky cookie names, if it may be named.
    pub(crate) fn named_by(&self, token: u64) -> Option<&Candidate> {
        let index = self.sticky.binary_search_by_key(&token, |candidate| candidate.endpoint.token()).ok()?;
        Some(&self.sticky[index])
    }
}

impl Group {
    fn of(rank: Rank, members: &[&Member], config: &PoolConfig, is_panic: bool, now: Instant) -> Self {
        let shares = members.iter().map(|member| (member.wanted.weight, ramp(member, config, now)));
        let (weights, unit) = weights(&shares.collect::<Vec<_>>());
        let candidates: Vec<Candidate> = members
            .iter()
            .zip(weights)
            .filter_map(|(member, weight)| candidate(member, weight, is_panic))
            .collect();
        let by_hash = matches!(config.sticky, Some(Sticky::Header(_) | Sticky::ClientAddress));
        Self {
            rank,
            chooser: Chooser::of(config.balance, &candidates, unit),
            affinity: by_hash.then(|| Table::of(&candidates)),
            candidates,
        }
    }

    /// The policy's choice. `turn` gives the number of this pick, for those that go by turns.
    pub(crate) fn pick(
        &self,
        usable: &impl Fn(&Candidate) -> bool,
        hash: Option<u64>,
        turn: &impl Fn() -> u64,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<&Candidate> {
        let all = &self.candidates;
        if let ([only], None) = (all.as_slice(), &self.affinity) {
            return usable(only).then_some(only);
        }
        let index = match (&self.affinity, hash, &self.chooser) {
            (Some(table), Some(hash), _) => maglev::pick(table, all, usable, hash),
            (_, _, Chooser::Random(shares)) => random::pick(shares, all, usable, rng),
            (_, _, Chooser::RoundRobin(shares)) => round_robin::pick(shares, all, usable, turn()),
            (_, _, Chooser::WeightedRoundRobin(turns)) => {
                weighted_round_robin::pick(turns, all, usable, turn())
            }
            (_, _, Chooser::LeastLoaded) => least_loaded::pick(all, usable, rng),
            (_, _, Chooser::PowerOfTwo(shares)) => power_of_two::pick(shares, all, usable, rng),
            (_, _, Chooser::PeakEwma(shares)) => peak_ewma::pick(shares, all, usable, now, rng),
            // A request without the key goes anywhere.
            (_, hash, Chooser::RingHash(ring)) => {
                ring_hash::pick(ring, all, usable, hash.unwrap_or_else(|| rng.random()))
            }
            (_, hash, Chooser::Maglev(table)) => {
                maglev::pick(table, all, usable, hash.unwrap_or_else(|| rng.random()))
            }
        };
        index.map(|index| &all[index])
    }

    pub(crate) fn has_affinity(&self) -> bool {
        self.affinity.is_some()
    }
}

impl Chooser {
    fn of(policy: Policy, candidates: &[Candidate], unit: u32) -> Self {
        match policy {
            Policy::Random => Self::Random(Shares::of(candidates)),
            Policy::RoundRobin if unit == 1 => Self::RoundRobin(Shares::of(candidates)),
            Policy::RoundRobin | Policy::WeightedRoundRobin => {
                Self::WeightedRoundRobin(Sequence::of(candidates))
            }
            Policy::LeastLoaded => Self::LeastLoaded,
            Policy::PowerOfTwo => Self::PowerOfTwo(Shares::of(candidates)),
            Policy::PeakEwma => Self::PeakEwma(Shares::of(candidates)),
            Policy::RingHash => Self::RingHash(Ring::of(candidates, unit)),
            Policy::Maglev => Self::Maglev(Table::of(candidates)),
        }
    }
}

/// Keeping clients by header or address is a hash itself, and comes before the policy's.
fn key_source(config: &PoolConfig) -> KeySource {
    match (&config.sticky, &config.hash) {
        (Some(Sticky::Header(name)), _) => KeySource::Header(name.as_str().into()),
        (Some(Sticky::ClientAddress), _) => KeySource::ClientAddress,
        (_, Some(HashKey::Header(name))) => KeySource::Header(name.as_str().into()),
        (_, Some(HashKey::Cookie(name))) => KeySource::Cookie(name.as_str().into()),
        (_, Some(HashKey::ClientAddress)) => KeySource::ClientAddress,
        (_, Some(HashKey::Path)) => KeySource::Path,
        (_, None) => KeySource::None,
    }
}

/// The part of its weight that a member has in its slow start, in tenths.
pub(crate) fn ramp(member: &Member, config: &PoolConfig, now: Instant) -> u32 {
    match (config.slow_start, member.ramp_since) {
        (Some(whole), Some(since)) => slow_start::tenths(since, whole.get(), now),
        _ => slow_start::FULL,
    }
}

/// Weights with their slow start, and what one step of configured weight has become in them: 1 unless some
/// are further in their slow start than others.
fn weights(shares: &[(u32, u32)]) -> (Vec<u32>, u32) {
    let furthest = shares.iter().map(|(_, tenths)| *tenths).max().unwrap_or(slow_start::FULL);
    if shares.iter().all(|(_, tenths)| *tenths == furthest) {
        return (shares.iter().map(|(weight, _)| (*weight).max(1)).collect(), 1);
    }
    (shares.iter().map(|(weight, tenths)| ((*weight).max(1) * tenths * 10 / furthest).max(1)).collect(), 10)
}

fn candidate(member: &Member, weight: u32, is_panic: bool) -> Option<Candidate> {
    let endpoint = Arc::clone(member.endpoint.as_ref()?);
    Some(Candidate { endpoint, weight, probing: member.is_probing() && !is_panic })
}

fn rank(member: &Member, at: Option<&str>, is_panic: bool) -> Rank {
    if member.wanted.backup {
        return Rank::Backup;
    }
    // In a panic being near is no merit: perhaps all that is near is down.
    if at.is_some() && member.wanted.at.as_deref() == at && !is_panic { Rank::Near } else { Rank::Any }
}

/// Whether a member counts when the share of available ones is taken: one that nobody has taken out, that
/// is no backup, and about which its checks have said something.
fn may_panic(member: &Member) -> bool {
    let known = member.endpoint.is_some() && member.wanted.ready && !member.health.is_unknown();
    known && member.is_wished() && !member.wanted.backup
}

/// Whether so few are available that all are used. Backups come before the panic: they stand ready for the
/// case that no other is left.
fn is_panic(members: &[Member], config: &PoolConfig) -> bool {
    let counted = members.iter().filter(|member| may_panic(member));
    let (all, available) = counted
        .fold((0, 0), |(all, available), member| (all + 1, available + usize::from(member.is_available())));
    let has_backup = || members.iter().any(|member| member.wanted.backup && member.is_available());
    all > 0 && (available as f64) < f64::from(all) * config.panic.ratio() && (available > 0 || !has_backup())
}

/// A draining endpoint and one with weight 0 take no new clients, but keep those that carry their cookie, as
/// with HAProxy and nginx; and a cookie that names a backup reaches it though others are available.
fn sticky(members: &[Member], is_panic: bool) -> Vec<Candidate> {
    let named = members.iter().filter(|member| member.is_well() || (is_panic && may_panic(member)));
    let mut named: Vec<Candidate> = named.filter_map(|member| candidate(member, 1, is_panic)).collect();
    named.sort_by_key(|candidate| candidate.endpoint.token());
    named
}

fn causes(members: &[Member]) -> Arc<str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members.iter().filter(|member| !member.is_available()) {
        let (state, _) = member.state();
        let cause = if state == State::Healthy { "weight 0" } else { state.as_str() };
        *counts.entry(cause).or_default() += 1;
    }
    let causes: Vec<String> = counts.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    causes.join(", ").into()
}

/// Where endpoints are, each address once, and how many of them come first as those that new clients may be sent to: backups only
/// if there is nothing else.
fn addresses(members: &[Member]) -> (Box<[IpAddr]>, usize) {
    let available = |backup: bool| {
        members.iter().filter(move |member| member.wanted.backup == backup && member.is_available())
    };
    let has_primary = available(false).next().is_some();
    let mut known = BTreeSet::new();
    let mut addresses = Vec::new();
    let mut add = |members: &mut dyn Iterator<Item = &Member>| {
        let found = members.filter_map(|member| Some(member.endpoint.as_ref()?.address().ip()));
        addresses.extend(found.filter(|address| known.insert(*address)));
        addresses.len()
    };
    let first = add(&mut available(!has_primary));
    add(&mut members.iter());
    (addresses.into(), first)
}

/// The next moment at which an ejection ends or a slow start goes on.
fn changes_at(members: &[Member], config: &PoolConfig, now: Instant) -> Option<Instant> {
    let ejections = members.iter().filter_map(|member| match member.ejections.now {
        crate::eject::Ejection::Out { until } => Some(until),
        _ => None,
    });
    let whole = config.slow_start.map(notation::Duration::get);
    let ramps = members.iter().filter_map(|member| slow_start::next_step(member.ramp_since?, whole?, now));
    ejections.chain(ramps).min()
}
