//! `nines status`: the running node at a glance.

mod cache;
mod page;

use super::Ended;
use crate::cli::StatusArgs;
use crate::exit::Exit;
use crate::node::Node;
use crate::print::{self, Paint};
use std::time::{Duration, SystemTime};
use topology::Status;

const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Moves to the upper left corner and clears from there: the page is drawn over the last one.
const REDRAW: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &StatusArgs) -> Ended {
    let node = Node::find(&args.node)?;
    if args.json {
        let path = if args.cache { "/api/v1/cdn" } else { "/api/v1/status" };
        print::json(&node.get::<serde_json::Value>(path)?);
        return Ok(Exit::Done);
    }
    let paint = Paint::new(print::stdout_colors());
    loop {
        let page = if args.cache {
            cache::page(&node.get("/api/v1/cdn")?, paint)
        } else {
            let status: Status = node.get("/api/v1/status")?;
            page::page(&status, paint, SystemTime::now())
        };
        if !args.watch {
            print::out(&page);
            return Ok(Exit::Done);
        }
        print::out(&format!("{}{page}", if print::stdout_colors() { REDRAW } else { "" }));
        std::thread::sleep(WATCH_EVERY);
    }
}
