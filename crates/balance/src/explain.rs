//! Why a request would go where it goes.

use crate::choose::{Chosen, Refusal, Rule, choose};
use crate::config::{Policy, PoolConfig};
use crate::member::Member;
use crate::picked::Wish;
use crate::policy::Candidate;
use crate::pool::Pool;
use crate::snapshot::{Rank, Snapshot};
use crate::status::State;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Instant;

/// The endpoint that a pool would pick for a request at this moment, and why not the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolExplanation {
    /// The pool's name.
    pub pool: String,
    /// The name of the endpoint that would be picked; absent when none can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked: Option<String>,
    /// The rule that chose it, or why none can be picked.
    pub rule: String,
    /// Whether the same request would now get this endpoint each time; if not, chance or turn decides.
    pub certain: bool,
    /// Every endpoint, in the order of the file.
    pub endpoints: Vec<EndpointExplanation>,
}

/// An endpoint, and why it would be picked or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointExplanation {
    /// The endpoint's name.
    pub name: String,
    /// Where it is reached; absent until its name has been resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Whether it would be picked.
    pub picked: bool,
    /// Why, or why not.
    pub reason: String,
}

/// The same decision as [`Pool::pick`], made without leaving a trace.
impl Pool {
    /// The endpoint that a request with this wish would get now, and why the others would not. Changes nothing.
    pub fn explain(&self, wish: &Wish<'_>, now: Instant) -> PoolExplanation {
        let (config, snapshot) = (self.config(), self.snapshot());
        // Chance has no memory: any draw is as good an example as the next.
        let mut rng = SmallRng::seed_from_u64(self.turn());
        let chosen = choose(&snapshot, wish, &|| self.turn(), now, &mut rng);
        let picked = chosen.as_ref().ok().map(|chosen| chosen.candidate);
        let view = View { pool: self, snapshot: &snapshot, config: &config, wish, now, chosen: &chosen };
        PoolExplanation {
            pool: self.name().to_owned(),
            picked: picked.map(|candidate| candidate.endpoint.name().to_owned()),
            rule: match &chosen {
                Ok(chosen) => view.rule(chosen.rule),
                Err(refusal) => view.refusal(*refusal),
            },
            certain: chosen.as_ref().is_ok_and(|chosen| view.is_certain(chosen)),
            endpoints: self
                .with_members(|members| members.iter().map(|member| view.endpoint(member)).collect()),
        }
    }
}

/// All that an explanation looks at.
struct View<'a> {
    pool: &'a Pool,
    snapshot: &'a Snapshot,
    config: &'a PoolConfig,
    wish: &'a Wish<'a>,
    now: Instant,
    chosen: &'a Result<Chosen<'a>, Refusal>,
}

