//! Certificates from an ACME server (RFC 8555): ordered, kept, renewed, and their OCSP responses stapled.
//!
//! ```text
//! names ─► engine ─► order ─► ACME server
//!            │  ▲       │
//!            ▼  │       ▼
//!        Lookups └── store ◄──► other nodes
//!            │
//!            ▼
//!   handshakes, /.well-known/acme-challenge/
//! ```
//!
//! [`Acme::start`] runs one task on the control plane. It reads the `store`, a folder that several nodes may share,
//! and orders (`order`) what the pure decisions of `policy` call due: what is missing, and what has lived two thirds
//! of its life. Of the nodes that share a store, the one with the lease orders. What it is asked to show goes into
//! the store, where every node finds it and answers; what is issued goes there too. Whatever was read is put into
//! [`Lookups`], an immutable snapshot that is swapped whole; handshakes and requests ask nothing else. A
//! [`Stapler`] keeps OCSP responses fresh beside it, for these certificates and for those of files.
//!
//! Invariants:
//! - A handshake never waits for the store, and what a client sends is never part of a path.
//! - The store holds a certificate and its key that fit at any moment, whoever is killed when.
//! - After a failure nothing is ordered for a name until its time has come, on no node and after no restart.
//! - A certificate is used only if it fits its key and its name.

mod account_http;
mod acme;
mod certificate;
mod clock;
mod config;
mod directory;
mod engine;
mod error;
mod events;
mod http_client;
mod lookups;
mod names;
pub mod ocsp;
mod order;
mod policy;
mod status;
mod store;

pub use acme::{Acme, AcmeContext, Pace, Prepared};
pub use clock::{Clock, Hand};
pub use config::{AcmeConfig, ChallengeKind, ExternalAccount, check};
pub use directory::{BadDirectory, Directory};
pub use error::Error;
pub use lookups::Lookups;
pub use names::{BadName, check_name};
pub use ocsp::{StapleStatus, Stapler, StaplerContext, Watch};
pub use policy::{due, renewal};
pub use status::{AcmeStatus, CertificateState, CertificateStatus};
