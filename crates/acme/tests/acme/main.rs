//! Nodes that order from an ACME server of the tests' own, which looks at them as a real one would.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod authority;
mod files;
mod node;
mod ocsp;
mod orders;
mod server;
mod sharing;
mod staples;
