//! Why a client would get the answer it gets.

use super::chain::Step;
use super::client::Client;
use super::route::{Kind, Policy};
use crate::answer::ALIASES_MAX;
use crate::protocol::Name;
use crate::zone::node::RECORD_HEAD_BYTES;
use crate::zone::{Found, Zone};
use crate::zones::Zones;
use domain::base::iana::Rtype;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The answer that a route would give to a client at this moment, and how it comes about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The name that was asked about.
    pub name: String,
    /// Aliases that lead from there to the name of the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The zone of the route.
    pub zone: String,
    /// The client's address.
    pub client: IpAddr,
    /// Where the client is, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// All candidates, in the order of the file.
    pub candidates: Vec<String>,
    /// The steps, in the order in which they are taken.
    pub steps: Vec<StepExplanation>,
    /// What is answered: A and AAAA. Empty: SERVFAIL, or nobody has an address.
    pub addresses: Vec<IpAddr>,
    /// `NOERROR` or `SERVFAIL`.
    pub rcode: String,
    /// How long a resolver may keep it, in seconds.
    pub ttl_seconds: u32,
    /// By how many bits of the client's address it was chosen (RFC 7871); 0: it is the same for all.
    pub client_bits: u8,
    /// Whether the same client would get this each time, as long as nothing changes; if not, chance decides.
    pub certain: bool,
}

/// One step of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepExplanation {
    /// Its name: `healthy`, `weight 0`, `nearest`, `weighted`, `failover`, `multivalue`.
    pub step: String,
    /// The candidates that are left after it.
    pub left: Vec<String>,
    /// Those that it has dropped.
    pub dropped: Vec<Dropped>,
    /// What else is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A candidate that a step has dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    /// The candidate.
    pub candidate: String,
    /// Why.
    pub why: String,
}

/// How a query for this name's addresses would be answered for this client, by this draw. `None`: the name leads to no route, and is
/// answered as the zone says.
pub fn explain(zones: &Zones, name: &Name, client: Client, draw: u64) -> Option<Explanation> {
    let mut at = name.clone();
    let mut aliases = Vec::new();
    for _ in 0..=ALIASES_MAX {
        let (located, hash) = zones.locate(&at);
        let located = located?;
        let (Found::Name(node) | Found::Wildcard(node)) = located.zone.look_up(&at, located.apex, hash)
        else {
            return None;
        };
        at = match located.zone.route(node) {
            Some(Kind::Policy(policy)) => {
                return Some(policy.explain(name, aliases, located.zone, client, draw));
            }
            Some(Kind::Alias(target)) => (**target).clone(),
            None => {
                let alias = node.rrset(Rtype::CNAME)?;
                *located.zone.name_in(alias.first_rdata())
            }
        };
        aliases.push(at.to_string());
    }
    None
}

impl Policy {
    fn explain(
        &self,
        name: &Name,
        aliases: Vec<String>,
        zone: &Zone,
        client: Client,
        draw: u64,
    ) -> Explanation {
        let mut steps = Vec::new();
        let region = self.places.of_client(client.address());
        let place = self.places.name(region.value).map(ToOwned::to_owned);
        let label = |candidate: usize| self.of(candidate).label.clone();
        let chosen = self.walk(client, draw, |step, before, after| {
            let dropped = before.without(after).iter().map(|candidate| Dropped {
                candidate: label(candidate),
                why: self.why(step, candidate, place.as_deref()),
            });
            steps.push(StepExplanation {
                step: step.as_str().to_owned(),
                left: after.iter().map(label).collect(),
                dropped: dropped.collect(),
                note: self.note(
                    step,
                    after.is_empty(),
                    before == after && before.len() > 1,
                    place.as_deref(),
                ),
            });
        });
        let mut addresses = Vec::new();
        for rtype in [Rtype::A, Rtype::AAAA] {
            let Ok(()) = self.records(rtype, chosen, draw, |rrset| -> Result<(), std::convert::Infallible> {
                addresses.extend(
                    rrset
                        .starts()
                        .filter_map(|start| address(&rrset.wire[start + RECORD_HEAD_BYTES..], rtype)),
                );
                Ok(())
            });
        }
        let by_chance =
            |step: &Step| matches!(step, Step::Multivalue) || (*step == Step::Weighted && !self.sticky);
        Explanation {
            name: name.to_string(),
            aliases,
            zone: zone.apex().to_string(),
            client: client.address(),
            place,
            candidates: (0..self.candidates.len()).map(label).collect(),
            steps,
            addresses,
            rcode: if chosen.candidates.is_empty() { "SERVFAIL" } else { "NOERROR" }.to_owned(),
            ttl_seconds: self.ttl,
            client_bits: chosen.bits,
            certain: !self.steps.iter().any(by_chance),
        }
    }

    fn why(&self, step: Step, candidate: usize, place: Option<&str>) -> String {
        let candidate = self.of(candidate);
        match step {
            Step::Healthy => {
                let causes = candidate.pool.as_ref().map(|pool| pool.causes()).unwrap_or_default();
                if causes.is_empty() {
                    "no endpoint is available".to_owned()
                } else {
                    format!("no endpoint is available: {causes}")
                }
            }
            Step::Maintenance => "its weight is 0, and others are left".to_owned(),
            Step::Nearest => format!("another is nearer to {}", place.unwrap_or("the client")),
            Step::Weighted if self.sticky => "another is this subnet's".to_owned(),
            Step::Weighted => "another was drawn".to_owned(),
            Step::Failover => "another comes before it".to_owned(),
            Step::Multivalue => format!("{} are answered, and others were drawn", self.values_max),
        }
    }

    fn note(&self, step: Step, is_empty: bool, is_idle: bool, place: Option<&str>) -> Option<String> {
        match step {
            Step::Healthy if is_empty => Some(match self.when_down {
                super::WhenDown::ServeAll => {
                    "everything is down: it goes on as if everything were up".to_owned()
                }
                super::WhenDown::Servfail => "everything is down: that is a failure".to_owned(),
            }),
            Step::Nearest if is_idle && place.is_none() => {
                Some("it is not known where the client is".to_owned())
            }
            _ => None,
        }
    }
}

fn address(rdata: &[u8], rtype: Rtype) -> Option<IpAddr> {
    Some(match rtype {
        Rtype::A => IpAddr::from(*rdata.first_chunk::<4>()?),
        _ => IpAddr::from(*rdata.first_chunk::<16>()?),
    })
}
