//! Zones are signed, and whoever trusts their keys asks: every answer is proven.

mod incremental;
mod kept;
mod on_demand;
mod proofs;
mod rolling;
mod routes;
mod world;
