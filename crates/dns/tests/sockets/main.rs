//! A running DNS, asked over real sockets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod reloads;
mod resolver;
mod tcp;
mod udp;
mod upstream;
mod world;
