//! Whether a response is encoded, and what its head says about it.

use crate::accept::trim;
use crate::config::Levels;
use crate::media::{self, TypePattern};
use crate::{Choice, Coding, CompressConfig, CompressOptions, EncodeError, Encoder, negotiate};

/// Fields of a response that are no longer true once its body is encoded: `Content-Length` (the end is found by
/// framing), `Accept-Ranges` (nobody can ask for bytes of what is made on the fly), and digests of the content
/// (RFC 9530, RFC 3230, RFC 1864).
pub const VOID_WHEN_ENCODED: [&str; 6] =
    ["content-length", "accept-ranges", "content-digest", "repr-digest", "digest", "content-md5"];

/// What is compressed by its own means: an outer coding would only hold messages back.
const NEVER: [&[u8]; 2] = [b"application/grpc", b"application/grpc-web"];

/// What is read while it is written: each piece reaches the client at once.
const STREAMS: [&[u8]; 2] = [b"text/event-stream", b"application/x-ndjson"];

/// How the responses of a site or a route are encoded: a [`CompressConfig`], compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Compression {
    codings: Vec<Coding>,
    types: Vec<TypePattern>,
    body_bytes_min: u64,
    levels: Levels,
}

/// What a response's head says, before anything is done to it. The answer to a HEAD is judged as that to a GET.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseFacts<'a> {
    /// Its status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// Whether there is a `Content-Range`.
    pub has_content_range: bool,
    /// Whether a `Cache-Control` forbids it: [`is_no_transform`].
    pub is_no_transform: bool,
    /// `ETag`.
    pub etag: Option<&'a [u8]>,
    /// `If-None-Match` of the request; only asked for with 304.
    pub if_none_match: Option<&'a [u8]>,
}

/// What is to be done with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// With its body, and with `Content-Encoding` and what [`VOID_WHEN_ENCODED`] names.
    pub action: Action,
    /// Whether the head must name `Accept-Encoding` in `Vary`, unless it does ([`is_vary_complete`]).
    pub is_vary_due: bool,
    /// Whether `W/` goes before the value of `ETag`: the encoded representation is not the same byte for byte as
    /// the one that the backend named (RFC 9110 §8.8.1).
    pub is_etag_weakened: bool,
}

/// What is to be done with a response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is encoded. An answer to HEAD has the same head, and no body.
    Encode {
        /// What goes into `Content-Encoding`.
        coding: Coding,
        /// Whether each piece is flushed as it comes: a stream of events. Otherwise a flush is due when the backend
        /// pauses and has not said how long the body is; where it has, it has all of it, and a flush would only
        /// cost some of the ratio.
        flushes_each_piece: bool,
    },
    /// It passes as it is.
    Pass(Reason),
}

/// Why a response passes as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its status says that there is no body, or only a part of one.
    Status,
    /// It is encoded already.
    Encoded,
    /// `Cache-Control: no-transform`.
    NoTransform,
    /// Its type is not among those that are encoded.
    Type,
    /// It is too short to gain by it.
    Short,
    /// The client takes none of the codings, or prefers it as it is.
    NotAccepted,
}

impl Reason {
    /// Its word in metrics and in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Encoded => "encoded",
            Self::NoTransform => "no-transform",
            Self::Type => "type",
            Self::Short => "short",
            Self::NotAccepted => "not-accepted",
        }
    }
}

impl Compression {
    /// A checked config, compiled; `None` if it switches compression off.
    pub fn new(config: &CompressConfig) -> Option<Self> {
        let options = match config {
            CompressConfig::Switch(false) => return None,
            CompressConfig::Switch(true) => &CompressOptions::default(),
            CompressConfig::Options(options) => options,
        };
        Some(Self {
            codings: options.codings.clone(),
            types: options.types.iter().filter_map(|name| TypePattern::parse(name)).collect(),
            body_bytes_min: options.min.get(),
            levels: options.level.clone(),
        })
    }

