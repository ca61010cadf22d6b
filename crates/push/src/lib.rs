//! Files that are pushed.
//!
//! A folder ([`folder`]) becomes a release: [`rewrite`] points its pages to names that change with the content ([`fingerprint`]),
//! [`Difference`] says what a store has not, and a [`Manifest`] says which content each path has. A store ([`Assets`])
//! keeps blobs by their hashes, takes those that are new, and switches to a release at once; `served` says what a path
//! leads to, and the answer is made as the crate `files` makes its own.
//!
//! Invariants:
//! - A blob has its content: it gets its name once it was hashed where it lies.
//! - A release is whole: a manifest is written after all that it names, and a request sees one release.
//! - What was acknowledged survives any end of the process.
//! - A fingerprinted name leads to one content for as long as it leads anywhere.

mod config;
mod difference;
mod error;
mod events;
mod fingerprint;
pub mod folder;
mod hash;
mod manifest;
mod path;
pub mod rewrite;
mod served;
mod store;

pub use config::{FromConfig, PushConfig, PushFrom, S3Config, check};
pub use difference::Difference;
pub use error::Error;
pub use fingerprint::fingerprinted;
pub use hash::{BadHash, Hash, Hasher};
pub use manifest::{BadReleaseName, Blob, Draft, DraftEntry, Entry, FILES_MAX, Manifest, ReleaseName};
pub use path::{AssetPath, BadPath};
pub use store::{Assets, Collected, Keeper, Missing, PART_BYTES_MAX, ReleaseSeen, Uploaded};
