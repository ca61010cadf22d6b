//! The admin API over a real node, asked over real connections.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod answers;
mod bounds;
mod document;
mod pushes;
mod world;