    /// What is done with a response to a client whose `Accept-Encoding` lines are `accept`.
    pub fn plan<'a>(&self, facts: &ResponseFacts<'_>, accept: impl IntoIterator<Item = &'a [u8]>) -> Plan {
        if let Some(reason) = self.obstacle(facts) {
            return self.unencoded(facts, reason);
        }
        match negotiate(accept, &self.codings) {
            Choice::Identity => {
                Plan { action: Action::Pass(Reason::NotAccepted), is_vary_due: true, is_etag_weakened: false }
            }
            Choice::Encode(coding) => Plan {
                action: Action::Encode { coding, flushes_each_piece: facts.is_one_of(&STREAMS) },
                is_vary_due: true,
                is_etag_weakened: facts.etag.is_some_and(is_strong),
            },
        }
    }

    /// An encoder for a body, at this config's level: see [`Encoder::lend`].
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn encoder(&self, coding: Coding, content_length: Option<u64>) -> Result<Encoder, EncodeError> {
        Encoder::lend(coding, self.levels.of(coding), content_length)
    }

    /// Why no client at all would get it encoded.
    fn obstacle(&self, facts: &ResponseFacts<'_>) -> Option<Reason> {
        if matches!(facts.status, ..200 | 204..=206 | 304) || facts.has_content_range {
            Some(Reason::Status)
        } else if facts.is_encoded() {
            Some(Reason::Encoded)
        } else if facts.is_no_transform {
            Some(Reason::NoTransform)
        } else if !self.names_type(facts) {
            Some(Reason::Type)
        } else if facts.content_length.is_some_and(|length| length < self.body_bytes_min.max(1)) {
            Some(Reason::Short)
        } else {
            None
        }
    }

    fn names_type(&self, facts: &ResponseFacts<'_>) -> bool {
        let essence = media::essence(facts.content_type.unwrap_or_default());
        !essence.is_empty()
            && !facts.is_one_of(&NEVER)
            && !is_grpc(essence)
            && self.types.iter().any(|pattern| pattern.matches(essence))
    }

    /// RFC 9110 §15.3.7, §15.4.5: 206 and 304 carry the `Vary` and `ETag` that a 200 would have had here.
    fn unencoded(&self, facts: &ResponseFacts<'_>, reason: Reason) -> Plan {
        let pass = Plan { action: Action::Pass(reason), is_vary_due: false, is_etag_weakened: false };
        let may_have_been = !facts.is_encoded() && !facts.is_no_transform;
        match facts.status {
            206 if may_have_been => Plan { is_vary_due: self.names_type(facts), ..pass },
            304 if may_have_been => {
                // A 304 seldom says which type it is about. What the client asks with says which representation
                // it holds: `W/"x"` is what became of the backend's `"x"` when it was encoded here.
                let is_held_weak = facts.etag.is_some_and(|etag| {
                    is_strong(etag) && facts.if_none_match.is_some_and(|held| names_weak(held, etag))
                });
                let is_vary_due = facts.content_type.is_none() || self.names_type(facts);
                Plan { is_vary_due, is_etag_weakened: is_held_weak, ..pass }
            }
            _ => pass,
        }
    }
}

impl ResponseFacts<'_> {
    fn is_encoded(&self) -> bool {
        let encoding = trim(self.content_encoding.unwrap_or_default());
        !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
    }

    fn is_one_of(&self, types: &[&[u8]]) -> bool {
        let essence = media::essence(self.content_type.unwrap_or_default());
        types.iter().any(|name| essence.eq_ignore_ascii_case(name))
    }
}

/// `application/grpc+proto` and its kin.
fn is_grpc(essence: &[u8]) -> bool {
    NEVER.iter().any(|name| {
        essence.len() > name.len()
            && essence[name.len()] == b'+'
            && essence[..name.len()].eq_ignore_ascii_case(name)
    })
}

/// Whether a `Cache-Control` line says `no-transform` (RFC 9111 §5.2.2.6).
pub fn is_no_transform(cache_control: &[u8]) -> bool {
    members(cache_control).any(|member| member.eq_ignore_ascii_case(b"no-transform"))
}

/// Whether a `Vary` line needs no `Accept-Encoding` added: it names it, or everything.
pub fn is_vary_complete(vary: &[u8]) -> bool {
    members(vary).any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"))
}

fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim)
}

/// RFC 9110 §8.8.3: `"x"`, and not `W/"x"`.
fn is_strong(etag: &[u8]) -> bool {
    matches!(etag, [b'"', .., b'"'])
}

/// Whether an `If-None-Match` holds `W/` and then this strong tag.
fn names_weak(held: &[u8], etag: &[u8]) -> bool {
    // An entity tag may hold commas, so that no list is split; no quote stands within a tag.
    (0..held.len()).any(|at| {
        held[at..].starts_with(b"W/")
            && held[at + 2..].starts_with(etag)
            && (at == 0 || b" \t,".contains(&held[at - 1]))
    })
}

#[cfg(test)]
mod tests;
