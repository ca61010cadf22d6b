//! The built binary, used as people and service managers use it.

mod alone;
mod control;
mod load;
mod manager;
mod start;
mod stop;
mod takeover;
mod world;
