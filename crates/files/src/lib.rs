//! Files of a folder as HTTP answers.
//!
//! A [`Request`] says which file is wanted and what the client knows and takes; it comes from any wire. [`Root`]
//! looks its path up (`path`, `lookup`, `opener`, `folder`; `recent`: what a core opened a moment ago), chooses among the file and its precompressed siblings (`siblings`), holds
//! the conditions of the request against the file's validators (`condition`, `validators`), and takes the ranges
//! that were asked for (`selected`, `range`, `multipart`). What leaves is an [`Answer`]: a status, header lines, and a [`Body`]
//! that names pieces of an open file (`reading`) and holds none of its bytes. A [`Vault`] is a folder whose files are named by
//! their content: who knows which one a path means has it answered alike.
//!
//! Invariants:
//! - Only regular files below the root are opened for a client: the kernel resolves the path (openat2,
//!   RESOLVE_BENEATH), nobody here compares prefixes.
//! - A path is decoded once, and two paths that differ in empty segments, `%2F` or dot segments never mean one file.
//! - An answer tells of one open file: what its head says was read from the descriptor that its body is read from.
//! - [`Root::answer_now`] and [`OpenFile::read_now`] do not wait for a disk.

mod absence;
mod answer;
mod check;
mod condition;
mod config;
mod error;
mod folder;
mod listing;
mod lookup;
pub mod multipart;
mod opener;
mod path;
pub mod range;
mod reading;
mod recent;
mod replies;
mod request;
mod root;
mod selected;
mod siblings;
#[cfg(test)]
mod tests;
mod types;
mod validators;
mod vault;

pub use answer::{Answer, Body, Part, Piece, Pieces, Representation};
pub use check::check;
pub use config::{Files, FilesConfig};
pub use error::Error;
pub use reading::{OpenFile, ReadNow};
pub use recent::Recent;
pub use request::{Fields, Method, Request};
pub use root::Root;
pub use types::MediaType;
pub use vault::{Document, Vault};
