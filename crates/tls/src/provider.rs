//! The one provider of cryptography, aws-lc, and the clock that certificates and tickets are judged by.

use crate::config::Version;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::{Arc, LazyLock};

/// The cryptography of every connection. It is handed to each configuration, so that nothing depends on what
/// else a process installs.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}

/// The machine's clock.
pub fn system_time() -> Arc<dyn TimeProvider> {
    Arc::new(rustls::time_provider::DefaultTimeProvider)
}

/// The clock's seconds since 1970; a clock that cannot be read stands at 0, where nothing is valid.
pub(crate) fn seconds(time: &dyn TimeProvider) -> u64 {
    time.current_time().map_or(0, |now: UnixTime| now.as_secs())
}

/// rustls' names for the versions.
pub(crate) fn supported(versions: &[Version]) -> Vec<&'static SupportedProtocolVersion> {
    let supported = |version: &Version| match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    versions.iter().map(supported).collect()
}
