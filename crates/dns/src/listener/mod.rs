//! Sockets: messages come in, are answered from the core's snapshot, and their answers leave.

pub(crate) mod responder;
mod special;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod udp;

pub(crate) use responder::draw;
mod wire;
