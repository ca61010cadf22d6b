//! HTTP/1.1 as bytes and messages (RFC 9112), without I/O: what a client or a backend sent, made sure of.
//!
//! A head is kept as places ([`Span`]) in the buffer it was read into, so that nothing is copied to
//! understand it, and whole runs of its lines are copied at once when it is passed on.
//! Everything here is strict: a message that two implementations could frame differently is refused, since
//! that is what request smuggling is made of.

mod body;
mod chunked;
mod emit;
mod field;
mod head;
mod method;
mod request;
mod response;
mod target;

pub use body::{BadBody, Body, Decoded};
pub use chunked::ChunkDecoder;
pub(crate) use emit::{copy_kept_lines, write_chunk_start, write_length, write_status_line};
pub use field::{Field, FieldKind};
pub(crate) use head::is_nominated;
pub use head::{BadHead, Connection, Span, Version};
pub use method::Method;
pub use request::{RequestHead, RequestLimits, Upgrade};
pub use response::ResponseHead;
pub use target::{TargetForm, host_without_port, is_valid_host, normalized_path};
