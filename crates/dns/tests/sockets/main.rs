//! A running DNS, asked over real sockets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod changes;
mod dot;
mod limits;
mod logs;
mod publishing;
mod reloads;
mod resolver;
mod signed_changes;
mod signing;
mod tcp;
mod udp;
mod upstream;
mod world;
