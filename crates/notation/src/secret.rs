//! A value that is never printed: it comes from the environment or a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use thiserror::Error;

/// Where a secret is found: `{ env = "TOKEN" }` or `{ file = "/run/secrets/token" }`.
/// The value itself is read by [`Secret::reveal`] and is in no `Debug`, no log and no effective file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// The name of an environment variable.
    Env(String),
    /// A file that holds the secret; a final line break is not part of it.
    File(PathBuf),
}

/// Why a secret could not be read; it names the place, never the value.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is unset, empty or not Unicode.
    #[error("environment variable {0} is not set")]
    Env(String),
    /// The file cannot be read.
    #[error("secret file {}: {source}", path.display())]
    File {
        /// The file's path as written.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("secret file {} is empty", .0.display())]
    Empty(PathBuf),
}

impl Secret {
    /// Reads the value, which is never empty.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Self::Env(name) => {
                std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| SecretError::Env(name.clone()))
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::File { path: path.clone(), source })?;
                let value = text.trim_end_matches(['\r', '\n']);
                if value.is_empty() {
                    return Err(SecretError::Empty(path.clone()));
                }
                Ok(value.to_owned())
            }
        }
    }
}
