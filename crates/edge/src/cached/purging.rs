//! PURGE, for those who may.

use super::Cached;
use crate::answer::Answer;
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::reply::{connection_option, discard_body, send_answer};
use cdn::nodes::Told;
use cdn::purge::{Mode, Target};
use std::sync::Arc;
use std::time::Duration;

/// How long whoever purges waits for other nodes to acknowledge it.
pub const PURGE_TOLD_WAIT: Duration = Duration::from_secs(2);

/// Purges what a PURGE is about. `None`: the request is none.
pub(super) async fn run(cached: &mut Cached<'_>) -> Ended {
    let work = &mut *cached.work;
    if !cached.caching.purgers.contains(work.client) {
        return Ended::Refused(Refusal::Denied("is in no network of `[cdn] purge`".into()));
    }
    let (engine, key) = (Arc::clone(&cached.caching.engine), cached.caching.key(work));
    let soft = work.request.value_of(work.down.held(), b"x-purge");
    let mode =
        if soft.is_some_and(|how| how.eq_ignore_ascii_case(b"soft")) { Mode::Soft } else { Mode::Hard };
    // Answered once it is on the disk, which a core does not wait for.
    let purging = tokio::task::spawn_blocking(move || {
        engine.purge(Target::Key(&key.bytes), mode)?;
        Ok::<_, cdn::Error>(engine.nodes())
    });
    let nodes = match purging.await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => return Ended::Refused(Refusal::Busy(error.to_string())),
        Err(_) => return Ended::Refused(Refusal::Busy("the purge was given up".into())),
    };
    let told = match nodes {
        Some(nodes) => nodes.told(PURGE_TOLD_WAIT).await,
        None => Told::default(),
    };
    let work = &mut *cached.work;
    let after = discard_body(work, cached.core);
    cached.report.status = 200;
    let pending: Vec<String> = told.pending.iter().map(ToString::to_string).collect();
    let body = match &pending[..] {
        [] => "purged\n".to_owned(),
        pending => format!("purged, and soon at {}\n", pending.join(", ")),
    };
    let answer = Answer {
        status: 200,
        content_type: "text/plain",
        body: body.as_bytes(),
        length: Some(body.len() as u64),
        lines: b"Cache-Control: no-store\r\n",
        edits: None,
        head_only: false,
        connection: connection_option(after, work.request.version),
    };
    let sent =
        send_answer(cached.core, cached.client, work, cached.snapshot, &answer, after, cached.report).await;
    Ended::Answered(sent)
}
