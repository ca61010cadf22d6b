//! Who the client behind trusted proxies is and how it came, by what they say.

mod node;
mod parse;
mod real_client;

pub use node::Node;
pub use parse::{Hop, Malformed, parse_forwarded};
pub use real_client::{came_by_https, real_client};
