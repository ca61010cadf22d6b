//! Why services cannot be started.

use notation::SecretError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a service cannot be started. Nothing has been changed when one of these is returned.
#[derive(Debug, Error)]
pub enum Error {
    /// There is nothing to run.
    #[error("service {service}: `run` names no program")]
    NoProgram {
        /// The service.
        service: String,
    },
    /// The program is not there, or is no program.
    #[error("service {service}: program {program}: {reason}")]
    Program {
        /// The service.
        service: String,
        /// The program as written, with `$NINES` replaced.
        program: String,
        /// Where it was looked for and what was wrong.
        reason: String,
    },
    /// The working directory cannot be entered.
    #[error("service {service}: dir {}: {source}", dir.display())]
    Directory {
        /// The service.
        service: String,
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A secret of its environment cannot be read.
    #[error("service {service}: env {variable}: {source}")]
    Secret {
        /// The service.
        service: String,
        /// The variable that the service would have got.
        variable: String,
        /// Why not.
        source: SecretError,
    },
}
