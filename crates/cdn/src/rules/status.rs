//! What statuses mean to a cache (RFC 9110 §15).

/// Whether freshness may be guessed where nobody says it (RFC 9110 §15.1).
pub(crate) fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether all that this status says to caches is understood (RFC 9111 §5.2.2.3).
pub(crate) fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=204 | 206 | 300..=303 | 307 | 308 | 400 | 401 | 403..=406 | 409 | 410 | 414 | 415 | 422 | 451 | 500..=505
    )
}

/// Whether a response is about its one request alone, whatever it says: to conditions and ranges that are no part of the key, or what
/// must not be stored (RFC 6585: 428, 429, 431, 511).
pub(crate) fn is_of_one_request(status: u16) -> bool {
    matches!(status, 304 | 407 | 408 | 412 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 511)
}
