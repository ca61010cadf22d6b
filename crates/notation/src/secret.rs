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
            Self::Env(name) => std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| SecretError::Env(name.clone())),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(text: &str) -> (Secret, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (Secret::File(path), dir)
    }

    #[test]
    fn a_secret_in_a_file_ends_before_its_line_break() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let (secret, _dir) = file_with(text);
            assert_eq!(secret.reveal().unwrap(), "s3cret");
        }
        let (secret, _dir) = file_with(" two words \n");
        assert_eq!(secret.reveal().unwrap(), " two words ", "spaces are part of it");
    }

    #[test]
    fn an_empty_secret_is_none() {
        for text in ["", "\n"] {
            let (secret, _dir) = file_with(text);
            assert!(matches!(secret.reveal(), Err(SecretError::Empty(_))));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Secret::File("/no/such/file".into()).reveal().unwrap_err();
        assert!(error.to_string().starts_with("secret file /no/such/file: "), "{error}");
        let error = Secret::Env("NINES_TEST_THIS_IS_NOT_SET".into()).reveal().unwrap_err();
        assert_eq!(error.to_string(), "environment variable NINES_TEST_THIS_IS_NOT_SET is not set");
    }

    #[test]
    fn a_secret_in_the_environment_is_read() {
        // PATH is set wherever tests run.
        assert_eq!(Secret::Env("PATH".into()).reveal().ok(), std::env::var("PATH").ok());
    }

    #[test]
    fn printing_shows_the_place_and_not_the_value() {
        let (secret, _dir) = file_with("s3cret");
        assert!(secret.reveal().is_ok());
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
