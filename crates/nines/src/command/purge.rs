//! `nines purge`: responses out of the cache, or stale.

use super::Ended;
use crate::cli::PurgeArgs;
use crate::exit::Exit;
use crate::node::Node;
use crate::print;
use serde_json::{Value, json};

pub(super) fn run(args: &PurgeArgs) -> Ended {
    let what = &args.what;
    let (body, said) = match (&what.url, &what.prefix, &what.tag) {
        (Some(url), ..) => (json!({ "url": url, "soft": args.soft }), url.clone()),
        (_, Some(prefix), _) => (json!({ "prefix": prefix, "soft": args.soft }), format!("{prefix}*")),
        (.., Some(tag)) => (json!({ "tag": tag, "soft": args.soft }), format!("tag {tag}")),
        _ => (json!({ "all": true, "soft": args.soft }), "everything".to_owned()),
    };
    let _: Value = Node::find(&args.node)?.post("/api/v1/purge", &body)?;
    let done = if args.soft { "is stale from now on" } else { "is purged" };
    print::out(&format!("{said} {done}\n"));
    Ok(Exit::Done)
}
