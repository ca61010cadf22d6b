//! The reverse proxy: listeners, HTTP/1.1, sites and routes.

mod config;

pub use config::*;
