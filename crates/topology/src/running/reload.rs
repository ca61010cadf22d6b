//! Another file for a running node: everything that may fail comes first, then nothing can.
//!
//! What is new is started before requests are sent to it, and what is gone ends after the last request could
//! be: so a route moves from one pool to another without a gap.

use super::cdn_part::PreparedCdn;
use super::dns_part::{self, PreparedDns};
use super::edge_part::{Kept, PreparedEdge};
use super::layer4_part::PreparedLayer4;
use super::pools::{self, PoolMaker, PoolPart};
use super::push_part::PushPart;
use super::service_names::ServiceNames;
use super::{Phase, ReloadError, Running, report};
use crate::changes::Changes;
use crate::config::{NodeConfig, Topology};
use crate::file::{self, Checked};
use crate::paths;
use balance::{PoolConfig, PoolStatus, Settings};
use dns::ZoneSet;
use notation::Named;
use services::ServiceConfig;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long requests go on to the old pools while new ones start; then they go to the new ones as they are.
const NEW_POOLS_WAIT: Duration = Duration::from_secs(10);

/// How often is looked whether new pools are ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn reload(running: &Running) -> Result<Changes, ReloadError> {
    let _one_at_a_time = running.reloading.lock().await;
    let (path, before) = (running.path.clone(), running.live().dns.zones());
    // A large zone takes a second to read, and health checks go on meanwhile.
    let dir = running.dir.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let mut checked = file::load_after(&path, &before).map_err(ReloadError::Rejected)?;
        dns_part::sign(&checked.topology, &dir, &mut checked.zones, &before)?;
        Ok::<_, ReloadError>(checked)
    });
    let result = match loaded.await {
        Ok(Ok(checked)) => apply(running, checked).await,
        Ok(Err(error)) => Err(error),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(ReloadError::Stopping),
        },
    };
    running.events.reloaded(result.is_ok());
    match &result {
        Ok(changes) => tracing::info!(target: "topology", %changes, "reloaded"),
        Err(error) => tracing::warn!(target: "topology", %error, "reload refused, nothing changed"),
    }
    result
}

async fn apply(running: &Running, checked: Checked) -> Result<Changes, ReloadError> {
    let Checked { topology: new, zones, .. } = checked;
    let before = running.live().pushes.by_name();
    let pushes = PushPart::open(&new, &running.dir, &running.registry, &before).await?;
    let drafts = pushes.take_in().await?;
    let plan = prepare(running, &new, &zones, pushes)?;
    // The last that may fail: a page that is new finds what it refers to.
    drafts.release().await?;
    let mut changes = Changes::between(&running.topology(), &new);
    changes.zones.are_changed(zones.changed_since(&running.live().dns.zones()));
    running.services.commit(plan.services_of_both);
    let added: Vec<String> = plan.added.keys().cloned().collect();
    begin(running, plan.added);
    if !added.is_empty() {
        until_ready(running, &added).await;
    }
    let fronts = Box::new(PreparedFronts {
        pushes: plan.pushes,
        cdn: plan.cdn,
        edge: plan.edge,
        layer4: plan.layer4,
        dns: plan.dns,
    });
    match commit(running, new, &plan.configs, plan.changed, fronts) {
        Ok(()) => running.services.commit(plan.services),
        Err(unused) => {
            unused.discard().await;
            return Err(ReloadError::Stopping);
        }
    };
    Ok(changes)
}

/// What clients meet, changed.
struct PreparedFronts {
    pushes: PushPart,
    cdn: PreparedCdn,
    edge: PreparedEdge,
    layer4: PreparedLayer4,
    dns: PreparedDns,
}

impl PreparedFronts {
    async fn discard(self) {
        self.edge.discard().await;
        self.layer4.discard().await;
        self.dns.discard().await;
    }
}

/// A reload that can no longer fail.
struct Plan {
    pushes: PushPart,
    cdn: PreparedCdn,
    edge: PreparedEdge,
    layer4: PreparedLayer4,
    dns: PreparedDns,
    /// Those of the new file.
    services: services::Prepared,
    /// And those that go, until nothing asks them any more.
    services_of_both: services::Prepared,
    added: BTreeMap<String, PoolPart>,
    /// What pools that stay are to follow.
    changed: BTreeMap<String, Settings>,
    configs: BTreeMap<String, PoolConfig>,
}

