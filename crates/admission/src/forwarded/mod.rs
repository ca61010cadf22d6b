//! Who the client behind trusted proxies is, by what they say.

mod node;
mod parse;
mod real_client;

pub use node::Node;
pub use parse::{Malformed, parse_forwarded};
pub use real_client::real_client;
