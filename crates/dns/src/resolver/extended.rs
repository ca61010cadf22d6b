//! Why an answer is what it is, for those who speak EDNS (RFC 8914 §4).

use super::upstream::Failure;
use domain::base::iana::OptRcode;

/// Beyond its time, because nobody answers (RFC 8767).
const STALE: u16 = 3;
const STALE_NXDOMAIN: u16 = 19;
const DNSSEC_BOGUS: u16 = 6;
/// On a list of the file's.
pub(super) const BLOCKED: u16 = 15;
/// The client may not ask.
pub(super) const PROHIBITED: u16 = 18;
/// None of those who are asked has answered, or none could.
const NO_REACHABLE_AUTHORITY: u16 = 22;

/// Why there is no answer.
pub(super) fn of_failure(failure: Failure) -> u16 {
    match failure {
        Failure::Silence | Failure::Refused => NO_REACHABLE_AUTHORITY,
        Failure::Bogus => DNSSEC_BOGUS,
    }
}

/// Of an answer that is used beyond its time.
pub(super) fn of_stale(rcode: OptRcode) -> u16 {
    if rcode == OptRcode::NXDOMAIN { STALE_NXDOMAIN } else { STALE }
}
