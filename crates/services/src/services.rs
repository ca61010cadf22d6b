//! All services of a file: start, reload, stop.

use crate::board::Board;
use crate::events::Meters;
use crate::guard::{Groups, Guard};
use crate::instance::{Care, Shared};
use crate::ports::Ports;
use crate::program::{Program, secret_variables};
use crate::service::{Goal, Service};
use crate::{Error, ServiceConfig, ServiceStatus};
use balance::Instance;
use notation::Named;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What services need to know of their surroundings.
#[derive(Clone)]
pub struct ServicesContext {
    /// The folder of the file: the working directory of services, and what relative paths in it start from.
    pub dir: PathBuf,
    /// This binary, for `$NINES` and for the guard.
    pub nines: PathBuf,
    /// Environment variables that no service inherits: those that hold the secrets of other parts.
    pub hidden_env: Vec<String>,
    /// Where the figures go.
    pub registry: telemetry::Registry,
}

/// The running services.
///
/// Dropping them ends their processes as well, but nobody waits for that: [`Services::stop`] does.
pub struct Services {
    context: ServicesContext,
    ports: Ports,
    groups: Groups,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<String, Running>,
    /// No longer in the file, but not yet ended.
    retiring: Vec<Service>,
    /// Started with the first service.
    guard: Option<Guard>,
}

struct Running {
    service: Service,
    program: Arc<Program>,
    instances: u32,
}

/// A reload that can no longer fail: see [`Services::prepare`].
pub struct Prepared(BTreeMap<String, Wanted>);

struct Wanted {
    program: Program,
    instances: u32,
    care: Care,
}

/// What a reload does to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(String),
    /// It is no longer in the file.
    Removed(String),
    /// It is started in another way: its instances are replaced one by one.
    Replaced(String),
    /// It has another number of instances.
    Scaled {
        /// The service.
        service: String,
        /// How many it had.
        from: u32,
        /// How many it gets.
        to: u32,
    },
    /// Only how it is watched over has changed: its processes stay.
    Adjusted(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(service) => write!(f, "service {service}: started"),
            Self::Removed(service) => write!(f, "service {service}: stopped"),
            Self::Replaced(service) => write!(f, "service {service}: instances replaced one by one"),
            Self::Scaled { service, from, to } => {
                write!(f, "service {service}: from {from} to {to} instances")
            }
            Self::Adjusted(service) => write!(f, "service {service}: adjusted, instances stay"),
        }
    }
}

impl Services {
    /// Starts the services of a file. To be called within the runtime that will run their supervisors, on a
    /// thread that lives as long as the process: the kernel ends the instances with it.
    ///
    /// A missing program, working directory or secret is an error, and nothing is started.
    pub fn start(context: ServicesContext, configs: Named<ServiceConfig>) -> Result<Self, Error> {
        let services =
            Self { context, ports: Ports::default(), groups: Groups::default(), state: Mutex::default() };
        let prepared = services.prepare(configs)?;
        services.commit(prepared);
        Ok(services)
    }

    /// Everything of a reload that may fail; changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a reload hands its part of the file over")]
    pub fn prepare(&self, configs: Named<ServiceConfig>) -> Result<Prepared, Error> {
        let mut context = self.context.clone();
        context.hidden_env.extend(configs.values().flat_map(secret_variables).map(str::to_owned));
        let wanted = |(name, config): (&notation::Name, &ServiceConfig)| {
            let program = Program::new(&context, name, config)?;
            let care = Care { restart: config.restart.clone(), stop: config.stop.clone() };
            Ok((name.as_str().to_owned(), Wanted { program, instances: config.instances, care }))
        };
        Ok(Prepared(configs.iter().map(wanted).collect::<Result<_, Error>>()?))
    }

    /// Applies a reload and says what it changes; the work itself is done in the background. What a service's
    /// file does not change keeps its processes.
    pub fn commit(&self, prepared: Prepared) -> Vec<Change> {
        let mut state = self.state();
        let mut changes = Vec::new();
        state.retiring.retain(|service| !service.has_ended());
        let gone: Vec<String> =
            state.running.keys().filter(|name| !prepared.0.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(running) = state.running.remove(&name) {
                running.service.set_goal(Goal::Retire);
                state.retiring.push(running.service);
                changes.push(Change::Removed(name));
            }
        }
        for (name, wanted) in prepared.0 {
            if state.guard.is_none() {
                state.guard =
                    Some(Guard::start(self.context.nines.clone(), &self.groups, &self.context.registry));
            }
            match state.running.get_mut(&name) {
                Some(running) => changes.extend(running.become_like(name, wanted)),
                None => {
                    state.running.insert(name.clone(), self.begin(&name, wanted));
                    changes.push(Change::Added(name));
                }
            }
        }
        changes
    }

    /// [`Services::prepare`] and [`Services::commit`].
    pub fn reload(&self, configs: Named<ServiceConfig>) -> Result<Vec<Change>, Error> {
        Ok(self.commit(self.prepare(configs)?))
    }

    /// Where the instances of a service are, now and from now on; `None` when there is no such service.
    pub fn instances(&self, service: &str) -> Option<watch::Receiver<Vec<Instance>>> {
        self.state().running.get(service).map(|running| running.service.shared.board.instances())
    }

    /// What every service is doing, by name.
    pub fn status(&self) -> Vec<ServiceStatus> {
        let status = |(name, running): (&String, &Running)| ServiceStatus {
            name: name.clone(),
            instances_wanted: running.instances,
            instances: running.service.shared.board.status(),
        };
        self.state().running.iter().map(status).collect()
    }

    /// Ends every service, all at once, and waits until nothing is left of them: SIGTERM, the service's time to
    /// stop, SIGKILL. To be called when no request is in flight any more.
    pub async fn stop(&self) {
        let state = std::mem::take(&mut *self.state());
        let services: Vec<Service> =
            state.running.into_values().map(|running| running.service).chain(state.retiring).collect();
        for service in &services {
            service.set_goal(Goal::Stop);
        }
        for service in services {
            service.ended().await;
        }
        if let Some(guard) = state.guard {
            guard.stop().await;
        }
    }

    fn begin(&self, name: &str, wanted: Wanted) -> Running {
        let shared = Shared {
            service: name.into(),
            board: Board::new(Meters::new(&self.context.registry, name)),
            ports: self.ports.clone(),
            groups: self.groups.clone(),
            care: Mutex::new(wanted.care),
        };
        let (program, instances) = (Arc::new(wanted.program), wanted.instances);
        let service = Service::start(Arc::new(shared), &program, instances);
        Running { service, program, instances }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn become_like(&mut self, name: String, wanted: Wanted) -> Option<Change> {
        let adjusted = self.service.shared.set_care(wanted.care);
        let (from, to) = (std::mem::replace(&mut self.instances, wanted.instances), wanted.instances);
        let replaced = *self.program != wanted.program;
        if replaced {
            self.program = Arc::new(wanted.program);
        }
        if replaced || from != to {
            self.service.set_goal(Goal::Run { program: Arc::clone(&self.program), instances: to });
        }
        match (replaced, from != to, adjusted) {
            (true, _, _) => Some(Change::Replaced(name)),
            (false, true, _) => Some(Change::Scaled { service: name, from, to }),
            (false, false, true) => Some(Change::Adjusted(name)),
            (false, false, false) => None,
        }
    }
}
