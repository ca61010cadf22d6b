//! `nines drain` and `nines undrain`: an endpoint out of work and back, by a person's wish.

use super::Ended;
use crate::cli::DrainArgs;
use crate::exit::Exit;
use crate::node::Node;
use crate::print;
use serde_json::{Value, json};

/// Which way.
#[derive(Clone, Copy)]
pub(super) enum Wish {
    /// No new requests.
    Drain,
    /// Requests again.
    Undrain,
}

pub(super) fn run(args: &DrainArgs, wish: Wish) -> Ended {
    let (path, says) = match wish {
        Wish::Drain => ("/api/v1/drain", "takes no new requests"),
        Wish::Undrain => ("/api/v1/undrain", "takes requests again"),
    };
    let done: Value =
        Node::find(&args.node)?.post(path, &json!({ "endpoint": args.endpoint, "pool": args.pool }))?;
    let endpoint = done["endpoint"].as_str().unwrap_or(&args.endpoint);
    print::out(&format!("{endpoint} {says}\n"));
    Ok(Exit::Done)
}
