//! Whether a request that has found its route is served: everything that is asked before it costs anybody anything.

use crate::arrival::Secure;
use crate::connection::Client;
use crate::core::{Snapshot, Work};
use crate::error::Refusal;
use crate::sites::Site;

/// Lets a request through, and notes the lines that its answer gets, whatever that is.
pub(crate) fn pass(
    snapshot: &Snapshot,
    client: &Client,
    work: &mut Work,
    site: &Site,
) -> Result<(), Refusal> {
    let secure = client.peer.secure.as_ref();
    if secure.is_some() {
        work.extra.extend_from_slice(&site.secure_lines);
    }
    if let (None, Some(port)) = (secure, site.https_port) {
        return Err(Refusal::HttpsOnly(port));
    }
    // RFC 9110 §7.4: who was asked for nothing, or for another certificate, has not come to this site.
    if site.asks_for_certificates {
        let host = std::str::from_utf8(&work.host).unwrap_or_default();
        let was_asked =
            |secure: &Secure| snapshot.tls.as_ref().is_some_and(|tls| tls.server.allows(&secure.terms, host));
        if !secure.is_some_and(was_asked) {
            return Err(Refusal::Certificate);
        }
    }
    Ok(())
}
