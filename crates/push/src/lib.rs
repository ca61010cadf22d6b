//! Files that are pushed.
//!
//! A folder becomes a release: [`rewrite`] points its pages to names that change with the content ([`fingerprint`]),
//! [`Difference`] says what a store has not, and a [`Manifest`] says which content each path has.

mod difference;
mod fingerprint;
mod hash;
mod manifest;
mod path;
pub mod rewrite;

pub use difference::Difference;
pub use fingerprint::fingerprinted;
pub use hash::{BadHash, Hash, Hasher};
pub use manifest::{BadReleaseName, Blob, Draft, DraftEntry, Entry, FILES_MAX, Manifest, ReleaseName};
pub use path::{AssetPath, BadPath};
