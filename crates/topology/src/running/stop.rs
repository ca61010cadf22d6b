//! Stopping: nothing new, then what is under way, then everything else.

use super::{Phase, Running};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) async fn stop(running: &Running, deadline: Duration) -> bool {
    let before = running.phase.send_replace(Phase::Stopping);
    tracing::info!(target: "topology", deadline_ms = deadline.as_millis() as u64, "stopping");
    // A process that took over has made this socket its own.
    if let Some(successor) = running.successor.lock().unwrap_or_else(PoisonError::into_inner).take() {
        successor.abort();
    }
    if before == Phase::Serving {
        let _ = std::fs::remove_file(running.home.socket());
    }
    let (mut cdn, edge, layer4, dns, pools, pushes, mut leaving) = {
        let mut live = running.live();
        live.edge.stop_accepting();
        live.layer4.stop_accepting();
        live.dns.stop_accepting();
        let names = std::mem::take(&mut live.service_names);
        live.leaving.spawn(names.stop());
        live.ending = live.cdn.nodes();
        let cdn = std::mem::take(&mut live.cdn);
        let edge = std::mem::take(&mut live.edge);
        let layer4 = std::mem::take(&mut live.layer4);
        let dns = std::mem::take(&mut live.dns);
        let pools = std::mem::take(&mut live.pools);
        let pushes = std::mem::take(&mut live.pushes);
        (cdn, edge, layer4, dns, pools, pushes, std::mem::replace(&mut live.leaving, JoinSet::new()))
    };
    let drained = tokio::join!(edge.drain(deadline), layer4.drain(deadline), dns.drain(deadline));
    let is_drained = drained.0 && drained.1 && drained.2;
    pushes.stop().await;
    running.services.stop().await;
    for (_, pool) in pools {
        pool.stop().await;
    }
    if before == Phase::Serving {
        cdn.leave().await;
    }
    // All that was kept is on the disk before the node is another's.
    let _ = tokio::task::spawn_blocking(move || cdn.close()).await;
    while leaving.join_next().await.is_some() {}
    running.home.unlock();
    tracing::info!(target: "topology", drained = is_drained, "stopped");
    is_drained
}
