//! What a route's owner decides beside the rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of responses that set cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SetCookie {
    /// They are kept, cookie and all, where the origin itself says that they are fresh for a time (RFC 9111 §7.3: the cookie forbids
    /// nothing). Where only a heuristic or the route does, they are not: nobody has thought of the cookie.
    #[default]
    Explicit,
    /// They are never kept.
    Refuse,
    /// They are kept without the cookie.
    Strip,
}

/// The decisions for one route. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a response is fresh, whatever the origin says of time. What must not be stored is not.
    pub ttl: Option<u32>,
    /// How long it is fresh where the origin says nothing.
    pub ttl_default: Option<u32>,
    /// How long an error (404, 405, 410, 414, 501) is fresh where the origin says nothing.
    pub negative_ttl: Option<u32>,
    /// The least time, where it is stored at all.
    pub ttl_min: u32,
    /// The greatest time.
    pub ttl_max: u32,
    /// How much of the time since `Last-Modified` it is fresh where nobody says, in thousandths (RFC 9111 §4.2.2); 0 if it is not.
    pub heuristic_permille: u32,
    /// The greatest time of that kind.
    pub heuristic_max: u32,
    /// `stale-while-revalidate` where the origin has no word on it.
    pub stale_while_revalidate: u32,
    /// `stale-if-error` where the origin has no word on it.
    pub stale_if_error: u32,
    /// In the last part of its time, in thousandths, a response that is used often is asked for anew; 0 if none is.
    pub refresh_permille: u32,
    /// Responses that set cookies.
    pub set_cookie: SetCookie,
    /// Requests may demand (`no-cache`, `max-age`, `min-fresh`, `no-store`) and allow (`max-stale`). `only-if-cached` they may ask
    /// for in any case.
    pub is_client_heard: bool,
    /// Targeted fields and tags go on to clients: these are caches of their own.
    pub is_control_passed: bool,
    /// Request fields that responses differ by, beside those that `Vary` names; in lower case.
    pub vary: Box<[Box<str>]>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ttl: None,
            ttl_default: None,
            negative_ttl: None,
            ttl_min: 0,
            ttl_max: 365 * 86_400,
            heuristic_permille: 100,
            heuristic_max: 86_400,
            stale_while_revalidate: 0,
            stale_if_error: 86_400,
            refresh_permille: 100,
            set_cookie: SetCookie::default(),
            is_client_heard: true,
            is_control_passed: false,
            vary: Box::default(),
        }
    }
}
