//! OCSP (RFC 6960, in the profile of RFC 5019): what the authority says of a certificate now, fetched by the
//! server and stapled to its handshakes, so that no client has to ask.
//!
//! `subject` reads what to ask and whom out of a chain, `response` judges the answer, [`Stapler`] keeps the answers
//! fresh that somebody has a [`Watch`] on. An answer is stapled only if a client would believe it: of this certificate, signed by its issuer or by
//! whom the issuer delegated, "good", and of now.

mod response;
mod stapler;
mod subject;

pub use response::Refused;
pub use stapler::{StapleStatus, Stapler, StaplerContext, Watch};

/// Judges the bytes of a response as [`Stapler`] does: for fuzzing.
#[doc(hidden)]
pub fn judge(
    response: &[u8],
    chain: &[rustls::pki_types::CertificateDer<'_>],
    now: std::time::SystemTime,
) -> Result<(), Refused> {
    let Ok(subject) = subject::Subject::of(chain) else { return Ok(()) };
    response::judge(response, &subject, now).map(|_| ())
}
