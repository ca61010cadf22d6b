//! Zones are signed, and whoever trusts their keys asks: every answer is proven.

mod incremental;
mod kept;
mod proofs;
mod routes;
mod world;
