//! What is answered, rule by rule. A test names a zone, asks, and reads the response as `domain` reads it.

pub(crate) mod agreement;
mod aliases;
mod basics;
mod chaos;
mod delegations;
mod dname;
pub(crate) mod edns;
pub(crate) mod reference;
mod truncation;
mod wildcards;
pub(crate) mod world;
mod zone_cuts;