fn prepare(
    running: &Running,
    new: &Topology,
    zones: &ZoneSet,
    pushes: PushPart,
) -> Result<Plan, ReloadError> {
    let live = running.live();
    if running.phase() != Phase::Serving {
        return Err(ReloadError::Stopping);
    }
    if let Some(key) = fixed_key(&live.topology.node, &new.node) {
        return Err(ReloadError::NeedsRestart { what: format!("node.{key}") });
    }
    let wanted = services_in(new, &running.dir);
    let mut both = services_in(&live.topology, &running.dir);
    both.extend(wanted.clone());
    let services = running.services.prepare(wanted)?;
    let services_of_both = running.services.prepare(both)?;
    let registry = &running.registry;
    let maker = PoolMaker {
        dir: running.dir.clone(),
        at: new.node.at.clone(),
        secret: running.secret,
        registry: registry.clone(),
    };
    let configs = pools::configs(new);
    let (mut added, mut changed) = (BTreeMap::new(), BTreeMap::new());
    for (name, config) in &configs {
        match live.pools.get(name) {
            None => drop(added.insert(name.clone(), maker.make(name, config)?)),
            Some(part) if part.is_changed_by(config) => {
                changed.insert(name.clone(), maker.settings(name, config)?);
            }
            Some(_) => {}
        }
    }
    let mut by_name = pools::by_name(&live.pools);
    by_name.extend(pools::by_name(&added));
    let with_leaving = by_name.clone();
    by_name.retain(|name, _| configs.contains_key(name));
    let layer4 = live.layer4.prepare(new, &running.dir, by_name.clone(), registry)?;
    let cdn = live.cdn.prepare(new, &running.dir, registry)?;
    let kept = Kept { pushes: Some(pushes.by_name()), cdn: live.cdn.of_edge_after(&cdn, new) };
    let edge = live.edge.prepare(new, &running.dir, by_name, kept, live.dns.over_http(), registry)?;
    // Pools that go are seen by the routes until these are gone as well.
    dns_part::bind(zones, &with_leaving);
    let dns = live.dns.prepare(new, &running.dir, zones, &running.secret, registry).inspect_err(|_| {
        dns_part::bind(&live.dns.zones(), &pools::by_name(&live.pools));
    })?;
    Ok(Plan { pushes, cdn, edge, layer4, dns, services, services_of_both, added, changed, configs })
}

/// Runs the new pools, which nothing is sent to yet.
fn begin(running: &Running, added: BTreeMap<String, PoolPart>) {
    let mut live = running.live();
    for (name, mut part) in added {
        part.run(&running.services);
        live.pools.insert(name, part);
    }
}

async fn until_ready(running: &Running, added: &[String]) {
    let end = Instant::now() + NEW_POOLS_WAIT;
    while running.phase() == Phase::Serving {
        let pools: Vec<PoolStatus> = {
            let live = running.live();
            added.iter().filter_map(|name| live.pools.get(name)).map(|part| part.pool.status()).collect()
        };
        let waiting = report::waiting(&pools);
        if waiting.is_empty() {
            return;
        }
        if Instant::now() >= end {
            for pool in waiting {
                tracing::warn!(target: "topology", pool = pool.pool, why = pool.why, "new pool is not ready, requests go to it all the same");
            }
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Applies the rest; gives the rest back when the node began to stop in the meantime.
fn commit(
    running: &Running,
    new: Topology,
    configs: &BTreeMap<String, PoolConfig>,
    mut changed: BTreeMap<String, Settings>,
    fronts: Box<PreparedFronts>,
) -> Result<(), Box<PreparedFronts>> {
    let mut live = running.live();
    if running.phase() != Phase::Serving {
        return Err(fronts);
    }
    for (name, config) in configs {
        if let Some(part) = live.pools.get_mut(name) {
            if let Some(settings) = changed.remove(name) {
                part.apply(config, settings);
            }
            part.run(&running.services);
        }
    }
    if let Some(gone) = live.layer4.commit(fronts.layer4) {
        gone.stop_accepting();
        let deadline = running.drain_deadline_of(&live.topology);
        live.leaving.spawn(async move {
            gone.drain(deadline).await;
        });
    }
    if let Some(gone) = live.dns.commit(fronts.dns) {
        gone.stop_accepting();
        let deadline = running.drain_deadline_of(&live.topology);
        live.leaving.spawn(async move {
            gone.drain(deadline).await;
        });
    }
    let gone = live.cdn.commit(fronts.cdn);
    if let Some(gone) = gone {
        live.leaving.spawn(async move {
            let _ = tokio::task::spawn_blocking(move || gone.close()).await;
        });
    }
    if let Some(gone) = live.edge.commit(fronts.edge) {
        gone.stop_accepting();
        let deadline = live.topology.edge.as_ref().map_or(Duration::ZERO, |edge| edge.timeout.drain.get());
        live.leaving.spawn(async move {
            gone.drain(deadline).await;
        });
    }
    let gone = live.pushes.commit(fronts.pushes);
    live.leaving.spawn(gone.stop());
    let removed: Vec<String> =
        live.pools.keys().filter(|name| !configs.contains_key(*name)).cloned().collect();
    for part in removed.iter().filter_map(|name| live.pools.remove(name)).collect::<Vec<_>>() {
        live.leaving.spawn(part.stop());
    }
    dns_part::bind(&live.dns.zones(), &pools::by_name(&live.pools));
    // Whoever told of services before knows those of the file before: it must not have the last word.
    let mut before = std::mem::take(&mut live.service_names);
    before.end();
    live.leaving.spawn(before.stop());
    live.service_names = ServiceNames::follow(&new, &live.dns, &running.services, &live.pools);
    while live.leaving.try_join_next().is_some() {}
    live.topology = Arc::new(new);
    Ok(())
}

/// The first key of the node that cannot change while it runs, if it did.
fn fixed_key(old: &NodeConfig, new: &NodeConfig) -> Option<&'static str> {
    let keys = [
        ("data", old.data == new.data),
        ("admin", old.admin == new.admin),
        ("admin_token", old.admin_token == new.admin_token),
        // Pools that stay were made with the old secret, for the old place.
        ("secret", old.secret == new.secret),
        ("at", old.at == new.at),
    ];
    keys.iter().find(|(_, is_same)| !is_same).map(|(key, _)| *key)
}

/// The services of a file, as they are run.
pub(super) fn services_in(topology: &Topology, dir: &Path) -> Named<ServiceConfig> {
    topology.service.iter().map(|(name, config)| (name.clone(), paths::service_in(dir, config))).collect()
}
