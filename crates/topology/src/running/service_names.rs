//! The names of services in DNS: who is healthy is known to pools and to the services themselves, and told at each change.

use super::dns_part::DnsPart;
use super::pools::PoolPart;
use crate::config::Topology;
use balance::{Instance, Pool};
use dns::{Publisher, Service, ServiceInstance, ServicesConfig};
use services::Services;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Tells DNS of services until it is stopped or dropped.
#[derive(Default)]
pub(super) struct ServiceNames(JoinSet<()>);

/// What is known of a service.
struct Source {
    name: String,
    instances: watch::Receiver<Vec<Instance>>,
    /// One of the pools over it, which checks its instances; without one they are healthy once they accept connections.
    pool: Option<Arc<Pool>>,
}

impl ServiceNames {
    /// Begins, if DNS is to know services.
    pub(super) fn follow(
        topology: &Topology,
        dns: &DnsPart,
        services: &Services,
        pools: &BTreeMap<String, PoolPart>,
    ) -> Self {
        let config = topology.dns.as_ref().and_then(|dns| dns.services.as_ref());
        let (Some(config), Some(publisher)) = (config, dns.publisher()) else { return Self::default() };
        let source = |name: &notation::Name| {
            let of_service = |pool: &&PoolPart| pool.service() == Some(name.as_str());
            let pool = pools.values().find(of_service).map(|part| Arc::clone(&part.pool));
            Some(Source { name: name.to_string(), instances: services.instances(name)?, pool })
        };
        let sources: Vec<Source> = topology.service.keys().filter_map(source).collect();
        let (mut tasks, changed) = (JoinSet::new(), Arc::new(Notify::new()));
        for source in &sources {
            tasks.spawn(forward(source.instances.clone(), Arc::clone(&changed)));
            if let Some(pool) = &source.pool {
                tasks.spawn(forward(pool.changes(), Arc::clone(&changed)));
            }
        }
        tasks.spawn(show(publisher, config.clone(), sources, changed));
        Self(tasks)
    }

    /// Ends it soon: what changes from now on is not told.
    pub(super) fn end(&mut self) {
        self.0.abort_all();
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn forward<T>(mut from: watch::Receiver<T>, changed: Arc<Notify>) {
    while from.changed().await.is_ok() {
        changed.notify_one();
    }
}

/// Shows services as they are, and again at each change.
async fn show(publisher: Publisher, config: ServicesConfig, sources: Vec<Source>, changed: Arc<Notify>) {
    let mut shown = None;
    loop {
        let now: Vec<Service> = sources.iter().map(Source::now).collect();
        if shown.as_ref() != Some(&now) {
            if let Err(error) = publisher.show_services(&config, &now) {
                tracing::error!(target: "topology", %error, "the names of services cannot be told");
            }
            shown = Some(now);
        }
        changed.notified().await;
    }
}

impl Source {
    fn now(&self) -> Service {
        let instances = self.instances.borrow();
        let available: Option<BTreeSet<String>> = self.pool.as_ref().map(|pool| {
            let endpoints = pool.status().endpoints.into_iter().filter(|endpoint| endpoint.available);
            endpoints.map(|endpoint| endpoint.name).collect()
        });
        let is_healthy = |instance: &&Instance| match &available {
            Some(available) => instance.ready && available.contains(&instance.id),
            None => instance.ready,
        };
        let healthy = instances.iter().filter(is_healthy).map(|instance| ServiceInstance {
            name: instance.id.clone(),
            address: instance.address,
            weight: instance.weight.try_into().unwrap_or(u16::MAX),
        });
        Service { name: self.name.clone(), healthy: healthy.collect(), instances: instances.len() }
    }
}
