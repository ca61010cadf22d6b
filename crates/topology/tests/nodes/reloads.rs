//! Another file for a running node.

use crate::Test;
use crate::world::{SHOP, World, block_on, edge, get, pids, until};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use topology::{Changes, ReloadError};

pub(crate) const TESTS: &[Test] = &[
    ("a_bad_file_changes_nothing", || block_on(a_bad_file_changes_nothing())),
    ("a_reload_that_cannot_listen_changes_nothing", || block_on(a_taken_port_changes_nothing())),
    ("a_certificate_that_cannot_be_used_changes_nothing", || block_on(a_bad_certificate_changes_nothing())),
    ("the_node_itself_needs_a_takeover_to_change", || block_on(the_node_needs_a_takeover())),
    ("what_did_not_change_keeps_its_processes_figures_and_port", || block_on(what_stays_stays())),
    ("a_route_moves_to_a_new_pool_without_a_failed_request", || block_on(a_route_moves())),
    ("an_edge_comes_and_goes", || block_on(an_edge_comes_and_goes())),
    ("a_reload_that_nobody_waits_for_is_done_all_the_same", || block_on(an_abandoned_reload())),
];

async fn a_bad_file_changes_nothing() {
    let world = World::new(SHOP);
    let running = world.up().await;
    let (before, processes) = (running.topology(), pids(&running));
    world
        .write(&SHOP.replace("pool = \"shop\"", "pool = \"shpo\"").replace("instances = 2", "instances = 3"));
    let Err(ReloadError::Rejected(rejected)) = running.reload().await else { panic!("a dangling name") };
    assert!(rejected.to_string().contains("unknown pool `shpo` (did you mean `shop`?)"), "{rejected}");
    assert_eq!((running.topology(), pids(&running)), (before, processes));
    assert_eq!(get(edge(&running), "/").await.unwrap().0, 200);
    let metrics = running.registry().render();
    assert!(metrics.contains("nines_topology_reloads_total{outcome=\"refused\"} 1"), "{metrics}");
    running.stop(Duration::from_secs(10)).await;
}

async fn a_taken_port_changes_nothing() {
    let world = World::new(SHOP);
    let running = world.up().await;
    let (before, processes) = (running.topology(), pids(&running));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let more = format!("http = [\"127.0.0.1:0\", \"{address}\"]");
    world.write(&SHOP.replace("http = [\"127.0.0.1:0\"]", &more).replace("instances = 2", "instances = 3"));
    let error = running.reload().await.unwrap_err();
    assert!(
        matches!(&error, ReloadError::Edge(_)) && error.to_string().contains(&address.to_string()),
        "{error}"
    );
    assert_eq!((running.topology(), pids(&running)), (before, processes));
    running.stop(Duration::from_secs(10)).await;
}

async fn a_bad_certificate_changes_nothing() {
    let world = World::new(&format!("{SHOP}\n[pool.other]\nservers = ['127.0.0.1:1']\n"));
    let running = world.up().await;
    let (before, processes) = (running.topology(), pids(&running));
    let with_tls = |pool: &str| {
        format!("{SHOP}\n[pool.{pool}]\nservers = ['127.0.0.1:1']\ntls = {{ ca = 'none.pem' }}\n")
    };
    // A pool that stays, and one that is new.
    for pool in ["other", "late"] {
        world.write(&with_tls(pool).replace("instances = 2", "instances = 3"));
        let error = running.reload().await.unwrap_err().to_string();
        let file = world.path("none.pem");
        let expected =
            format!("pool {pool}: tls: {}: No such file or directory (os error 2)", file.display());
        assert_eq!(error, expected);
        assert_eq!((running.topology(), pids(&running)), (before.clone(), processes.clone()));
    }
    world.write(&with_tls("other").replace("{ ca = 'none.pem' }", "{ verify = false }"));
    assert_eq!(running.reload().await.unwrap().pools.changed, ["other"]);
    running.stop(Duration::from_secs(10)).await;
}

async fn the_node_needs_a_takeover() {
    let world = World::new(SHOP);
    let running = world.up().await;
    world.write(&SHOP.replace("[node]", "[node]\ndata = 'elsewhere'"));
    let error = running.reload().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "node.data cannot change while nines runs; start the new file with `nines up --takeover`"
    );
    running.stop(Duration::from_secs(10)).await;
}

