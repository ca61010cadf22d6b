//! What can go wrong with zones, and with serving them.

use crate::protocol::NameError;
use crate::zone::Faults;
use thiserror::Error;

/// Why a zone cannot be loaded, or DNS not be served.
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
    /// A signature cannot be made: of that there is no more to say.
    #[error("a signature could not be made")]
    Sign,
    /// A zone cannot be signed.
    #[error("zone {zone} cannot be signed: {why}")]
    Signing {
        /// The name of the zone.
        zone: String,
        /// Lower case, no full stop.
        why: String,
    },
    /// Keys of a zone cannot be read or kept.
    #[error("{}: {why}", path.display())]
    Keys {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Lower case, no full stop.
        why: String,
    },
    /// An address cannot be listened on, or a thread not be made.
    #[error(transparent)]
    Cores(#[from] cores::Error),
    /// `cores` cannot change while nines runs.
    #[error("[dns] cores cannot change while running: restart with --takeover")]
    CoresChanged,
}

fn counted(faults: usize) -> String {
    if faults == 1 { "1 error".to_owned() } else { format!("{faults} errors") }
}
