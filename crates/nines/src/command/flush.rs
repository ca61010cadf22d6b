//! `nines dns flush`: what the resolver keeps of a name is forgotten.

use super::Ended;
use crate::cli::FlushArgs;
use crate::exit::Exit;
use crate::node::Node;
use crate::print;
use serde_json::{Value, json};

pub(super) fn run(args: &FlushArgs) -> Ended {
    let body = json!({ "name": args.name, "below": args.below });
    let done: Value = Node::find(&args.node)?.post("/api/v1/dns/flush", &body)?;
    let flushed = done["flushed"].as_u64().unwrap_or_default();
    print::out(&format!("{flushed} answer{} forgotten\n", if flushed == 1 { "" } else { "s" }));
    Ok(Exit::Done)
}
