//! A pool, a clock and a die.

use crate::{
    Endpoint, Instance, Outcome, PickError, Picked, Pool, PoolConfig, PoolContext, Settings, State, Wish,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) struct World {
    pub(crate) pool: Arc<Pool>,
    pub(crate) registry: telemetry::Registry,
    pub(crate) now: Instant,
    pub(crate) rng: SmallRng,
}

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);

pub(crate) fn config(toml: &str) -> PoolConfig {
    toml::from_str(toml).expect("the test's own configuration")
}

pub(crate) fn instance(id: &str, port: u16) -> Instance {
    Instance { id: id.into(), address: ([127, 0, 0, 1], port).into(), weight: 1, at: None, ready: true }
}

impl World {
    pub(crate) fn new(toml: &str) -> Self {
        Self::at(toml, None)
    }

    pub(crate) fn at(toml: &str, at: Option<&str>) -> Self {
        Self::made(config(toml), at)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::made(settings, None)
    }

    fn made(settings: impl Into<Settings>, at: Option<&str>) -> Self {
        let registry = telemetry::Registry::new();
        let context = PoolContext {
            name: "web".into(),
            at: at.map(str::to_owned),
            secret: *b"a secret of ours",
            registry: registry.clone(),
        };
        let pool = Pool::new(context, settings);
        Self { pool, registry, now: crate::pool::now(), rng: SmallRng::seed_from_u64(9) }
    }

    /// Three servers, a to c, with more settings.
    pub(crate) fn abc(more: &str) -> Self {
        Self::new(&format!("servers = [\"a:1\", \"b:1\", \"c:1\"]\n{more}")).resolved()
    }

    /// Gives names of one letter addresses.
    pub(crate) fn resolved(self) -> Self {
        for letter in b'a'..=b'f' {
            let host = char::from(letter).to_string();
            self.pool.resolved(&host, vec![[10, 0, 0, letter].into()], self.now);
        }
        self
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn try_pick(&mut self, wish: &Wish<'_>) -> Result<Picked, PickError> {
        self.pool.pick(wish, self.now, &mut self.rng)
    }

    pub(crate) fn pick(&mut self) -> Picked {
        self.try_pick(&Wish::default()).expect("somebody is available")
    }

    /// The name of the endpoint that a quick request goes to.
    pub(crate) fn picked(&mut self, wish: &Wish<'_>) -> String {
        let picked = self.try_pick(wish).expect("somebody is available");
        let name = picked.endpoint().name().to_owned();
        picked.finish(Outcome::Answered { status: 200 }, MS, self.now);
        name
    }

    /// How many of so many quick requests go where.
    pub(crate) fn spread(&mut self, requests: usize) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for _ in 0..requests {
            *spread.entry(self.picked(&Wish::default())).or_default() += 1;
        }
        spread
    }

    /// The names that quick requests go to.
    pub(crate) fn used(&mut self) -> String {
        self.spread(300).into_keys().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn endpoint(&self, name: &str) -> Arc<Endpoint> {
        self.pool.with_members(|members| {
            let member =
                members.iter().find(|member| &*member.wanted.name == name).expect("a member of this name");
            member.endpoint.clone().expect("its address is known")
        })
    }

    /// Ends a check of an endpoint.
    pub(crate) fn check(&self, name: &str, passed: bool) {
        let found = if passed { Ok("GET / answered 200".into()) } else { Err("GET / answered 500".into()) };
        self.pool.checked(self.endpoint(name).id(), found, self.now);
    }

    /// Ends a request on an endpoint, whether or not the policy would choose it.
    pub(crate) fn end(&self, name: &str, outcome: Outcome) {
        let endpoint = self.endpoint(name);
        assert!(endpoint.start(u64::MAX));
        Picked::new(endpoint, false, false).finish(outcome, MS, self.now);
    }

    pub(crate) fn fail(&self, name: &str, times: usize) {
        for _ in 0..times {
            self.end(name, Outcome::ConnectFailed);
        }
    }

    pub(crate) fn state(&self, name: &str) -> State {
        self.status(name).state
    }

    pub(crate) fn status(&self, name: &str) -> crate::EndpointStatus {
        let status = self.pool.status();
        status.endpoints.into_iter().find(|endpoint| endpoint.name == name).expect("a member of this name")
    }

    pub(crate) fn error(&mut self) -> String {
        self.try_pick(&Wish::default()).expect_err("nobody is available").to_string()
    }
}
