//! What can go wrong with zones, and with serving them.

use crate::protocol::NameError;
use crate::zone::Faults;
use std::io;
use std::path::PathBuf;
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
    /// A log cannot be written.
    #[error("[dns.log] {}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
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
    /// The key that the zone above points to cannot be replaced as it was wished.
    #[error("zone {zone}: {why}")]
    Rolling {
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
    /// A key cannot be used.
    #[error("key {name}: {cause}")]
    Key {
        /// Its name.
        name: String,
        /// Why; never its secret.
        cause: String,
    },
    /// What was changed of a zone cannot be laid over its file.
    #[error("zone {zone}: {cause}")]
    Journal {
        /// Its name.
        zone: String,
        /// Why.
        cause: String,
    },
    /// The thread for zones that change cannot be made.
    #[error("cannot start the thread for zones that change: {0}")]
    Keeper(std::io::Error),
    /// `cores` cannot change while nines runs.
    #[error("[dns] cores cannot change while running: restart with --takeover")]
    CoresChanged,
}

fn counted(faults: usize) -> String {
    if faults == 1 { "1 error".to_owned() } else { format!("{faults} errors") }
}
