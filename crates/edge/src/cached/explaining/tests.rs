use super::*;
use crate::cached::Cdn;
use crate::config::EdgeConfig;
use crate::loading::compile_offline;
use crate::running::EdgeParts;
use balance::{Pool, PoolConfig, PoolContext};
use cdn::fill::Place;
use cdn::purge::{Mode, Target};
use cdn::rules::{Asked, Came, Lines, Method, Policy, Stored, Times, may_store, passing};
use cdn::store::{Body, Object};
use cdn::{Engine, EngineConfig};
use std::collections::HashMap;
use std::time::Duration;

const URL: &str = "http://a.test/img/1";

/// A cache whose responses came at a time that is `now`, until it is moved.
struct World {
    engine: Arc<Engine>,
    snapshot: Snapshot,
    came: SystemTime,
}

impl World {
    fn new() -> Self {
        let engine = Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap());
        let context = PoolContext {
            name: "all".into(),
            at: None,
            secret: [0; 16],
            registry: telemetry::Registry::new(),
        };
        let pool: PoolConfig = toml::from_str("servers = ['127.0.0.1:1']").unwrap();
        let site = "route = { '/img/' = { pool = 'all', cache = 'cdn' }, '/' = { pool = 'all' }, '/no' = { respond = {} } }";
        let cdn = "purge = ['127.0.0.1/32']\nstale = { revalidate = '30s' }";
        let parts = EdgeParts {
            config: EdgeConfig::default(),
            sites: [(notation::Name::new("default"), toml::from_str(site).unwrap())].into(),
            pools: HashMap::from([("all".to_owned(), Pool::new(context, pool))]),
            pushes: None,
            dir: ".".into(),
            data: "data".into(),
            cdn: Some(Cdn { engine: Arc::clone(&engine), config: toml::from_str(cdn).unwrap() }),
            dns: None,
        };
        Self { engine, snapshot: compile_offline(&parts).unwrap(), came: SystemTime::now() }
    }

    fn stored(&self, request: &str, response: &str) -> Stored {
        let request = Lines::of(request.as_bytes());
        let came = Came::of(200, Lines::of(response.as_bytes()), self.came);
        let asked = Asked::of(Method::Get, request.clone());
        let times = Times { requested: self.came, received: self.came };
        let policy = Policy { stale_while_revalidate: 30, ..Policy::default() };
        may_store(&asked, &request, &came, Lines::of(response.as_bytes()), &policy, times).unwrap()
    }

    fn keep(&self, request: &str, response: &str) -> Arc<Object> {
        let key = self.engine.key(URL.as_bytes());
        let asked = self.engine.purges().sequence();
        let object = Object::new(key, self.stored(request, response), Body::copy_of(b"body"), asked);
        self.engine.put(object).unwrap()
    }

    /// What is told so many seconds after all has come.
    fn told(&self, after: u64, method: &str, headers: &[(&str, &str)]) -> CacheExplanation {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let query = Query { url: URL.into(), method: method.into(), headers, ..Query::default() };
        explain(&self.snapshot, &query, self.came + Duration::from_secs(after)).unwrap()
    }

    /// The outcome, and the rules.
    fn says(&self, after: u64, method: &str, headers: &[(&str, &str)]) -> (CacheOutcome, String) {
        let told = self.told(after, method, headers);
        (told.outcome, told.why.join("; "))
    }
}

#[test]
fn what_is_kept_is_told_with_its_rules() {
    let world = World::new();
    let kept = world.keep(
        "Accept-Encoding: gzip\r\n",
        "CDN-Cache-Control: max-age=60\r\nVary: Accept-Encoding\r\nCache-Tag: red, blue\r\nETag: \"1\"\r\n",
    );
    let gzip = [("Accept-Encoding", "gzip")];
    let told = world.told(10, "GET", &gzip);
    assert_eq!(
        (told.outcome, &told.why[..]),
        (CacheOutcome::Hit, &["it is fresh (RFC 9111 §4.2)".into()][..])
    );
    assert_eq!(
        (told.site.as_deref(), told.route.as_deref(), told.key.as_deref()),
        (Some("default"), Some("/img/"), Some(URL))
    );
    let expected = KeptExplanation {
        is_chosen: true,
        matches: true,
        differs_by: vec![FieldExplanation { name: "accept-encoding".into(), value: "gzip".into() }],
        places: vec!["memory".into()],
        status: 200,
        body_bytes: 4,
        range: None,
        age_seconds: 10,
        lifetime_seconds: 60,
        lifetime_by: "`CDN-Cache-Control: max-age=60`".into(),
        fresh_for_seconds: 50,
        stale_while_revalidate_seconds: 30,
        stale_if_error_seconds: 86_400,
        must_revalidate: false,
        no_cache: false,
        tags: vec!["blue".into(), "red".into()],
        purged_by: Vec::new(),
        is_gone: false,
    };
    assert_eq!(told.kept, [expected]);
    assert_eq!(kept.frequency(), 0, "to ask why is no use");
    assert_eq!(
        world.says(10, "GET", &[]),
        (
            CacheOutcome::Miss,
            "what is kept for this URL answers other requests (`Vary`); the origin is asked for it".into()
        )
    );
    assert!(!world.told(10, "GET", &[]).kept[0].matches);
}

