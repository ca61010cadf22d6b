//! `access_log`: where lines go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the lines of a log go: `"off"`, `"stdout"`, `"stderr"`, or a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is appended to; reopened on reload.
    File(PathBuf),
}

impl From<String> for LogTarget {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            path => Self::File(path.into()),
        }
    }
}

impl From<LogTarget> for String {
    fn from(target: LogTarget) -> Self {
        match target {
            LogTarget::Off => "off".into(),
            LogTarget::Stdout => "stdout".into(),
            LogTarget::Stderr => "stderr".into(),
            LogTarget::File(path) => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_written_as_it_was_read() {
        for text in ["off", "stdout", "stderr", "logs/queries.log"] {
            let target = LogTarget::from(text.to_owned());
            assert_eq!(matches!(target, LogTarget::File(_)), text.contains('/'));
            assert_eq!(String::from(target), text);
        }
    }
}
