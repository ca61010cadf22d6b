//! Signed URLs and cookies: who shows one may come, to one URL or to all below a path, until it expires.
//!
//! What is signed ([`text`]), how it is written into a query or a cookie ([`token`]), and by which keys ([`keys`]). A
//! signature is HMAC-SHA256 (RFC 2104). The same functions sign and judge; neither knows a clock.

mod config;
mod keys;
mod text;
mod token;

pub use config::{SignedConfig, check_signed};
pub use keys::{Asked, Grant, Signed, Unsigned};
pub use text::Scope;
pub use token::{BadToken, Token, retain_other_cookies, retain_others};
