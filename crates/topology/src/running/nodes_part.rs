//! The other nodes that keep the same responses: a task each, which tells it of purges and asks it for them.

mod client;
#[cfg(test)]
mod tests;

use crate::config::Topology;
use crate::paths;
use crate::status::CdnNodeStatus;
use cdn::Engine;
use cdn::nodes::{Exchanged, LedgerLimits, Message, Moment, NodeId, Nodes, State};
use client::{Client, Missed};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use telemetry::{Counter, Gauge, Hook, Registry};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

/// How long a node takes to say that it ends.
const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// Exchanges in a row, where there is always more.
const ROUNDS_MAX: u32 = 256;
/// How long what cannot be written waits to be written the next time.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// The other nodes, if the file names any.
pub(super) struct NodesPart {
    nodes: Arc<Nodes>,
    addresses: Vec<SocketAddr>,
    silent: Duration,
    token: Option<String>,
    tasks: JoinSet<()>,
    /// Until it runs.
    joining: Option<Joining>,
    _metrics: Hook,
}

/// A cache tells these nodes of its purges from when they were opened, so that none is missed until they run; it does so no longer where
/// this is dropped, since nothing came of it.
struct Joining {
    engine: Weak<Engine>,
    nodes: Weak<Nodes>,
}

impl Joining {
    fn stay(mut self) {
        self.engine = Weak::new();
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let (Some(engine), Some(nodes)) = (self.engine.upgrade(), self.nodes.upgrade())
            && engine.nodes().is_some_and(|joined| Arc::ptr_eq(&joined, &nodes))
        {
            engine.join_nodes(None);
        }
    }
}

impl NodesPart {
    /// What the file says of other nodes. Nobody is spoken to before [`NodesPart::run`]; it is as if it had never been, if that does not come.
    pub(super) fn open(
        before: Option<&Self>,
        engine: &Arc<Engine>,
        topology: &Topology,
        dir: &Path,
        registry: &Registry,
    ) -> Result<Option<Self>, cdn::Error> {
        let Some(config) = topology.cdn.as_ref().filter(|cdn| !cdn.nodes.is_empty()) else { return Ok(None) };
        let silent = config.nodes_silent.get();
        let mut addresses = config.nodes.clone();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.retain(|address| *address != topology.node.admin);
        let (nodes, joining) = match before {
            Some(before) => (Arc::clone(&before.nodes), None),
            None => {
                let folder = dir.join(&topology.node.data).join("cdn-nodes");
                let fresh = NodeId(rand::random());
                let nodes = Nodes::open(engine, Some(&folder), LedgerLimits::default(), fresh, silent)?;
                let joining = Joining { engine: Arc::downgrade(engine), nodes: Arc::downgrade(&nodes) };
                (nodes, Some(joining))
            }
        };
        let token = topology.node.admin_token.as_ref();
        // It was read when the file was checked.
        let token = token.and_then(|token| paths::secret_in(dir, token).reveal().ok());
        let _metrics = register(registry, &nodes, &addresses);
        Ok(Some(Self { nodes, addresses, silent, token, tasks: JoinSet::new(), joining, _metrics }))
    }

    /// Speaks with them from now on. Until they were heard, what is kept is confirmed with the origin.
    pub(super) fn run(&mut self) {
        if let Some(joining) = self.joining.take() {
            joining.stay();
        }
        self.nodes.set_contacts(&self.addresses, self.silent, Moment::now());
        self.tasks.spawn(settle(Arc::clone(&self.nodes)));
        for address in &self.addresses {
            let client = self.client(*address);
            self.tasks.spawn(keep_in_touch(Arc::clone(&self.nodes), *address, client, self.silent));
        }
    }

