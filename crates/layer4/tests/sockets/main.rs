//! Layer 4 with real sockets: clients, endpoints and all that is in between, in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod tcp;
mod tls;
mod udp;
mod world;
