//! The only crate that talks to the kernel beyond std, and the only one that may say `unsafe`.
//!
//! In the order of a start: [`raise_open_files`] makes room, [`is_taken`] and [`listening_process`] tell who
//! holds a port, [`listen_tcp`] opens it once a core, [`handover`] passes the open sockets to the next
//! binary, [`notify`] tells the service manager, by the clock of [`monotonic`]. [`tcp_quiet`] asks a
//! connection whether it is fit for another request. [`listen_udp`] and [`connect_udp`] open sockets for datagrams,
//! which [`Datagrams`] receives and sends by the batch, and [`Answers`] answers. [`process`] keeps children in groups that end with us,
//! and [`PerCore`] keeps what cores count out of each other's cache lines.
//!
//! Invariant: every function is one conversation with the kernel and remembers nothing, but for the limit of
//! open files before it was raised, which children get back.

mod clock;
mod datagrams;
pub mod handover;
mod limits;
mod notify;
mod owner;
mod per_core;
pub mod process;
mod tcp;
mod udp;

pub use clock::monotonic;
pub use datagrams::{Answers, BATCH_MAX, DATAGRAM_BYTES_MAX, Datagram, Datagrams, Towards, send_datagram};
pub use limits::{cores, raise_open_files};
pub use notify::notify;
pub use owner::{Process, listening_process, listening_process_udp};
pub use per_core::PerCore;
pub use tcp::{is_taken, listen_tcp, tcp_quiet};
pub use udp::{connect_udp, is_taken_udp, listen_udp};
