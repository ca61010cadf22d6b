//! Sends what a node has not, many at once, and has the release made.

use super::patience::Patience;
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
    let (mut offset, mut tries, mut patience) = (missing.offset, 0, Patience::default());
    loop {
        let part = content.part(offset, PART_BYTES_MAX);
        let part = part.map_err(|error| Failure::Failed(format!("{}: {error}", content.path)))?;
        if part.is_empty() && offset < content.size_bytes {
            return Err(changed(content));
        }
        let url = format!("{at}/blobs/{}?size={}&offset={offset}", missing.hash, content.size_bytes);
        match node.put::<Uploaded>(&url, &media_type, &part) {
            Ok(uploaded) => {
                (tries, patience) = (0, Patience::default());
                // Who has it is not in need of the part.
                let sent = uploaded.offset.saturating_sub(offset);
                offset = uploaded.offset;
                // Nobody listens any more only where this process ends.
                let _unheard = told.send((sent, uploaded.is_stored));
                if uploaded.is_stored {
                    return Ok(());
                }
            }
            // Somebody else uploads the same, or an answer was lost on its way.
            Err(NodeError::Refused { status: 409, detail, .. }) => {
                let Some(stands_at) = stands_at(node, at, missing.hash, content)? else {
                    let _unheard = told.send((content.size_bytes.saturating_sub(offset), true));
                    return Ok(());
                };
                if stands_at > offset {
                    patience = Patience::default();
                } else {
                    let pause = patience.next().ok_or(Failure::Failed(detail))?;
                    thread::sleep(pause);
                }
                let _unheard = told.send((stands_at.saturating_sub(offset), false));
                offset = stands_at;
            }
            Err(NodeError::Refused { status: 422, .. }) => return Err(changed(content)),
            Err(NodeError::Unreachable { .. }) if tries < TRIES_MAX => {
                tries += 1;
                // What is stored is acknowledged again, whatever is sent of it.
                offset = stands_at(node, at, missing.hash, content)?.unwrap_or(0);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where an upload stands, if it is not stored.
fn stands_at(node: &Node, at: &str, hash: Hash, content: &Content) -> Result<Option<u64>, Failure> {
    let blob = Blob { hash, size_bytes: content.size_bytes };
    let missing: Vec<Missing> = node.post_patiently(&format!("{at}/missing"), &[blob])?;
    Ok(missing.first().map(|missing| missing.offset))
}

fn changed(content: &Content) -> Failure {
    Failure::Failed(format!("{} was changed while it was pushed: push again", content.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::NodeArgs;
    use push::folder::{Wishes, read};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::SystemTime;

    const BUSY: (u16, &str) = (409, r#"{"detail":"the same is being uploaded by somebody else"}"#);

    /// Sends "content" to a node that answers with these, one after the other; what it was asked.
    fn sent_to(answers: &[(u16, &str)]) -> (Result<(), Failure>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "content").unwrap();
        let plan = Plan::new(read(dir.path()).unwrap(), &Wishes::default(), SystemTime::now()).unwrap();
        let (hash, content) = plan.contents.iter().next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = Some(listener.local_addr().unwrap().to_string());
        let node = Node::find(&NodeArgs { file: None, admin }).unwrap();
        thread::scope(|scope| {
            let asked = scope.spawn(|| answers.iter().map(|answer| answer_one(&listener, *answer)).collect());
            let (told, _tell) = mpsc::channel();
            let sent = send(&node, "/p", &Missing { hash: *hash, offset: 0 }, content, &told);
            (sent, asked.join().unwrap())
        })
    }

    fn answer_one(listener: &TcpListener, (status, body): (u16, &str)) -> String {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .unwrap();
        let target = head.split(' ').nth(1).unwrap();
        target.rsplit(['/', '&']).next().unwrap().to_owned()
    }

    #[test]
    fn what_somebody_else_has_uploaded_meanwhile_is_done() {
        let (sent, asked) = sent_to(&[BUSY, (200, "[]")]);
        assert!(sent.is_ok());
        assert_eq!(asked, ["offset=0", "missing"]);
    }

    #[test]
    fn what_somebody_else_uploads_is_waited_for_and_gone_on_with_where_they_leave_it() {
        let hash = push::Hash::of(b"content");
        let stands_at = |offset: u64| format!(r#"[{{"hash":"{hash}","offset":{offset}}}]"#);
        let (nothing, some) = (stands_at(0), stands_at(3));
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.extend([BUSY, (200, nothing.as_str())]);
        }
        answers.extend([BUSY, (200, some.as_str()), (200, r#"{"offset":7,"is_stored":true}"#)]);
        let (sent, asked) = sent_to(&answers);
        assert!(sent.is_ok());
        assert_eq!(asked[8..], ["offset=0", "missing", "offset=3"]);
    }
}