    pub(super) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// Tells all what they lack, and that this node ends.
    pub(super) async fn leave(mut self) {
        self.tasks.shutdown().await;
        let settling = Arc::clone(&self.nodes);
        if let Ok(Err(error)) = spawn_blocking(move || settling.settle()).await {
            tracing::error!(target: "topology", %error, "purges are not told to other nodes, which confirm what they keep with the origin once");
        }
        self.nodes.leave();
        for address in &self.addresses {
            let (nodes, client, address) = (Arc::clone(&self.nodes), self.client(*address), *address);
            self.tasks.spawn(async move {
                let _ = tokio::time::timeout(LEAVE_WAIT, take_leave(nodes, address, client)).await;
            });
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn client(&self, address: SocketAddr) -> Client {
        Client::new(address, self.token.as_deref(), self.silent)
    }
}

/// Enters what unsafe methods have invalidated, and what could not be written before.
async fn settle(nodes: Arc<Nodes>) {
    let mut changes = nodes.changes();
    let mut has_failed = false;
    loop {
        changes.borrow_and_update();
        if !nodes.is_settled() {
            let settling = Arc::clone(&nodes);
            let settled = spawn_blocking(move || settling.settle()).await;
            match settled {
                Ok(Err(error)) if !has_failed => {
                    tracing::error!(target: "topology", %error, "purges are told to other nodes once they can be written");
                    has_failed = true;
                }
                Ok(Ok(())) if has_failed => {
                    tracing::info!(target: "topology", "purges are told to other nodes again");
                    has_failed = false;
                }
                Ok(_) | Err(_) => {}
            }
        }
        if has_failed {
            tokio::time::sleep(SETTLE_AGAIN).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Exchanges with one node until nobody asks for it any more.
async fn keep_in_touch(nodes: Arc<Nodes>, at: SocketAddr, mut client: Client, silent: Duration) {
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    let mut changes = nodes.changes();
    let mut told = None;
    let mut rounds = 0;
    loop {
        changes.borrow_and_update();
        let exchanged = match exchange(&nodes, at, &mut client).await {
            None | Some(Ok(Exchanged::Itself)) => return,
            Some(exchanged) => exchanged,
        };
        if let Err(missed) = &exchanged {
            nodes.missed(at, matches!(missed, Missed::Refused), Moment::now());
        }
        let seen = nodes.seen(Moment::now()).into_iter().find(|seen| seen.address == at);
        let Some(state) = seen.map(|seen| seen.state) else { return };
        if told.replace(state) != Some(state) {
            tell(at, state, exchanged.as_ref().err(), silent);
        }
        rounds = if exchanged == Ok(Exchanged::More) { rounds + 1 } else { 0 };
        if (1..ROUNDS_MAX).contains(&rounds) {
            continue;
        }
        let Some((wait, has_failed)) = nodes.wait(at, &mut rng) else { return };
        if has_failed {
            tokio::time::sleep(wait).await;
        } else {
            let _ = tokio::time::timeout(wait, until_behind(&nodes, at, &mut changes)).await;
        }
    }
}

async fn until_behind(nodes: &Nodes, at: SocketAddr, changes: &mut watch::Receiver<u64>) {
    while !nodes.is_behind(at) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// One exchange; `None` where the node is no longer one of them.
async fn exchange(
    nodes: &Arc<Nodes>,
    at: SocketAddr,
    client: &mut Client,
) -> Option<Result<Exchanged, Missed>> {
    let sent = Moment::now();
    let message = nodes.message(at, sent)?;
    let answer = match client.exchange(message.write()).await {
        Ok(answer) => answer,
        Err(missed) => return Some(Err(missed)),
    };
    let Some(answer) = Message::read(&answer) else {
        return Some(Err(Missed::Failed("what answers there is no such node".into())));
    };
    let nodes = Arc::clone(nodes);
    let taken = spawn_blocking(move || nodes.take_answer(at, &answer, sent, Moment::now())).await;
    Some(match taken {
        Ok(taken) => taken.map_err(|error| Missed::Failed(error.to_string())),
        Err(error) => Err(Missed::Failed(error.to_string())),
    })
}

/// The last exchanges: what it lacks still, and that this is the end.
async fn take_leave(nodes: Arc<Nodes>, at: SocketAddr, mut client: Client) {
    while let Some(Ok(Exchanged::More)) = exchange(&nodes, at, &mut client).await {}
}

fn tell(node: SocketAddr, state: State, missed: Option<&Missed>, silent: Duration) {
    let why = missed.map(ToString::to_string).unwrap_or_default();
    let silent_s = silent.as_secs();
    match state {
        State::Heard => {
            tracing::info!(target: "topology", %node, "a node of the cache is heard");
        }
        State::Down => {
            tracing::warn!(target: "topology", %node, why, "a node of the cache does not run: what was kept until now is confirmed with the origin once");
        }
        State::Silent => {
            tracing::warn!(target: "topology", %node, why, silent_s, "a node of the cache is silent: what is kept is confirmed with the origin before it is served");
        }
    }
}

/// The other nodes, as they are seen from here.
pub(super) fn status(nodes: &Nodes) -> Vec<CdnNodeStatus> {
    let status = |seen: cdn::nodes::Seen| CdnNodeStatus {
        address: seen.address,
        state: seen.state.name().into(),
        heard_seconds: seen.heard_ago.map(|ago| ago.as_secs_f64()),
        pending: seen.pending,
        failures: seen.failed,
    };
    nodes.seen(Moment::now()).into_iter().map(status).collect()
}

fn register(registry: &Registry, nodes: &Arc<Nodes>, addresses: &[SocketAddr]) -> Hook {
    let series = |address: &SocketAddr| {
        let text = address.to_string();
        let labels = [("node", text.as_str())];
        let gauge = |name: &str, help: &str| registry.gauge(name, help, &labels);
        let seen: (Gauge, Gauge, [(State, Gauge); 2], Counter) = (
            gauge("nines_cdn_node_pending", "Purges that a node has not acknowledged."),
            gauge("nines_cdn_node_heard_seconds", "How long ago all was known here that a node knew."),
            [
                (State::Down, gauge("nines_cdn_node_down", "1 while a node does not run.")),
                (
                    State::Silent,
                    gauge(
                        "nines_cdn_node_silent",
                        "1 while a node is silent, and what is kept is confirmed.",
                    ),
                ),
            ],
            registry.counter("nines_cdn_node_failures_total", "Exchanges with a node that failed.", &labels),
        );
        (*address, seen)
    };
    let series: Vec<_> = addresses.iter().map(series).collect();
    let (nodes, counted) = (Arc::clone(nodes), Mutex::new(HashMap::new()));
    registry.on_render(move || {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in nodes.seen(Moment::now()) {
            let Some((_, (pending, heard, states, failures))) =
                series.iter().find(|(address, _)| *address == seen.address)
            else {
                continue;
            };
            pending.set(seen.pending as f64);
            heard.set(seen.heard_ago.map_or(f64::INFINITY, |ago| ago.as_secs_f64()));
            for (state, gauge) in states {
                gauge.set(f64::from(u8::from(seen.state == *state)));
            }
            let before = counted.insert(seen.address, seen.failed).unwrap_or(0);
            failures.add(seen.failed.saturating_sub(before));
        }
    })
}
