//! What can go wrong with zones.

use crate::protocol::NameError;
use crate::zone::Faults;
use thiserror::Error;

/// Why a zone cannot be served.
#[derive(Debug, Error)]
pub enum Error {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its text is wrong.
    #[error("zone {zone}: {}\n{faults}", counted(faults.len()))]
    Zone {
        /// The name of the zone.
        zone: String,
        /// Each fault with its place.
        faults: Faults,
    },
}

fn counted(faults: usize) -> String {
    if faults == 1 { "1 error".to_owned() } else { format!("{faults} errors") }
}
