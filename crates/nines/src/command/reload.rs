//! `nines reload`: the changed file for the running node.

use super::Ended;
use crate::cli::ReloadArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::{FILE_DEFAULT, Node, NodeError};
use crate::print;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use topology::{Changes, Problem};

/// Unprocessable content: the file was read, and is wrong.
const FILE_WRONG: u16 = 422;

pub(super) fn run(args: &ReloadArgs) -> Ended {
    match Node::find(&args.node)?.post::<Changes>("/api/v1/reload", &json!({})) {
        Ok(changes) if args.json => print::json(&changes),
        Ok(changes) => print::out(&format!("reloaded: {changes}\n")),
        Err(NodeError::Refused { status: FILE_WRONG, detail, body }) => {
            if args.json {
                print::json(&body);
            } else {
                print::error(detail);
                print::err(&problems(args.node.file.as_deref(), &body["problems"]));
            }
            return Ok(Exit::FileWrong);
        }
        Err(error) => return Err(Failure::from(error)),
    }
    Ok(Exit::Done)
}

/// The problems with excerpts when the file here is the one that the node read, else a line each.
fn problems(file: Option<&Path>, sent: &Value) -> String {
    let sent: Vec<Problem> = serde_json::from_value(sent.clone()).unwrap_or_default();
    let path = file.map_or_else(|| PathBuf::from(FILE_DEFAULT), Path::to_owned);
    match topology::load(&path) {
        Err(rejected) if says_the_same(&rejected.problems, &sent) => rejected.render(print::stderr_colors()),
        _ => sent.iter().map(|problem| problem.one_line() + "\n").collect(),
    }
}

/// Whether two lists differ only in how they name the file: we may stand in another folder than the node.
fn says_the_same(ours: &[Problem], theirs: &[Problem]) -> bool {
    let same =
        |(a, b): (&Problem, &Problem)| (a.line, a.column, &a.message) == (b.line, b.column, &b.message);
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}
