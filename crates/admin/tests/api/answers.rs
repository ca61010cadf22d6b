//! What each route answers.

use crate::world::{FILE, World};
use admin::Limits;
use serde_json::{Value, json};

#[tokio::test]
async fn health_and_readiness_are_answered() {
    let world = World::start().await;
    assert_eq!(world.get("/healthz").await.status, 200);
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true })));
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_waits_for_a_pool_is_not_ready_and_says_for_which() {
    // It takes the check's connection and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pool = format!(
        "[pool.slow]\nservers = [\"{}\"]\nhealth = {{ http = \"/\", timeout = \"60s\" }}\n",
        silent.local_addr().unwrap()
    );
    let file = FILE.to_owned() + &pool;
    let world = World::start_with(&file, None, Limits::default()).await;
    let answer = world.get("/readyz").await;
    assert!(answer.problem(503).contains("pool slow"), "{answer:?}");
    assert_eq!(answer.json()["reasons"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/healthz").await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_is_alive_but_not_ready() {
    let world = World::start().await;
    world.running.stop(std::time::Duration::ZERO).await;
    assert!(world.get("/readyz").await.problem(503).contains("stopping"));
    assert_eq!(world.get("/healthz").await.status, 200);
    world.post("/api/v1/reload", "").await.problem(409);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let world = World::start().await;
    let answer = world.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        answer.body.contains("# TYPE nines_balance_endpoint_requests_total counter\n"),
        "{}",
        answer.body
    );
    assert!(
        answer
            .body
            .contains("nines_balance_endpoint_requests_total{endpoint=\"127.0.0.1:2\",pool=\"web\"} 0\n")
    );
    world.stop().await;
}

#[tokio::test]
async fn the_lists_are_the_parts_of_the_status() {
    let world = World::start().await;
    let status = world.get("/api/v1/status").await.json();
    for part in ["pools", "services", "listeners"] {
        assert_eq!(world.get(&format!("/api/v1/{part}")).await.json(), status[part], "{part}");
    }
    let pool = world.get("/api/v1/pools/web").await.json();
    assert_eq!(pool["endpoints"][1]["weight"], 3);
    let endpoints = world.get("/api/v1/endpoints").await.json();
    let names: Vec<(&Value, &Value)> =
        endpoints.as_array().unwrap().iter().map(|endpoint| (&endpoint["pool"], &endpoint["name"])).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&(&json!("web"), &json!("127.0.0.1:2"))));
    let tiers = world.get("/api/v1/tiers").await.json();
    assert_eq!(tiers[0]["name"], "balance");
    assert_eq!(tiers[0]["figures"]["endpoints"], 3);
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_pool_is_not_found_and_the_known_ones_are_named() {
    let world = World::start().await;
    assert_eq!(world.get("/api/v1/pools/wbe").await.problem(404), "no pool \"wbe\"; known: jobs, web");
    world.stop().await;
}

