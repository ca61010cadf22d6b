//! Names that are resolved, by a resolver that answers from a script, on stopped time.

use super::world::*;
use crate::discovery::{Builder, Resolve, Resolved, Resolving, look_up};
use crate::{SystemResolver, Wish};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Answers with what is next in the script, and goes on with the last; notes when it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Resolved, String>>>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<(&'static [u8], u64), &'static str>>) -> Arc<Self> {
        let answers = answers.into_iter().map(|answer| {
            let address = |last: &u8| IpAddr::from([10, 0, 0, *last]);
            answer
                .map(|(addresses, ttl)| Resolved {
                    addresses: addresses.iter().map(address).collect(),
                    ttl: Duration::from_secs(ttl),
                })
                .map_err(str::to_owned)
        });
        Arc::new(Self { answers: Mutex::new(answers.collect()), asked: Mutex::default() })
    }

    /// Seconds from each question to the next.
    fn pauses(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| (pair[1].1 - pair[0].1).as_secs_f64().round() as u64).collect()
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push((host.to_owned(), Instant::now()));
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.unwrap_or(Err("the script is empty".into())) })
    }
}

fn addresses(world: &World) -> Vec<String> {
    let status = world.pool.status();
    status.endpoints.into_iter().filter_map(|endpoint| Some(endpoint.address?.to_string())).collect()
}

