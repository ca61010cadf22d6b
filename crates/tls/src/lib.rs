//! TLS, all of it but the bytes: certificates by name, tickets, client certificates, and clients that verify.
//!
//! What the file says (`config`) is loaded into a [`Server`] for each listener and a [`Client`] for each pool. A
//! connection comes with a client's first message, and [`Server::choose`] answers by the name in it with a
//! configuration of rustls and the [`Terms`] that it sets for clients; what has been agreed on leaves as a
//! [`Peer`]. Certificates come from files (`pem`), from an authority of the node's own (`own`), or from whoever
//! has them [`Issued`]; OCSP responses from files too (`staple`), or from whoever fetches them ([`Staples`]). Sessions are resumed by [`Tickets`], which nodes with one secret read from each other.
//!
//! Invariants:
//! - A handshake sees one state of a name's certificates, whole; changed files (`watched`) are swapped in as a
//!   whole, or not at all.
//! - Nothing is kept about a session but in its ticket; a ticket is worth nothing where other terms hold.
//! - There is no early data: what is read was sent by somebody who is there now.
//! - Cryptography is aws-lc by rustls, and nothing else.

mod client;
mod clients;
mod config;
mod error;
mod events;
mod facts;
mod own;
mod peer;
mod pem;
mod provider;
mod server;
mod staple;
#[cfg(test)]
mod tests;
mod tickets;
mod watched;

pub use client::Client;
pub use clients::{ClientCertificate, Terms, client_cert};
pub use config::{
    Automatic, CertConfig, ClientTable, ClientTls, ClientsConfig, EdgeTls, OcspFetch, TicketsConfig,
    TlsConfig, TlsTable, Version, check_client, check_edge, check_server,
};
pub use error::Error;
pub use events::{Events, Failure};
pub use facts::demands_staple;
pub use peer::Peer;
pub use provider::{provider, system_time};
pub use server::{Challenges, Chosen, Issued, Refused, Server, ServerContext, Staple, Staples};
pub use tickets::Tickets;
