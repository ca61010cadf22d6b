//! PURGE, for those who may.

use super::Cached;
use crate::answer::Answer;
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::reply::{connection_option, discard_body, send_answer};
use cdn::purge::{Mode, Target};
use std::sync::Arc;

/// Purges what a PURGE is about. `None`: the request is none.
pub(super) async fn run(cached: &mut Cached<'_>) -> Option<Ended> {
    let work = &mut *cached.work;
    if work.request.method_name.of_head(work.down.held()) != b"PURGE" {
        return None;
    }
    let may = cached.caching.purgers.as_ref().is_some_and(|networks| networks.contain(work.client));
    if !may {
        return Some(Ended::Refused(Refusal::Method));
    }
    let (cache, key) = (Arc::clone(&cached.caching.cache), cached.caching.key(work));
    let is_soft = work.request.value_of(work.down.held(), b"x-purge").is_some_and(|how| how.eq_ignore_ascii_case(b"soft"));
    let mode = if is_soft { Mode::Soft } else { Mode::Hard };
    let purging = move || cache.purge(Target::Key(&key.bytes), mode);
    // It holds once it is on the disk.
    match tokio::task::spawn_blocking(purging).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Some(Ended::Refused(Refusal::Busy(error.to_string()))),
        Err(_) => return Some(Ended::Refused(Refusal::Busy("the purge was given up".into()))),
    }
    let after = discard_body(work, cached.core);
    cached.report.status = 204;
    let answer = Answer {
        status: 204,
        content_type: "",
        body: b"",
        length: None,
        lines: b"",
        edits: None,
        head_only: false,
        connection: connection_option(after, work.request.version),
    };
    let sent =
        send_answer(cached.core, cached.client, work, cached.snapshot, &answer, after, cached.report).await;
    Some(Ended::Answered(sent))
}
