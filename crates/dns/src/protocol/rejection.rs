//! A message that is no query we can answer, and what is said about it.

use super::HEADER_BYTES;
use super::edns::Edns;
use domain::base::iana::OptRcode;

/// Why a message is not answered as a query, with what an answer to it needs (RFC 8906).
#[derive(Debug, Clone)]
pub struct Rejection<'m> {
    /// The header, and the question if it was understood; `None` stays unanswered.
    pub(crate) head: Option<&'m [u8]>,
    /// FORMERR, NOTIMP or BADVERS; NOERROR for a client that asked for a cookie and nothing else.
    pub rcode: OptRcode,
    /// What was said by EDNS, if that was understood.
    pub edns: Option<Edns<'m>>,
}

impl<'m> Rejection<'m> {
    /// Too short for a header, or an answer itself: silence.
    pub(crate) fn unanswered() -> Self {
        Self { head: None, rcode: OptRcode::FORMERR, edns: None }
    }

    pub(crate) fn of(header: &'m [u8; HEADER_BYTES], rcode: OptRcode) -> Self {
        Self { head: Some(header), rcode, edns: None }
    }

    pub(crate) fn with_question(self, head: &'m [u8]) -> Self {
        Self { head: Some(head), ..self }
    }

    pub(crate) fn with_edns(self, edns: Edns<'m>) -> Self {
        Self { edns: Some(edns), ..self }
    }

    /// Whether it gets an answer at all. What is itself an answer, or too short for a header, gets none.
    pub fn is_answered(&self) -> bool {
        self.head.is_some()
    }
}
