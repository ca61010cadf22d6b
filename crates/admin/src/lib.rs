//! The HTTP API over a running topology
