//! A certificate as handshakes get it: with the OCSP response of now.

use super::Staple;
use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A certificate with its key. Its staple may change, nothing else of it.
pub(super) struct Shown {
    now: ArcSwap<CertifiedKey>,
    /// Who has the response, if it comes from a responder.
    staple: Option<Box<dyn Staple>>,
}

impl Shown {
    pub(super) fn new(key: CertifiedKey, staple: Option<Box<dyn Staple>>) -> Self {
        let shown = Self { now: ArcSwap::from_pointee(key), staple };
        shown.refresh();
        shown
    }

    pub(super) fn now(&self) -> Arc<CertifiedKey> {
        self.now.load_full()
    }

    /// Lets handshakes have the response of now, or none if there is none any more.
    pub(super) fn refresh(&self) {
        let Some(staple) = &self.staple else { return };
        let (before, response) = (self.now.load(), staple.response());
        if before.ocsp.as_ref() != response.as_deref() {
            let mut key = CertifiedKey::clone(&before);
            key.ocsp = response.as_deref().cloned();
            self.now.store(Arc::new(key));
        }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The first certificate whose signature the client can verify.
pub(super) fn pick(keys: &[Shown], hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
    let schemes = hello.signature_schemes();
    keys.iter().map(Shown::now).find(|key| key.key.choose_scheme(schemes).is_some())
}
