//! What the tests share: a folder, services in it, and ways to wait and look.

use balance::Instance;
use notation::Named;
use services::{Error, InstanceState, InstanceStatus, ServiceConfig, Services, ServicesContext};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for two busy cores; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with services.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) registry: telemetry::Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), registry: telemetry::Registry::new() }
    }

    pub(crate) fn context(&self) -> ServicesContext {
        context(self.dir.path().into(), self.registry.clone())
    }

    /// Starts the services of a file's `[service]` part.
    pub(crate) fn start(&self, file: &str) -> Result<Services, Error> {
        Services::start(self.context(), parse(file))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A number that a program writes into a file once it has come that far.
    pub(crate) async fn number_in(&self, name: &str) -> u32 {
        let path = self.path(name);
        until_some(&format!("{name} is written"), || fs::read_to_string(&path).ok()?.trim().parse().ok())
            .await
    }
}

pub(crate) fn context(dir: PathBuf, registry: telemetry::Registry) -> ServicesContext {
    ServicesContext { dir, nines: std::env::current_exe().unwrap(), hidden_env: Vec::new(), registry }
}

/// The services of a file, by their names: `[shop]` instead of `[service.shop]`.
pub(crate) fn parse(file: &str) -> Named<ServiceConfig> {
    toml::from_str(file).unwrap()
}

/// Runs a test on a runtime like that of nines: one thread, the one that lives as long as the process.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(())).await;
}

/// Waits until there is something.
pub(crate) async fn until_some<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The instances of a service, once `count` of them are ready and no others are listed.
pub(crate) async fn ready(services: &Services, service: &str, count: usize) -> Vec<Instance> {
    let mut instances = services.instances(service).unwrap();
    let all_ready = |list: &Vec<Instance>| list.len() == count && list.iter().all(|each| each.ready);
    let found = tokio::time::timeout(PATIENCE, instances.wait_for(all_ready)).await;
    found.expect("instances become ready in time").unwrap().clone()
}

/// The instances of a service as people see them.
pub(crate) fn status(services: &Services, service: &str) -> Vec<InstanceStatus> {
    services.status().into_iter().find(|each| each.name == service).unwrap().instances
}

/// The pids of a service's instances that run, in order of their names.
pub(crate) fn pids(services: &Services, service: &str) -> Vec<u32> {
    let running = |each: &InstanceStatus| each.pid.filter(|_| each.state == InstanceState::Running);
    status(services, service).iter().filter_map(running).collect()
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// What the small server at this address answers.
pub(crate) fn ask(address: SocketAddr) -> String {
    let mut answer = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
    answer
}

/// The small server: answers every connection with its instance's name and its further arguments.
pub(crate) fn serve(port: &str) -> ExitCode {
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    assert_eq!(std::env::var("PORT").as_deref(), Ok(port));
    let instance = std::env::var("INSTANCE").unwrap();
    let rest = std::env::args().skip(3).collect::<Vec<_>>().join(" ");
    for stream in listener.incoming() {
        // Who only looks whether somebody listens does not wait for the answer.
        let _ = stream.and_then(|mut stream| write!(stream, "{instance} {rest}"));
    }
    ExitCode::SUCCESS
}
