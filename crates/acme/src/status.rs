//! Certificates as people and programs see them from outside: the admin API serves these types as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The certificate of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateStatus {
    /// The name.
    pub name: String,
    /// What is known of it.
    pub state: CertificateState,
    /// Whether it is being ordered at this moment, by this node.
    pub ordering: bool,
    /// When it begins to be valid, in milliseconds of the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from_unix_ms: Option<u64>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until_unix_ms: Option<u64>,
    /// When it is ordered or renewed next; absent while that is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_unix_ms: Option<u64>,
    /// Orders that failed in a row.
    pub failures: u32,
    /// Why the last one failed, or why the store's certificate cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Whether there is a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// There is none yet.
    Missing,
    /// It is valid.
    Valid,
    /// It has ended.
    Expired,
}

impl CertificateState {
    /// The state in one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Valid => "valid",
            Self::Expired => "expired",
        }
    }
}

/// All certificates of one ACME server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcmeStatus {
    /// The server's directory.
    pub directory: String,
    /// The folder of its part of the store.
    pub store: String,
    /// Why the store cannot be used, while it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_error: Option<String>,
    /// By name.
    pub certificates: Vec<CertificateStatus>,
}
