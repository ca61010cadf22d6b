//! Whole pools: what is picked after what has happened.

mod choosing;
mod config_checks;
mod discovery;
mod ejection;
mod explaining;
mod health_checks;
mod members;
mod never;
mod sticky;
mod telling;
mod transports;
mod world;
