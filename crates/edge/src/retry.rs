//! Whether a request that failed on one endpoint is tried on another.

use crate::exchange::Reach;
use crate::protocol::Method;
use balance::{RetryConfig, RetryOn};

/// What is known of a try that failed.
pub(crate) struct Tried {
    /// The kind of failure; `None` for one that no other endpoint would cure.
    pub(crate) on: Option<RetryOn>,
    pub(crate) sent: Reach,
    pub(crate) method: Method,
}

/// Whether the file and the method allow another try. What was never sent may always be tried again; what
/// was, only if sending it twice is the same as once (RFC 9110 §9.2.2).
pub(crate) fn is_allowed(config: &RetryConfig, tried: &Tried) -> bool {
    let may_repeat = match tried.sent {
        Reach::Nowhere => true,
        Reach::Replayable => tried.method.is_idempotent(),
        Reach::Passed => false,
    };
    may_repeat && tried.on.is_some_and(|on| config.on.contains(&on))
}

/// The name by which the file asks to try a status again.
pub(crate) fn unwanted_as(status: u16) -> Option<RetryOn> {
    match status {
        502 => Some(RetryOn::BadGateway),
        503 => Some(RetryOn::Unavailable),
        504 => Some(RetryOn::GatewayTimeout),
        _ => None,
    }
}

/// Whether a response with this status is dropped in favour of another try.
pub(crate) fn is_unwanted(config: &RetryConfig, status: u16, method: Method) -> bool {
    unwanted_as(status).is_some_and(|on| config.on.contains(&on)) && method.is_idempotent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_retried_only_if_it_may_be_sent_twice() {
        let config = RetryConfig::default();
        let allowed = |on, sent, method| is_allowed(&config, &Tried { on: Some(on), sent, method });
        assert!(allowed(RetryOn::Connect, Reach::Nowhere, Method::Post));
        assert!(allowed(RetryOn::Reset, Reach::Replayable, Method::Get));
        assert!(!allowed(RetryOn::Reset, Reach::Replayable, Method::Post));
        assert!(!allowed(RetryOn::Reset, Reach::Passed, Method::Put), "its body is gone");
        assert!(!allowed(RetryOn::FirstByte, Reach::Replayable, Method::Get), "not asked for by default");
        assert!(!is_allowed(&config, &Tried { on: None, sent: Reach::Nowhere, method: Method::Get }));
    }

    #[test]
    fn a_status_is_retried_only_where_the_file_names_it() {
        let named = RetryConfig { on: vec![RetryOn::Unavailable], ..RetryConfig::default() };
        assert!(is_unwanted(&named, 503, Method::Get));
        assert!(!is_unwanted(&named, 503, Method::Post));
        assert!(!is_unwanted(&named, 502, Method::Get));
        assert!(!is_unwanted(&named, 500, Method::Get));
    }
}
