//! References in HTML and CSS, pointed to fingerprinted names.
//!
//! [`html`] and [`css`] find where references stand, [`srcset`] splits lists of them, [`mod@reference`] says which file one
//! leads to and writes it anew; [`plan()`] does this for a whole folder, leaves first, since what a file refers to decides
//! what it contains, and so its own name.
//!
//! Invariant: bytes that are no reference to a file of the release are copied as they are.

pub mod css;
pub mod html;
mod plan;
mod reference;
mod srcset;

pub use plan::{Rewritten, plan};
pub use reference::Base;
