//! Responses for tests.

use super::body::Body;
use super::object::Object;
use crate::Key;
use crate::key::KeyHasher;
use crate::rules::Stored;
use std::time::{Duration, SystemTime};

/// A response that is fresh for a minute.
pub(crate) fn stored() -> Stored {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Stored {
        status: 200,
        lines: (*b"Content-Type: text/plain\r\n").into(),
        unsent: [].into(),
        requested: time,
        received: time,
        initial_age: 0,
        lifetime: 60,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        not_stored: None,
        must_revalidate: false,
        no_cache: false,
        vary: [].into(),
        tags: [].into(),
        length: None,
        range: None,
    }
}

pub(crate) fn tagged(tags: &[&str]) -> Stored {
    Stored { tags: tags.iter().map(|tag| (*tag).into()).collect(), ..stored() }
}

pub(crate) fn object(key: &str, body: &[u8], asked: u64) -> Object {
    Object::new(self::key(key), stored(), Body::copy_of(body), asked)
}

/// A key, with one secret for all tests.
pub(crate) fn key(name: &str) -> Key {
    KeyHasher::new([1, 2]).key(name.as_bytes())
}
