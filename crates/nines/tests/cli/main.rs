//! The built binary, used as people and service managers use it.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod alone;
mod control;
mod load;
mod manager;
mod push;
mod start;
mod stop;
mod takeover;
mod world;