impl View<'_> {
    fn rule(&self, rule: Rule) -> String {
        let (rule, rank) = match rule {
            Rule::Cookie => return "the client's sticky cookie names it".into(),
            Rule::OnlyProbing => return "no other endpoint is left than one that is being probed".into(),
            Rule::Affinity(rank) => ("the client's header or address belongs to it", rank),
            Rule::Policy(rank) => (self.policy_rule(), rank),
        };
        let among = match rank {
            Rank::Near => format!(", among those at {}", self.pool.at().unwrap_or_default()),
            Rank::Backup => ", among the backups, as no other is available".into(),
            Rank::Any if self.snapshot.is_panic => ", among all: too few are available (panic)".into(),
            Rank::Any => String::new(),
        };
        format!("{rule}{among}")
    }

    fn policy_rule(&self) -> &'static str {
        match (self.config.balance, self.wish.hash) {
            (Policy::RingHash | Policy::Maglev, None) => "any: the request has no key to hash",
            (Policy::RingHash, _) => {
                "ring-hash: the key belongs to it, and it is within its bound of the load"
            }
            (Policy::Maglev, _) => "maglev: the key belongs to it",
            (Policy::Random, _) => "random: drawn by weight",
            (Policy::RoundRobin, _) => "round-robin: its turn",
            (Policy::WeightedRoundRobin, _) => "weighted-round-robin: its turn",
            (Policy::LeastLoaded, _) => "least-loaded: fewest in flight over weight",
            (Policy::PowerOfTwo, _) => "power-of-two: the less loaded of two drawn by weight",
            (Policy::PeakEwma, _) => "peak-ewma: the cheaper of two drawn by weight, by latency times load",
        }
    }

    fn refusal(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::NoEndpoints => "it has no endpoints yet".into(),
            Refusal::NoneAvailable => {
                format!("no healthy endpoint ({} of {})", self.snapshot.causes, self.snapshot.endpoints)
            }
            Refusal::AllTried => "all available endpoints have been tried".into(),
            Refusal::Full => {
                format!("all available endpoints have {} in flight, the limit", self.snapshot.inflight_max)
            }
        }
    }

    fn is_certain(&self, chosen: &Chosen<'_>) -> bool {
        let only = self.snapshot.groups.iter().any(|group| {
            group.candidates.len() == 1 && group.candidates[0].endpoint.id() == chosen.candidate.endpoint.id()
        });
        let by_hash =
            matches!(self.config.balance, Policy::RingHash | Policy::Maglev) && self.wish.hash.is_some();
        only || by_hash || matches!(chosen.rule, Rule::Cookie | Rule::Affinity(_) | Rule::OnlyProbing)
    }

    fn endpoint(&self, member: &Member) -> EndpointExplanation {
        let endpoint = member.endpoint.as_ref();
        let picked = self.chosen.as_ref().is_ok_and(|chosen| member.is(chosen.candidate.endpoint.id()));
        EndpointExplanation {
            name: member.wanted.name.to_string(),
            address: endpoint.map(|endpoint| endpoint.address()),
            picked,
            reason: match self.chosen {
                Ok(chosen) if picked => self.rule(chosen.rule),
                _ => self.why_not(member),
            },
        }
    }

    fn why_not(&self, member: &Member) -> String {
        let candidate = self.snapshot.groups.iter().find_map(|group| {
            let candidate = group.candidates.iter().find(|candidate| member.is(candidate.endpoint.id()))?;
            Some((group.rank, candidate))
        });
        let Some((rank, candidate)) = candidate else { return unavailable(member) };
        let inflight = candidate.endpoint.inflight();
        if self.wish.avoid.contains(&candidate.endpoint.id()) {
            return "tried already".into();
        }
        if inflight >= self.snapshot.inflight_max {
            return format!("full: {inflight} in flight of {}", self.snapshot.inflight_max);
        }
        if candidate.probing && !candidate.endpoint.may_probe(self.snapshot.probe_patience, self.now) {
            return "probing: its one request is under way".into();
        }
        let Ok(chosen) = self.chosen else { return "it could be picked".into() };
        match chosen.rule {
            Rule::Cookie => format!("the client's sticky cookie names {}", chosen.candidate.endpoint.name()),
            Rule::Affinity(first) | Rule::Policy(first) if rank != first => self.less_preferred(member, rank),
            Rule::Affinity(_) => format!("the client belongs to {}", chosen.candidate.endpoint.name()),
            Rule::OnlyProbing | Rule::Policy(_) => self.lost_to(chosen.candidate, candidate),
        }
    }

    fn less_preferred(&self, member: &Member, rank: Rank) -> String {
        match (rank, &member.wanted.at, self.pool.at()) {
            (Rank::Backup, ..) => "a backup: used when no other is available".into(),
            (_, Some(at), Some(here)) => format!("at {at}, not {here}"),
            (_, None, Some(here)) => format!("not said to be at {here}"),
            _ => "less preferred".into(),
        }
    }

    fn lost_to(&self, picked: &Candidate, candidate: &Candidate) -> String {
        let (own, theirs) = (candidate.endpoint.inflight(), picked.endpoint.inflight());
        let latency = |candidate: &Candidate| {
            candidate.endpoint.latency_secs(self.now).map_or(0.0, |secs| secs * 1000.0)
        };
        match (self.config.balance, self.wish.hash) {
            (Policy::RingHash | Policy::Maglev, Some(_)) => {
                format!("the key belongs to {}", picked.endpoint.name())
            }
            (Policy::RoundRobin | Policy::WeightedRoundRobin, _) => "not its turn".into(),
            (Policy::LeastLoaded | Policy::PowerOfTwo, _) if picked.is_less_loaded_than(candidate) => {
                format!("more in flight for its weight: {own} against {theirs}")
            }
            (Policy::PeakEwma, _) if latency(candidate) > latency(picked) || own > theirs => {
                let (own_ms, their_ms) = (latency(candidate), latency(picked));
                format!(
                    "costs more: {own_ms:.1} ms and {own} in flight, against {their_ms:.1} ms and {theirs}"
                )
            }
            _ => "as good: chance decided".into(),
        }
    }
}

fn unavailable(member: &Member) -> String {
    match member.state() {
        (State::Healthy | State::Probing, _) if member.wanted.weight == 0 => "weight 0".into(),
        (State::Draining, _) => "draining".into(),
        (State::Healthy, _) if member.wanted.backup => "a backup: used when no other is available".into(),
        (state, cause) => format!("{state}: {cause}"),
    }
}
