//! Routes: names whose addresses follow health, place and weight.
//!
//! A route has candidates: pools, or addresses that stand for themselves. A chain of steps, each a pure decision in a file of its
//! own, makes one set of candidates after the other smaller: `healthy` drops what is down, `nearest` keeps the place that is
//! nearest to the client, and `weighted`, `failover` or `multivalue` chooses of what is left. The addresses of whoever is chosen
//! are the answer, for A and AAAA alike; their RRsets are made when the route is.
//!
//! What a decision depends on comes from outside: the client's address or its resolver's word for it ([`Client`]), a draw, and each
//! pool's state ([`PoolHealth`]). So the same decision serves, and is explained step by step ([`explain()`]).
//!
//! An answer also says by how many bits of the client's address it was chosen (RFC 7871 §7.2.1): none where no step looked at it; so
//! many that all clients who share them are at the same place, where `nearest` had places to choose between; and those of the
//! subnet, where `weighted` keeps a subnet's choice.

mod candidates;
mod chain;
mod check;
mod client;
mod config;
mod explain;
mod failover;
mod geography;
mod healthy;
mod maintenance;
mod multivalue;
mod nearest;
mod places;
mod pools;
mod possible;
mod regions;
mod route;
#[cfg(test)]
mod tests;
mod weighted;

pub(crate) use candidates::Set as Candidates;
pub use check::{Known, check_places, check_routes};
pub use client::Client;
pub use config::{
    AnswerConfig, LatencyConfig, PlaceConfig, Places as PlacesConfig, RouteConfig, RoutesConfig, StepName,
    WhenDown,
};
pub use explain::{Dropped, Explanation, StepExplanation, explain};
pub use places::{Places, PlacesError};
pub use pools::{Follower, PoolHealth, Pools, Which};
pub use route::Route;
pub(crate) use route::{Chosen, Kind, Policy, name_in};
pub(crate) use weighted::mixed;
