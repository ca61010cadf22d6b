//! A running DNS, asked over real sockets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod publishing;
mod reloads;
mod signing;
mod tcp;
mod udp;
mod world;