#[tokio::test]
async fn endpoints_are_drained_in_their_pool_or_by_name() {
    let world = World::start().await;
    let state = async |pool: &str, nth: usize| {
        world.get(&format!("/api/v1/pools/{pool}")).await.json()["endpoints"][nth]["state"].clone()
    };
    let drained = world.post("/api/v1/pools/web/endpoints/127.0.0.1:1/drain", "").await;
    assert_eq!((drained.status, drained.json()), (200, json!({ "endpoint": "web/127.0.0.1:1" })));
    assert_eq!((state("web", 0).await, state("jobs", 0).await), (json!("draining"), json!("healthy")));
    world.post("/api/v1/pools/web/endpoints/127.0.0.1%3A1/undrain", "").await;
    assert_eq!(state("web", 0).await, "healthy");

    let by_name = world.post("/api/v1/drain", r#"{"endpoint":"127.0.0.1:2"}"#).await;
    assert_eq!(by_name.json(), json!({ "endpoint": "web/127.0.0.1:2" }));
    assert_eq!(state("web", 1).await, "draining");
    assert_eq!(world.post("/api/v1/undrain", r#"{"endpoint":"127.0.0.1:2","pool":"web"}"#).await.status, 200);
    assert_eq!(state("web", 1).await, "healthy");
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_several_pools_know_is_a_conflict_with_the_candidates() {
    let world = World::start().await;
    let answer = world.post("/api/v1/drain", r#"{"endpoint":"127.0.0.1:1"}"#).await;
    answer.problem(409);
    assert_eq!(answer.json()["candidates"].as_array().unwrap().len(), 2);
    world.post("/api/v1/drain", r#"{"endpoint":"nobody"}"#).await.problem(404);
    world.post("/api/v1/pools/nopool/endpoints/127.0.0.1:1/drain", "").await.problem(404);
    world.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_was_asked_for_is_a_problem() {
    let world = World::start().await;
    world.post("/api/v1/drain", "{").await.problem(400);
    world.post("/api/v1/drain", "{}").await.problem(422);
    world.post("/api/v1/drain", r#"{"endpoint":"a","pol":"b"}"#).await.problem(422);
    world.ask("POST", "/api/v1/drain", &[("content-type", "text/plain")], "{}").await.problem(415);
    world.stop().await;
}

#[tokio::test]
async fn a_reload_says_what_changed() {
    let world = World::start().await;
    world.write(&FILE.replace("weight = 3", "weight = 4"));
    let answer = world.post("/api/v1/reload", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["pools"]["changed"], json!(["web"]));
    assert_eq!(world.get("/api/v1/pools/web").await.json()["endpoints"][1]["weight"], 4);
    world.stop().await;
}

#[tokio::test]
async fn a_reload_of_a_wrong_file_lists_every_problem_and_changes_nothing() {
    let world = World::start().await;
    let before = world.get("/api/v1/pools").await.json();
    world.write(
        &FILE.replace("weight = 3", "wieght = 3").replace("[pool.jobs]", "[pool.jobs]\nblance = \"random\""),
    );
    let answer = world.post("/api/v1/reload", "").await;
    assert!(answer.problem(422).contains("nothing changed"), "{answer:?}");
    let problems = answer.json()["problems"].clone();
    assert_eq!(problems.as_array().unwrap().len(), 2, "{problems}");
    assert!(problems[0]["line"].is_u64() && problems[0]["column"].is_u64());
    assert_eq!(world.get("/api/v1/pools").await.json(), before);
    world.stop().await;
}

#[tokio::test]
async fn explain_wants_a_url_and_knows_its_parameters() {
    let world = World::start().await;
    for query in ["", "?url=", "?method=GET", "?url=/&client=nowhere", "?url=/&header=x", "?url=/&hedaer=a:b"]
    {
        world.get(&format!("/api/v1/explain{query}")).await.problem(400);
    }
    world.stop().await;
}

#[tokio::test]
async fn explain_tells_the_site_the_route_and_the_endpoint() {
    let file = FILE.to_owned()
        + "[edge]\nhttp = [\"127.0.0.1:0\"]\ncores = 1\n[site.\"shop.test\".route]\n\"/\" = { pool = \"web\" }\n\"/buy\" = { when = { method = [\"POST\"], header = { x-a = \"b\" } }, pool = \"jobs\" }\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let explained = world
        .get("/api/v1/explain?url=http%3A%2F%2Fshop.test%2Fbuy&method=POST&header=X-A:%20b&header=X-C:d")
        .await;
    assert_eq!(explained.json()["action"], "pool jobs", "{explained:?}");
    let explained = world.get("/api/v1/explain?url=http://shop.test/buy&client=203.0.113.7").await.json();
    assert_eq!((&explained["site"], &explained["pool"]["pool"]), (&json!("shop.test"), &json!("web")));
    world.stop().await;
}

#[tokio::test]
async fn explain_tells_where_a_connection_or_a_datagram_goes() {
    let file = FILE.to_owned()
        + "[tcp.db]\nlisten = \"127.0.0.1:0\"\npool = \"web\"\nsni = { \"a.test\" = \"jobs\" }\n\
           [udp.dns]\nlisten = \"127.0.0.1:0\"\npool = \"jobs\"\ndeny = [\"203.0.113.0/24\"]\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let explained = |query: &'static str| world.get(query);
    let by_name = explained("/api/v1/explain-listener?listener=tcp:db&server_name=a.test").await.json();
    assert_eq!(by_name["steps"], json!(["server name \"a.test\": `sni` names pool jobs"]));
    assert_eq!(by_name["pool"]["picked"], "127.0.0.1:1");
    let denied = explained("/api/v1/explain-listener?listener=udp%3Adns&client=203.0.113.7").await.json();
    assert_eq!(denied["steps"], json!(["denied by 203.0.113.0/24", "the datagram is dropped"]));
    assert_eq!(denied.get("pool"), None);
    let unknown = explained("/api/v1/explain-listener?listener=tcp:dns").await;
    assert!(unknown.problem(404).contains("known: tcp:db, udp:dns"), "{unknown:?}");
    for query in ["", "?listener=db", "?listener=udp:dns&server_name=a", "?listener=tcp:db&client=x", "?x=y"]
    {
        world.get(&format!("/api/v1/explain-listener{query}")).await.problem(400);
    }
    world.stop().await;
    let world = World::start().await;
    let none = world.get("/api/v1/explain-listener?listener=tcp:db").await.problem(404);
    assert_eq!(none, "no `[tcp.db]` in the file; it has none of TCP or UDP");
    world.stop().await;
}

#[tokio::test]
async fn explain_tells_what_is_answered_to_a_question_of_dns() {
    let file = FILE.to_owned()
        + "[dns]\nlisten = '127.0.0.1:0'\n[dns.zone.'shop.test']\nrecords = ['@ SOA ns1 a 1 1d 2h 4w 5m', '@ NS ns1', 'ns1 A 192.0.2.1']\n\
           [dns.zone.'shop.test'.route.www]\nchoose = ['healthy', 'failover']\n\
           answers = [{ addresses = ['192.0.2.2'] }, { addresses = ['192.0.2.3'] }]\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let routed = world.get("/api/v1/explain-dns?name=www.shop.test&client=203.0.113.7").await.json();
    assert_eq!(routed["answer"], json!(["www.shop.test. 20 IN A 192.0.2.2"]));
    assert_eq!(routed["route"]["steps"][1]["dropped"][0]["why"], "another comes before it");
    let missing = world.get("/api/v1/explain-dns?name=mail.shop.test&type=MX").await.json();
    assert_eq!((&missing["outcome"], &missing["rcode"]), (&json!("nxdomain"), &json!("NXDOMAIN")));
    for query in ["", "?name=a..b", "?name=shop.test&type=ADDRESS", "?name=shop.test&client=x", "?x=y"] {
        world.get(&format!("/api/v1/explain-dns{query}")).await.problem(400);
    }
    world.stop().await;
    let world = World::start().await;
    let none = world.get("/api/v1/explain-dns?name=shop.test").await.problem(404);
    assert_eq!(none, "the file has no `[dns]`");
    world.stop().await;
}

#[tokio::test]
async fn a_key_is_replaced_when_the_zone_above_has_its_ds() {
    let file = FILE.to_owned()
        + "[dns]\nlisten = '127.0.0.1:0'\n[dns.zone.'shop.test']\nsign = { propagation = '0s' }\nttl = '0s'\n\
           records = ['@ SOA ns1 a 1 1d 2h 4w 5m', '@ NS ns1', 'ns1 A 192.0.2.1']\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let keys = async || world.get("/api/v1/status").await.json()["zones"][0]["signing"]["keys"].clone();
    let (shop, seen) = (r#"{"zone":"SHOP.test."}"#, "/api/v1/dns/ds-seen");
    let early = world.post(seen, shop).await.problem(409);
    assert_eq!(early, "zone shop.test: no key of it waits for its DS");
    let made = world.post("/api/v1/dns/roll-over", shop).await.json();
    let again = world.post("/api/v1/dns/roll-over", shop).await.problem(409);
    assert_eq!(again, format!("zone shop.test: its key {} is on its way already: submitted", made["tag"]));
    let waiting = keys().await;
    assert_eq!(waiting[0]["state"], "active");
    assert_eq!((&waiting[1]["tag"], &waiting[1]["waits_for_ds"]), (&made["tag"], &json!(true)));
    assert!(waiting[0]["ds"].is_null() && waiting[1]["ds"].is_string());
    world.post(seen, r#"{"zone":"shop.test","ttl":"soon"}"#).await.problem(400);
    assert_eq!(world.post(seen, r#"{"zone":"shop.test","ttl":"1h"}"#).await.json()["tag"], made["tag"]);
    let trusted = keys().await;
    assert_eq!(trusted[1]["next"]["step"], "active");
    assert!(trusted[1]["waits_for_ds"].is_null());
    world.post(seen, r#"{"zone":"other.test"}"#).await.problem(409);
    world.stop().await;
    let world = World::start().await;
    assert_eq!(world.post(seen, shop).await.problem(404), "the file has no `[dns]`");
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::start().await;
    assert!(world.get("/api/v2/status").await.problem(404).contains("/api/v2/status"));
    let answer = world.ask("DELETE", "/api/v1/reload", &[], "").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("post"));
    world.stop().await;
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let world = World::start().await;
    let answer = world.ask("HEAD", "/healthz", &[], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    world.stop().await;
}

#[tokio::test]
async fn what_the_resolver_keeps_of_a_name_is_forgotten() {
    let file = FILE.to_owned() + "[dns]\nlisten = '127.0.0.1:0'\n[dns.resolver]\nforward = ['127.0.0.1:1']\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let json = [("content-type", "application/json")];
    let flush = async |body| world.ask("POST", "/api/v1/dns/flush", &json, body).await;
    assert_eq!(flush(r#"{"name":"shop.test"}"#).await.json(), json!({ "flushed": 0 }));
    flush(r#"{"name":"a..b"}"#).await.problem(400);
    flush(r#"{"name":"a.test","x":1}"#).await.problem(422);
    world.stop().await;
    let world = World::start().await;
    let none = world.ask("POST", "/api/v1/dns/flush", &json, r#"{"name":"a.test"}"#).await.problem(404);
    assert_eq!(none, "the file has no `[dns.resolver]`");
    world.stop().await;
}