async fn running<T>(world: &World, script: &Arc<Script>, then: impl Future<Output = T>) -> T {
    let drain = flow::Drain::new();
    let resolver: Arc<dyn Resolve> = script.clone();
    let running = tokio::spawn(Arc::clone(&world.pool).run_with(resolver, drain.watch()));
    let value = then.await;
    drain.start();
    running.await.unwrap();
    value
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_name_is_an_endpoint_and_is_asked_for_again_at_its_time_to_live() {
    let world = World::new("dns = \"shop.internal:3000\"");
    let script = Script::of([Ok((&[2, 1][..], 30)), Ok((&[2, 3], 60))]);
    running(&world, &script, async {
        tokio::time::sleep(SEC).await;
        assert_eq!(addresses(&world), ["10.0.0.1:3000", "10.0.0.2:3000"]);
        let kept = world.endpoint("10.0.0.2:3000").id();
        tokio::time::sleep(30 * SEC).await;
        assert_eq!(addresses(&world), ["10.0.0.2:3000", "10.0.0.3:3000"]);
        assert_eq!(world.endpoint("10.0.0.2:3000").id(), kept);
        tokio::time::sleep(125 * SEC).await;
    })
    .await;
    assert_eq!(script.pauses(), [30, 60, 60]);
    assert_eq!(script.asked.lock().unwrap()[0].0, "shop.internal");
}

#[tokio::test(start_paused = true)]
async fn times_to_live_are_kept_between_a_second_and_five_minutes() {
    let world = World::new("dns = \"shop.internal:3000\"");
    let script = Script::of([Ok((&[1][..], 0)), Ok((&[1], 0)), Ok((&[1], 86_400)), Ok((&[1], 86_400))]);
    running(&world, &script, tokio::time::sleep(305 * SEC)).await;
    assert_eq!(script.pauses(), [1, 1, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_name_keeps_its_last_addresses_and_is_asked_for_less_and_less_often() {
    let world = World::new("dns = \"shop.internal:3000\"");
    let script = Script::of([Ok((&[1][..], 5)), Err("no such name")]);
    running(&world, &script, async {
        tokio::time::sleep(400 * SEC).await;
        assert_eq!(addresses(&world), ["10.0.0.1:3000"]);
    })
    .await;
    let pauses = script.pauses();
    assert!(
        pauses[1] <= 2 && pauses.last().unwrap() >= &24 && pauses.iter().all(|pause| *pause <= 30),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_resolved_keeps_nobody_waiting() {
    let mut world = World::new("servers = [\"later.internal:80\", \"10.9.9.9:80\"]");
    let script = Script::of([Err("no such name"), Err("no such name"), Ok((&[7][..], 60))]);
    let pool = Arc::clone(&world.pool);
    running(&world, &script, async {
        assert!(pool.is_ready());
        assert_eq!(pool.available(), 1);
        tokio::time::sleep(10 * SEC).await;
        assert_eq!(pool.available(), 2);
    })
    .await;
    assert_eq!(addresses(&world), ["10.0.0.7:80", "10.9.9.9:80"]);
    assert!(world.try_pick(&Wish::default()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_moves_is_a_new_endpoint_of_the_same_name() {
    let world = World::new("servers = [\"app.internal:80\"]");
    let script = Script::of([Ok((&[1][..], 10)), Ok((&[2], 10))]);
    running(&world, &script, async {
        tokio::time::sleep(SEC).await;
        let before = world.endpoint("app.internal:80");
        tokio::time::sleep(10 * SEC).await;
        assert!(before.is_gone());
        assert_eq!(addresses(&world), ["10.0.0.2:80"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_starts_and_ends_lookups() {
    let world = World::new("dns = \"old.internal:80\"");
    let script = Script::of([Ok((&[1][..], 10))]);
    running(&world, &script, async {
        tokio::time::sleep(SEC).await;
        world.pool.apply(config("dns = \"new.internal:80\""));
        tokio::time::sleep(25 * SEC).await;
    })
    .await;
    let names: Vec<String> = script.asked.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["old.internal", "new.internal", "new.internal", "new.internal"]);
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let found = SystemResolver.resolve("localhost").await.unwrap();
    assert_eq!(found.addresses, [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(
        SystemResolver.resolve("shop.localhost").await.unwrap().addresses,
        [IpAddr::from([127, 0, 0, 1])]
    );
}

/// A name server that answers a question for A with these addresses, for AAAA with none, and any other name
/// with "no such name" (RFC 1035 §4).
async fn name_server(name: &'static str, addresses: &'static [[u8; 4]], ttl: u32) -> Builder {
    const A: u16 = 1;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let wire_name: Vec<u8> = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .chain([0])
        .collect();
    tokio::spawn(async move {
        let mut query = [0; 1500];
        loop {
            let (_, client) = socket.recv_from(&mut query).await.unwrap();
            let asks = query[12..].starts_with(&wire_name);
            let question = &query[12..12 + wire_name.len() + 4];
            let kind = u16::from_be_bytes([question[wire_name.len()], question[wire_name.len() + 1]]);
            let answers: &[[u8; 4]] = if asks && kind == A { addresses } else { &[] };
            let code = if asks { 0x80 } else { 0x83 };
            let head =
                [query[0], query[1], 0x85, code, 0, u8::from(asks), 0, answers.len() as u8, 0, 0, 0, 0];
            let mut reply = head.to_vec();
            if asks {
                reply.extend_from_slice(question);
            }
            for address in answers {
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
                reply.extend_from_slice(&ttl.to_be_bytes());
                reply.extend_from_slice(&[0, 4]);
                reply.extend_from_slice(address);
            }
            socket.send_to(&reply, client).await.unwrap();
        }
    });
    let mut server = NameServerConfig::udp([127, 0, 0, 1].into());
    server.connections[0].port = port;
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

#[tokio::test]
async fn a_name_server_is_asked_and_its_time_to_live_heeded() {
    let builder = name_server("shop.test", &[[10, 0, 0, 1], [10, 0, 0, 2]], 40).await;
    let mut found = look_up(builder, "shop.test.").await.unwrap();
    found.addresses.sort();
    assert_eq!(found.addresses, [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]);
    assert!(found.ttl <= 40 * SEC && found.ttl > 10 * SEC, "{:?}", found.ttl);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_failure() {
    let builder = name_server("shop.test", &[], 40).await;
    assert_eq!(look_up(builder, "shop.test.").await, Err("it has no addresses".into()));
}