#[test]
fn what_is_stale_is_told_by_the_rule_that_serves_it_or_does_not() {
    let world = World::new();
    world.keep("", "Cache-Control: max-age=60\r\nETag: \"1\"\r\n");
    let (outcome, why) = world.says(70, "GET", &[]);
    assert_eq!(outcome, CacheOutcome::Stale);
    assert!(why.contains("`stale-while-revalidate`, RFC 5861 §3"), "{why}");
    let (outcome, why) = world.says(100, "GET", &[]);
    assert_eq!(outcome, CacheOutcome::Miss);
    let expected = "the response is stale; the origin is asked whether it is so still; for 23h59m20s more it stands in for an origin that fails (`stale-if-error`, RFC 5861 §4)";
    assert_eq!(why, expected);
    assert_eq!(world.told(100, "GET", &[]).kept[0].fresh_for_seconds, -40);
    let (outcome, why) = world.says(10, "GET", &[("Cache-Control", "no-cache")]);
    assert_eq!(outcome, CacheOutcome::Miss);
    assert!(why.starts_with("the request demands a newer response"), "{why}");
    let (outcome, _) = world.says(100, "GET", &[("Cache-Control", "only-if-cached")]);
    assert_eq!(outcome, CacheOutcome::Unavailable);
    let (outcome, why) = world.says(200, "GET", &[("Cache-Control", "max-stale=999")]);
    assert!(outcome == CacheOutcome::Hit && why.contains("max-stale"), "{why}");
}

#[test]
fn why_a_request_goes_by_the_cache_is_told() {
    let world = World::new();
    for (method, headers, expected) in [
        (
            "POST",
            &[][..],
            "the method is answered by the origin alone; where it succeeds, what is kept of this URL is invalid (RFC 9111 §4.4)",
        ),
        ("OPTIONS", &[], "the method is answered by the origin alone"),
        ("GET", &[("Cache-Control", "no-store")], "the request says `no-store`"),
        ("GET", &[("If-Match", "\"1\"")], "the request has a condition on the origin's state"),
        ("GET", &[("Content-Length", "4")], "the request has a body, which may change what the answer is"),
    ] {
        assert_eq!(world.says(0, method, headers), (CacheOutcome::Pass, expected.into()), "{method}");
    }
    assert_eq!(world.says(0, "HEAD", &[]), world.says(0, "GET", &[]), "it fetches as a GET does");
    let elsewhere = |url: &str, client: Option<&str>, method: &str| {
        let client = client.map(|client| client.parse().unwrap());
        let query = Query { url: url.into(), method: method.into(), client, ..Query::default() };
        let told = explain(&world.snapshot, &query, world.came).unwrap();
        (told.outcome, told.why.join("; "))
    };
    assert_eq!(elsewhere("http://a.test/cart", None, "GET").1, "the route has no `cache`");
    assert_eq!(elsewhere("http://a.test/no", None, "GET").1, "no pool is asked: respond 200");
    assert_eq!(elsewhere(URL, Some("127.0.0.1"), "PURGE").0, CacheOutcome::Purge);
    let (outcome, why) = elsewhere(URL, Some("10.0.0.1"), "PURGE");
    assert!(outcome == CacheOutcome::Pass && why.starts_with("403: "), "{why}");
}

#[test]
fn purges_are_told() {
    let world = World::new();
    world.keep("", "Cache-Control: max-age=60\r\nCache-Tag: red\r\n");
    world.engine.purge(Target::Tag("red"), Mode::Soft).unwrap();
    let told = world.told(10, "GET", &[]);
    assert_eq!((told.outcome, told.kept[0].fresh_for_seconds), (CacheOutcome::Stale, 0));
    assert_eq!(told.kept[0].purged_by, ["soft purge 1 of tag red"]);
    world.engine.purge(Target::Prefix(b"http://a.test/"), Mode::Hard).unwrap();
    let told = world.told(10, "GET", &[]);
    assert_eq!(told.outcome, CacheOutcome::Miss);
    assert_eq!(told.why[0], "what is kept for this URL is purged");
    assert!(told.kept[0].is_gone);
    assert_eq!(told.purges, ["purge 2 of all below http://a.test/"]);
}

#[test]
fn a_fetch_that_is_under_way_and_what_is_not_shared_are_told() {
    let world = World::new();
    let key = world.engine.key(URL.as_bytes());
    let Place::Lead(mut lead) = world.engine.join(&key, 0, Instant::now()) else {
        panic!("nobody fetches it")
    };
    let reader = lead.own_reader();
    let told = world.told(0, "GET", &[]);
    let expected = FetchExplanation { has_head: false, received_bytes: 0, readers: 1 };
    assert_eq!((told.outcome, told.fetch), (CacheOutcome::Miss, Some(expected)));
    assert_eq!(told.why[1], "a fetch is under way: the request reads from it as it comes");

    let came = Came::of(200, Lines::of(b"Cache-Control: private\r\n"), world.came);
    let times = Times { requested: world.came, received: world.came };
    let reason = cdn::rules::NotStored::Private;
    let stored = passing(&came, Lines::of(b""), &Policy::default(), times, reason);
    lead.pass(stored, Some(Instant::now() + Duration::from_secs(60)));
    let told = world.told(0, "GET", &[]);
    assert_eq!((told.outcome, told.fetch), (CacheOutcome::Pass, None));
    let unshared = told.unshared.unwrap();
    assert_eq!(unshared.why, "the response says `private`");
    assert!((58..=60).contains(&unshared.for_seconds), "{}", unshared.for_seconds);
    assert_eq!(world.engine.figures().flights.alone, 0, "nothing is counted");
    drop((lead, reader));
}

#[test]
fn what_is_popular_and_soon_over_is_told_to_be_refreshed() {
    let world = World::new();
    let kept = world.keep("", "Cache-Control: max-age=60\r\n");
    for _ in 0..2 {
        world.engine.find(&kept.key, |_| true).unwrap();
    }
    assert_eq!(world.told(10, "GET", &[]).why.len(), 1);
    assert_eq!(world.told(58, "GET", &[]).why[1], words::REFRESHED);
    assert!(kept.is_popular(), "to ask why begins nothing");
}
