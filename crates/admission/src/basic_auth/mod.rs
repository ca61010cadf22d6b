//! Users and passwords of HTTP (RFC 7617).

mod config;
mod credentials;
mod gate;
mod htpasswd;
mod verifiers;

pub use config::{BasicAuthConfig, check_basic_auth};
pub use credentials::{Credentials, parse_basic};
pub use gate::{BasicAuth, Judged, Refusal, Verification};
pub use verifiers::Verifiers;
