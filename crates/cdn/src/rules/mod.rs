//! What RFC 9111 says: pure decisions. Times are given, nothing is kept.

mod date;
mod directive;
mod lines;
mod stored;
mod structured;
mod targeted;

pub use directive::{RequestControl, ResponseControl, SECONDS_MAX};
pub use lines::Lines;
pub use stored::Stored;
pub use targeted::{CAPABILITY_LINE, NAME};
