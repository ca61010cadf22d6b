//! Answers DNS queries from an immutable snapshot of the zones.
//!
//! The file's zones are loaded ([`ZoneSet`]), and served by [`Dns`]: each core receives framed_messages on sockets of its own
//! (`listener::udp` by the batch, `listener::tcp` one after the other on a connection), answers them from the snapshot that it
//! has seen last, counts them (`events`), and sends the answers.
//!
//! A message is bytes. [`Query::parse`] reads it, within bounds and without allocating; what is no query that can be answered
//! is a [`Rejection`], and what must not be answered at all says so. [`answer()`] decides: it finds the zone whose apex is the
//! longest suffix of the name ([`Zones`]), follows RFC 1034 §4.3.2 within it, and writes the response, of which most was written when
//! the zone was loaded. What became of it is an [`Outcome`], for those who count.
//!
//! A [`Zone`] is made by a [`ZoneBuilder`] from zone files and lines, with every fault named by file, line and column. It is a table from
//! the hash of a name to its place in one arena, where RRsets lie in wire form (`zone::node` has the layout).
//!
//! Over a zone lie routes (`policy`): names whose addresses are chosen for each query, by the health of pools, the client's place and
//! weights. Whatever they depend on is in the snapshot and the query, but for one thing: a pool says itself whether it is up
//! ([`PoolHealth`]), at the moment of the answer.
//!
//! What is in none of the zones is looked up for those who may ask, by the `resolver`, if the file has one.
//!
//! Invariants:
//! - A snapshot is swapped whole; a query sees exactly one.
//! - [`answer()`] is a pure function of the zones, the query, a draw, and the state of pools: no clock, no lock, no I/O; it allocates
//!   only for aliases.
//! - What an answer costs is bounded by the query's size and the zone's depth, whatever was asked: chains of aliases are followed
//!   sixteen links at most, and a name that is not there costs what one that is does.
//! - A response echoes the question with its case, and is never longer than its transport takes.
//! - A response (QR=1) is never answered.

mod answer;
mod changes;
mod check;
mod config;
mod cookies;
mod core;
mod dnssec;
mod error;
mod events;
mod explanation;
mod limit;
mod listener;
mod loading;
mod log;
mod over_http;
mod policy;
mod protocol;
mod publishing;
mod records_file;
mod resolver;
mod running;
mod secondary;
mod services;
mod snapshot;
mod transfer;
mod tsig;
mod update;
mod zone;
mod zones;

pub use answer::{Facts, Kind, Outcome, SignedNow, answer, refuse, reject, truncate};
pub use changes::{KeyConfig, Peer, SecondaryConfig, TransferConfig, UpdateConfig};
pub use check::check;
pub use config::{DnsConfig, DnsLimits, DnsTimeouts, ZoneConfig};
pub use dnssec::{
    Algorithm as SigningAlgorithm, DenialConfig, KeyLayout, KeyStatus, NextStep, RolledKey, Sign, SignConfig,
    SigningStatus, judge_ds,
};
pub use domain::base::iana::{Class, OptRcode, Rtype};
pub use error::Error;
pub use explanation::{Explained, Question, QuestionError};
pub use loading::{Place, ZoneFault, ZoneSet};
pub use log::{DnstapConfig, LogConfig};
pub use over_http::{Answered, Answers};
pub use policy::{
    AnswerConfig, Client, Dropped, Explanation, Follower, Known, LatencyConfig, PlaceConfig, Places,
    PlacesConfig, PlacesError, PoolHealth, Pools, Route, RouteConfig, RoutesConfig, StepExplanation,
    StepName, WhenDown, Which, check_places, check_routes, explain,
};
pub use protocol::{
    ClientSubnet, Cookie, Edns, HEADER_BYTES, MESSAGE_BYTES_MAX, Name, NameError, Query, Rejection,
    Transport, UDP_PAYLOAD_BYTES,
};
pub use publishing::Publisher;
pub use resolver::{
    BlockAnswer, Forward, ForwardTable, ResolverConfig, ResolverLimits, ResolverStale, ResolverStatus,
    ResolverTtl, UpstreamStatus, framed_messages, rewritten,
};
pub use running::{Dns, DnsParts, Prepared, ZoneSource, ZoneStatus};
pub use services::{Service, ServiceInstance, ServicesConfig};
pub use transfer::judge_transfer;
pub use tsig::{Algorithm, Key, KeyError, Keys, judge as judge_signature};
pub use update::judge_update;
pub use zone::{Fault, Faults, Figures, Limits, Loaded, Record, Zone, ZoneBuilder};
pub use zones::Zones;
