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
    let answer: Value = Node::find(&args.node)?.post("/api/v1/purge", &body)?;
    let done = if args.soft { "is stale from now on" } else { "is purged" };
    print::out(&format!("{said} {done}{}\n", elsewhere(&answer["nodes"])));
    Ok(Exit::Done)
}

/// What the other nodes say to it. One that has not heard of it is told until it has: that is no failure.
fn elsewhere(nodes: &Value) -> String {
    let Some(pending) = nodes["pending"].as_array() else { return String::new() };
    let acknowledged = nodes["acknowledged"].as_u64().unwrap_or(0);
    let pending: Vec<&str> = pending.iter().filter_map(Value::as_str).collect();
    let here = if acknowledged > 0 { format!(", here and at {acknowledged} more") } else { ", here".into() };
    if pending.is_empty() { here } else { format!("{here}; not yet at {}", pending.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_a_purge_holds_and_where_not_yet() {
        assert_eq!(elsewhere(&Value::Null), "");
        assert_eq!(elsewhere(&json!({ "acknowledged": 2, "pending": [] })), ", here and at 2 more");
        let nodes = json!({ "acknowledged": 0, "pending": ["10.0.0.3:9900"] });
        assert_eq!(elsewhere(&nodes), ", here; not yet at 10.0.0.3:9900");
    }
}
