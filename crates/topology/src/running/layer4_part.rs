//! Layer 4 as a part of a node: the only file that knows how it is started, changed and asked.

use super::{ReloadError, StartError, pools};
use crate::config::Topology;
use crate::file::Checked;
use balance::Pool;
use cores::{Address, Socket};
use layer4::{ExplainError, Explanation, Layer4, Layer4Parts, ListenerStatus, Question};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;

/// Layer 4, if the file names a listener of it.
#[derive(Default)]
pub(super) struct Layer4Part(Option<Layer4>);

/// A change of layer 4 that is known to work.
pub(super) enum PreparedLayer4 {
    /// There was none and there is none.
    Absent,
    /// It is not in the file any more.
    Removed,
    /// It is new, and serves already.
    Added(Layer4),
    /// It stays.
    Changed(Box<layer4::Prepared>),
}

impl PreparedLayer4 {
    /// Undoes a change that is not made after all.
    pub(super) async fn discard(self) {
        if let Self::Added(layer4) = self {
            layer4.drain(Duration::ZERO).await;
        }
    }
}

impl Layer4Part {
    /// Starts layer 4; it serves at once.
    pub(super) fn start(
        topology: &Topology,
        dir: &Path,
        pools: HashMap<String, Arc<Pool>>,
        registry: &Registry,
        inherited: Vec<Socket>,
    ) -> Result<Self, StartError> {
        let parts = parts(topology, dir, pools);
        if parts.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(Layer4::start(&parts, sys::cores(), registry.clone(), inherited)?)))
    }

    /// Everything of a reload that may fail.
    pub(super) fn prepare(
        &self,
        topology: &Topology,
        dir: &Path,
        pools: HashMap<String, Arc<Pool>>,
        registry: &Registry,
    ) -> Result<PreparedLayer4, ReloadError> {
        let parts = parts(topology, dir, pools);
        Ok(match (&self.0, parts.is_empty()) {
            (None, true) => PreparedLayer4::Absent,
            (Some(_), true) => PreparedLayer4::Removed,
            (None, false) => {
                PreparedLayer4::Added(Layer4::start(&parts, sys::cores(), registry.clone(), Vec::new())?)
            }
            (Some(layer4), false) => PreparedLayer4::Changed(Box::new(layer4.prepare(&parts)?)),
        })
    }

    /// Applies a change. A layer 4 that goes comes back, to be drained.
    pub(super) fn commit(&mut self, prepared: PreparedLayer4) -> Option<Self> {
        match prepared {
            PreparedLayer4::Absent => {}
            PreparedLayer4::Removed => return Some(std::mem::take(self)),
            PreparedLayer4::Added(layer4) => self.0 = Some(layer4),
            PreparedLayer4::Changed(prepared) => {
                if let Some(layer4) = &self.0 {
                    layer4.commit(*prepared);
                }
            }
        }
        None
    }

    /// Copies of the listening sockets, to be handed over.
    pub(super) fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.0.as_ref().map_or_else(|| Ok(Vec::new()), Layer4::sockets)
    }

    /// Takes nothing new.
    pub(super) fn stop_accepting(&self) {
        if let Some(layer4) = &self.0 {
            layer4.stop_accepting();
        }
    }

    /// Waits for what is under way, at most `deadline`. `true` when all of it ended by itself.
    pub(super) async fn drain(self, deadline: Duration) -> bool {
        match self.0 {
            Some(layer4) => layer4.drain(deadline).await,
            None => true,
        }
    }

    /// Open client connections.
    pub(super) fn connections(&self) -> usize {
        self.0.as_ref().map_or(0, Layer4::connections)
    }

    pub(super) fn status(&self) -> Vec<ListenerStatus> {
        self.0.as_ref().map_or_else(Vec::new, Layer4::status)
    }

    pub(super) fn explain(&self, question: &Question) -> Result<Explanation, ExplainError> {
        match &self.0 {
            Some(layer4) => layer4.explain(question),
            None => Err(question.unknown(Vec::new())),
        }
    }
}

/// Whether everything that the file wants to listen on is free.
pub(super) fn check_free(topology: &Topology) -> Result<(), StartError> {
    let tcp = topology.tcp.values().flat_map(|tcp| tcp.listen.0.iter().copied().map(Address::tcp));
    let udp = topology.udp.values().flat_map(|udp| udp.listen.0.iter().copied().map(Address::udp));
    for address in tcp.chain(udp) {
        cores::check_free(address).map_err(layer4::Error::from)?;
    }
    Ok(())
}

fn parts(topology: &Topology, dir: &Path, pools: HashMap<String, Arc<Pool>>) -> Layer4Parts {
    Layer4Parts {
        tcp: topology.tcp.clone(),
        udp: topology.udp.clone(),
        tls: topology.edge.as_ref().map(|edge| edge.tls.clone()).unwrap_or_default(),
        pools,
        dir: dir.to_owned(),
        data: dir.join(&topology.node.data),
    }
}

/// What [`super::Running::explain_layer4`] would say of a file that does not run: endpoints of pools are those
/// that the file itself names.
pub fn explain_layer4_file(checked: &Checked, question: &Question) -> Result<Explanation, ExplainError> {
    layer4::explain(&parts(&checked.topology, checked.dir(), pools::silent(checked)), question)
}
