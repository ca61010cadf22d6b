use super::Stored;
use std::time::{Duration, UNIX_EPOCH};

pub(crate) fn stored() -> Stored {
    Stored {
        status: 200,
        lines: Box::default(),
        unsent: Box::default(),
        requested: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        received: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        initial_age: 0,
        lifetime: 60,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        must_revalidate: false,
        no_cache: false,
        vary: Box::default(),
        tags: Box::default(),
        length: None,
        range: None,
        not_stored: None,
    }
}
