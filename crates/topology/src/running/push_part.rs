//! Stores that files are pushed to, as a part of a node. They are opened before the edge is told of them, since that
//! may ask a bucket; one that stays in the file as it was stays as it is.

use super::Running;
use super::edge_part::Pushes;
use crate::config::Topology;
use crate::paths;
use push::{Assets, Draft, Keeper};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use telemetry::Registry;

/// The stores of a node, by name.
#[derive(Default)]
pub(super) struct PushPart(BTreeMap<String, Store>);

struct Store {
    assets: Arc<Assets>,
    keeper: Option<Keeper>,
}

impl PushPart {
    /// Opens the stores of a file; those of `before` that are as they were stay.
    pub(super) async fn open(
        topology: &Topology,
        dir: &Path,
        registry: &Registry,
        before: &Pushes,
    ) -> Result<Self, push::Error> {
        let data = dir.join(&topology.node.data);
        let mut stores = BTreeMap::new();
        for (name, config) in &topology.push {
            let config = paths::push_in(dir, config);
            let assets = match before.get(name.as_str()) {
                Some(same) if *same.config() == config => same.clone(),
                _ => Assets::open(name, &config, dir, &data, registry).await?,
            };
            stores.insert(name.to_string(), Store { assets, keeper: None });
        }
        Ok(Self(stores))
    }

    /// The stores, for who serves from them.
    pub(super) fn by_name(&self) -> Pushes {
        self.0.iter().map(|(name, store)| (name.clone(), store.assets.clone())).collect()
    }

    /// Takes in the folders that the file names, and returns the releases that are to be made of them.
    pub(super) async fn take_in(&self) -> Result<Drafts, push::Error> {
        let mut drafts = Drafts::default();
        for store in self.0.values() {
            if let Some(draft) = store.assets.take_in(SystemTime::now()).await? {
                drafts.0.push((store.assets.clone(), draft));
            }
        }
        Ok(drafts)
    }

    /// Keeps those that nobody keeps.
    pub(super) fn run(&mut self) {
        for store in self.0.values_mut() {
            store.keeper.get_or_insert_with(|| store.assets.keep());
        }
    }

    /// Becomes what a reload has opened. What goes comes back, to be stopped.
    pub(super) fn commit(&mut self, mut new: Self) -> Self {
        for (name, store) in &mut new.0 {
            if let Some(before) = self.0.get_mut(name)
                && Arc::ptr_eq(&before.assets, &store.assets)
            {
                store.keeper = before.keeper.take();
            }
        }
        new.run();
        std::mem::replace(self, new)
    }

    /// Ends what keeps them.
    pub(super) async fn stop(self) {
        for keeper in self.0.into_values().filter_map(|store| store.keeper) {
            keeper.stop().await;
        }
    }
}

/// Releases that are to be made of folders: all that they need is stored.
#[derive(Default)]
pub(super) struct Drafts(Vec<(Arc<Assets>, Draft)>);

impl Drafts {
    /// Makes them, and serves them from now on.
    pub(super) async fn release(self) -> Result<(), push::Error> {
        for (assets, draft) in self.0 {
            let seen = assets.release(draft, SystemTime::now()).await?;
            tracing::info!(target: "topology", push = assets.name(), release = %seen.release, files = seen.files, "pushed from its folder");
        }
        Ok(())
    }
}

impl Running {
    /// The stores that files are pushed to, by name.
    pub fn pushes(&self) -> Vec<Arc<Assets>> {
        self.live().pushes.0.values().map(|store| store.assets.clone()).collect()
    }

    /// The store of this name.
    pub fn push(&self, name: &str) -> Option<Arc<Assets>> {
        self.live().pushes.0.get(name).map(|store| store.assets.clone())
    }
}
