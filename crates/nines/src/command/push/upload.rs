//! Sends what a node has not, many at once, and has the release made.

use super::progress::Progress;
use crate::failure::Failure;
use crate::node::{Node, NodeError};
use files::MediaType;
use push::folder::{Content, Plan};
use push::{Blob, Hash, Missing, PART_BYTES_MAX, ReleaseSeen};
use serde::Deserialize;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// How often what went missing meanwhile is sent again.
const ROUNDS_MAX: usize = 3;
/// How often a part is sent that did not get through.
const TRIES_MAX: usize = 3;

/// How far an upload is, as the node says.
#[derive(Deserialize)]
struct Uploaded {
    offset: u64,
    is_stored: bool,
}

/// Pushes a plan to the store `at` this path.
pub(super) fn push(node: &Node, at: &str, plan: &Plan, parallel: usize) -> Result<ReleaseSeen, Failure> {
    let mut wanted: Vec<Blob> = plan
        .contents
        .iter()
        .map(|(hash, content)| Blob { hash: *hash, size_bytes: content.size_bytes })
        .collect();
    let mut round = 0;
    loop {
        let missing: Vec<Missing> = node.post_patiently(&format!("{at}/missing"), &wanted)?;
        send_all(node, at, plan, &missing, parallel)?;
        round += 1;
        match node.post_patiently(&format!("{at}/releases"), &plan.draft) {
            Ok(seen) => return Ok(seen),
            Err(NodeError::Refused { status: 409, detail, body }) => {
                let gone = gone(&body).filter(|_| round < ROUNDS_MAX);
                wanted = gone.ok_or(Failure::Failed(detail))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the node says that it has not any more.
fn gone(problem: &Value) -> Option<Vec<Blob>> {
    serde_json::from_value(problem.get("missing")?.clone()).ok()
}

fn send_all(node: &Node, at: &str, plan: &Plan, missing: &[Missing], parallel: usize) -> Result<(), Failure> {
    let sized = |missing: &Missing| {
        plan.contents
            .get(&missing.hash)
            .map_or(0, |content| content.size_bytes - missing.offset.min(content.size_bytes))
    };
    let mut progress = Progress::begin(missing.len(), missing.iter().map(sized).sum());
    let next = AtomicUsize::new(0);
    let (told, tell) = mpsc::channel();
    let outcome = thread::scope(|scope| {
        let workers: Vec<_> = (0..parallel.min(missing.len()))
            .map(|_| {
                let told = told.clone();
                scope.spawn(|| {
                    let told = told;
                    while let Some(missing) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(content) = plan.contents.get(&missing.hash) else { continue };
                        let sent = send(node, at, missing, content, &told);
                        if sent.is_err() {
                            // Whoever has begun goes on to its end, and nobody begins anew.
                            next.store(usize::MAX / 2, Ordering::Relaxed);
                            return sent;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        drop(told);
        progress.follow(&tell);
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect::<Result<Vec<()>, Failure>>().map(drop)
    });
    progress.end(outcome.is_ok());
    outcome
}

/// Bytes that were sent, and whether a file ended with them.
pub(super) type Step = (u64, bool);

/// Sends one file, from where an earlier upload of it ended.
fn send(
    node: &Node,
    at: &str,
    missing: &Missing,
    content: &Content,
    told: &mpsc::Sender<Step>,
) -> Result<(), Failure> {
    let media_type = MediaType::of_name(content.path.as_str().as_bytes());
    let (mut offset, mut tries) = (missing.offset, 0);
    loop {
        let part = content.part(offset, PART_BYTES_MAX);
        let part = part.map_err(|error| Failure::Failed(format!("{}: {error}", content.path)))?;
        if part.is_empty() && offset < content.size_bytes {
            return Err(changed(content));
        }
        let url = format!("{at}/blobs/{}?size={}&offset={offset}", missing.hash, content.size_bytes);
        match node.put::<Uploaded>(&url, &media_type, &part) {
            Ok(uploaded) => {
                tries = 0;
                // Who has it is not in need of the part.
                let sent = uploaded.offset.saturating_sub(offset);
                offset = uploaded.offset;
                // Nobody listens any more only where this process ends.
                let _unheard = told.send((sent, uploaded.is_stored));
                if uploaded.is_stored {
                    return Ok(());
                }
            }
            // Another upload of the same has come farther, or an answer was lost on its way.
            Err(NodeError::Refused { status: 409, body, .. }) if tries < TRIES_MAX => {
                tries += 1;
                offset = body.get("offset").and_then(Value::as_u64).unwrap_or(offset);
            }
            Err(NodeError::Refused { status: 422, .. }) => return Err(changed(content)),
            Err(NodeError::Unreachable { .. }) if tries < TRIES_MAX => {
                tries += 1;
                offset = stands_at(node, at, missing.hash, content)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where an upload stands whose answer was lost.
fn stands_at(node: &Node, at: &str, hash: Hash, content: &Content) -> Result<u64, Failure> {
    let blob = Blob { hash, size_bytes: content.size_bytes };
    let missing: Vec<Missing> = node.post_patiently(&format!("{at}/missing"), &[blob])?;
    // What is stored is acknowledged again, whatever is sent of it.
    Ok(missing.first().map_or(0, |missing| missing.offset))
}

fn changed(content: &Content) -> Failure {
    Failure::Failed(format!("{} was changed while it was pushed: push again", content.path))
}
