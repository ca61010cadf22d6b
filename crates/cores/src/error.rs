//! What can go wrong: an address that cannot be had, a thread that cannot be made.

use crate::socket::Address;
use std::io;
use thiserror::Error;

/// Why sockets could not be opened, or cores not started.
#[derive(Debug, Error)]
pub enum Error {
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address, as in the file.
        address: Address,
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody listens there already.
    #[error("{address} is already taken{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    Taken {
        /// The address, as in the file.
        address: Address,
        /// "nginx (pid 42)", where that can be known.
        holder: Option<String>,
    },
    /// A core's thread could not be made.
    #[error("cannot start a core: {0}")]
    Core(io::Error),
}
