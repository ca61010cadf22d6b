//! From what a zone consists of to what is served.

use crate::zone::Zone;
use std::sync::Arc;

/// What is served of the content of a zone, wherever that came from: a transfer, or a file with a journal. The one place between both.
pub(crate) fn served(content: Arc<Zone>) -> Arc<Zone> {
    content
}
