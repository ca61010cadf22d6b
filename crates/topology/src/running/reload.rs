//! Another file for a running node: everything that may fail comes first, then nothing can.

use super::pools::{self, PoolMaker, PoolPart};
use super::{Phase, ReloadError, Running};
use crate::changes::Changes;
use crate::config::{NodeConfig, Topology};
use crate::file::{self, Checked};
use crate::paths;
use notation::Named;
use services::ServiceConfig;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

pub(super) fn reload(running: &Running) -> Result<Changes, ReloadError> {
    let _one_at_a_time = running.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    let result =
        file::load(&running.path).map_err(ReloadError::Rejected).and_then(|checked| apply(running, checked));
    let outcome = if result.is_ok() { "applied" } else { "refused" };
    running
        .registry
        .counter(
            "nines_topology_reloads_total",
            "reloads of the file, by what became of them",
            &[("outcome", outcome)],
        )
        .inc();
    match &result {
        Ok(changes) => tracing::info!(target: "topology", %changes, "reloaded"),
        Err(error) => tracing::warn!(target: "topology", %error, "reload refused, nothing changed"),
    }
    result
}

fn apply(running: &Running, checked: Checked) -> Result<Changes, ReloadError> {
    let new = checked.topology;
    let mut live = running.live();
    if running.phase() != Phase::Serving {
        return Err(ReloadError::Stopping);
    }
    if let Some(key) = fixed_key(&live.topology.node, &new.node) {
        return Err(ReloadError::NeedsRestart { what: format!("node.{key}") });
    }
    let changes = Changes::between(&live.topology, &new);
    let registry = &running.registry;

    // What may fail. New pools are made here and run only later.
    let services = running.services.prepare(services_in(&new, &running.dir))?;
    let maker = PoolMaker { at: new.node.at.clone(), secret: running.secret, registry: registry.clone() };
    let configs = pools::configs(&new);
    let mut added: BTreeMap<String, PoolPart> = configs
        .iter()
        .filter(|(name, _)| !live.pools.contains_key(*name))
        .map(|(name, config)| (name.clone(), maker.make(name, config)))
        .collect();
    let mut by_name = pools::by_name(&live.pools);
    by_name.retain(|name, _| configs.contains_key(name));
    by_name.extend(pools::by_name(&added));
    let edge = live.edge.prepare(&new, &running.dir, by_name, registry)?;

    // What cannot fail: endpoints before those who send to them, and the other way round when they go.
    running.services.commit(services);
    live.pools.append(&mut added);
    for (name, config) in configs.clone() {
        if let Some(part) = live.pools.get_mut(&name) {
            part.apply(config);
            part.run(&running.services);
        }
    }
    let gone_edge = live.edge.commit(edge);
    if !gone_edge.is_absent() {
        gone_edge.stop_accepting();
        let deadline =
            live.topology.edge.as_ref().map_or_else(Default::default, |edge| edge.timeout.drain.get());
        live.leaving.spawn(async move {
            gone_edge.drain(deadline).await;
        });
    }
    let removed: Vec<String> =
        live.pools.keys().filter(|name| !configs.contains_key(*name)).cloned().collect();
    for part in removed.iter().filter_map(|name| live.pools.remove(name)).collect::<Vec<_>>() {
        live.leaving.spawn(part.stop());
    }
    while live.leaving.try_join_next().is_some() {}
    live.topology = Arc::new(new);
    Ok(changes)
}

/// The first key of the node that cannot change while it runs, if it did.
fn fixed_key(old: &NodeConfig, new: &NodeConfig) -> Option<&'static str> {
    let keys = [
        ("data", old.data == new.data),
        ("admin", old.admin == new.admin),
        ("admin_token", old.admin_token == new.admin_token),
        // Pools that stay were made for the old place.
        ("at", old.at == new.at),
    ];
    keys.iter().find(|(_, is_same)| !is_same).map(|(key, _)| *key)
}

/// The services of a file, as they are run.
pub(super) fn services_in(topology: &Topology, dir: &Path) -> Named<ServiceConfig> {
    topology.service.iter().map(|(name, config)| (name.clone(), paths::service_in(dir, config))).collect()
}
