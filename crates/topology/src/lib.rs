//! The file `nines.toml`, and the only place where the tiers meet.
//!
//! A file arrives as text. [`load`] answers with a [`Checked`] topology, or with everything that is wrong
//! with the file ([`Rejected`]). [`Running::start`] makes a topology run, [`Running::reload`] changes it to
//! what the file says by then, [`Running::stop`] ends it, and a new process can take it over.
//!
//! Invariants:
//! - the types are the one description of the file: the JSON Schema is made from them, keys and values are
//!   checked against that schema, and serde reads into them;
//! - a file is used whole or not at all: what fails its check changes nothing;
//! - no tier knows another: services feed pools, and the edge is given pools, only here.

mod changes;
mod config;
mod effective;
mod file;
mod node_secret;
mod paths;
mod problem;
mod running;
mod schema;
mod status;

pub use changes::{Changes, NameChanges};
pub use config::{ADMIN_DEFAULT, NodeConfig, Topology};
pub use effective::effective;
pub use file::{Checked, load, parse};
pub use node_secret::SharedSecretError;
pub use problem::{Level, Problem, Rejected};
pub use running::{
    DnsExplainError, DnsFlushError, DnsRollError, EXCHANGE_BYTES_MAX, EndpointError, ExchangeError,
    ExplainError, Purge, PurgeError, PurgeMode, ReloadError, Running, StartError, StartOptions,
    TakeoverError, Told, explain_dns_file, explain_file, explain_layer4_file, sign_url,
};
pub use schema::json_schema;
pub use status::{
    CdnNodeStatus, CdnStatus, ListenerStatus, PoolWaiting, Readiness, RouteStatus, SiteStatus, Status,
};

// What the admin API and the command line show of the tiers, so that they need to know this crate only.
pub use balance::{EndpointExplanation, EndpointStatus, PoolExplanation, PoolStatus, State};
pub use dns::{
    Dropped as DnsDropped, Explained as DnsExplanation, Explanation as DnsRouteExplanation, KeyStatus,
    NextStep, Question as DnsQuestion, QuestionError as DnsQuestionError, ResolverStatus, RolledKey,
    SigningStatus, StepExplanation as DnsStepExplanation, UpstreamStatus, ZoneStatus,
};
pub use edge::{
    AccessLogTarget, CacheCounts, CacheExplanation, CacheOutcome, Explanation, FetchExplanation,
    FieldExplanation, KeptExplanation, MissStatus, Query, QueryError, RouteSeen, SignError, SignWish,
    SignedUrl, SiteCacheStatus, UnsharedExplanation,
};
pub use layer4::{
    ExplainError as Layer4ExplainError, Explanation as Layer4Explanation, ListenerStatus as Layer4Status,
    Question as Layer4Question,
};
pub use notation::Secret;
pub use push;
pub use services::{InstanceState, InstanceStatus, ServiceStatus};
