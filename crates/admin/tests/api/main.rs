//! The admin API over a real node, asked over real connections.

mod answers;
mod bounds;
mod document;
mod world;