async fn what_stays_stays() {
    let world = World::new(&format!("{SHOP}\n[pool.other]\nservers = ['127.0.0.1:1']\n"));
    let running = world.up().await;
    let (address, processes) = (edge(&running), pids(&running));
    get(address, "/").await.unwrap();
    running.drain("other/127.0.0.1:1").unwrap();
    let requests = |running: &topology::Running| -> u64 {
        let pools = running.status().pools;
        let shop = pools.iter().find(|pool| pool.name == "shop").unwrap();
        shop.endpoints.iter().map(|endpoint| endpoint.requests).sum()
    };
    let before = requests(&running);
    assert!(before > 0);

    assert!(running.reload().await.unwrap().is_empty(), "the same file");
    assert_eq!((edge(&running), pids(&running)), (address, processes.clone()));

    let more = "\n[site.\"new.test\".route]\n'/' = { respond = { body = 'new' } }\n[pool.late]\nservers = ['127.0.0.1:2']\n";
    let changed = "\n[pool.other]\nservers = ['127.0.0.1:1']\nslow_start = '1s'\n";
    world.write(&format!("{SHOP}{changed}{more}"));
    let changes: Changes = running.reload().await.unwrap();
    assert_eq!(
        (changes.pools.added, changes.pools.changed),
        (vec!["late".to_owned()], vec!["other".to_owned()])
    );
    assert_eq!(
        (changes.pools.unchanged, changes.services.unchanged),
        (vec!["shop".to_owned()], vec!["shop".to_owned()])
    );
    assert_eq!(
        (changes.sites.added, changes.listeners.is_empty(), changes.node),
        (vec!["new.test".to_owned()], true, false)
    );
    assert_eq!((edge(&running), pids(&running)), (address, processes));
    assert_eq!(requests(&running), before, "figures go on");
    let other = running.status().pools.into_iter().find(|pool| pool.name == "other").unwrap();
    assert_eq!(other.endpoints[0].state.as_str(), "draining", "a changed pool's endpoint stays drained");

    world.write(SHOP);
    assert_eq!(
        running.reload().await.unwrap().to_string(),
        "pools removed: late, other; site removed: new.test"
    );
    assert_eq!(running.status().pools.len(), 1);
    running.stop(Duration::from_secs(10)).await;
}

async fn a_route_moves() {
    let world = World::new(SHOP);
    let running = world.up().await;
    let address = edge(&running);
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let load = tokio::spawn(async move {
        loop {
            let (status, body) = get(address, "/").await.unwrap();
            assert_eq!(status, 200, "{body}");
            if body.starts_with("green") {
                return;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    until("the old pool serves", || served.load(Ordering::Relaxed) > 0).await;
    world.write(&SHOP.replace("shop", "green"));
    let changes = running.reload().await.unwrap();
    assert_eq!(
        (changes.pools.added, changes.pools.removed),
        (vec!["green".to_owned()], vec!["shop".to_owned()])
    );
    load.await.unwrap();
    until("the old service is gone", || running.status().services.len() == 1).await;
    running.stop(Duration::from_secs(10)).await;
}

async fn an_edge_comes_and_goes() {
    let alone = "[node]\nadmin = '127.0.0.1:0'\n";
    let world = World::new(alone);
    let running = world.up().await;
    world.write(&format!("{alone}[edge]\nhttp = ['127.0.0.1:0']\n[site.default.route]\n'/' = {{ respond = {{ body = 'hello' }} }}\n"));
    running.reload().await.unwrap();
    let address = edge(&running);
    assert_eq!(get(address, "/").await.unwrap(), (200, "hello".into()));
    world.write(alone);
    running.reload().await.unwrap();
    until("the port is closed", || std::net::TcpStream::connect(address).is_err()).await;
    assert_eq!(running.status().tiers, Vec::<String>::new());
    running.stop(Duration::from_secs(10)).await;
}

async fn an_abandoned_reload() {
    let world = World::new(SHOP);
    let running = world.up().await;
    world.write(&SHOP.replace("shop", "green"));
    let abandoned = tokio::time::timeout(Duration::from_millis(1), running.reload()).await;
    assert!(abandoned.is_err(), "a new service takes longer to start");
    until("the new file runs", || running.topology().pool.contains_key("green")).await;
    assert!(running.reload().await.unwrap().is_empty());
    running.stop(Duration::from_secs(10)).await;
}
