//! From start to stop.

use crate::Test;
use crate::world::{SHOP, World, block_on, edge, get, until};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use topology::{EndpointError, Query, StartError};

pub(crate) const TESTS: &[Test] = &[
    ("a_node_serves_its_site_from_its_service_and_stops", || block_on(a_node_serves_and_stops())),
    ("a_second_nines_on_the_same_data_is_refused_by_the_number_of_the_first", || {
        block_on(a_second_is_refused());
    }),
    ("a_taken_port_names_its_holder_and_leaves_nothing_running", || block_on(a_taken_port())),
    ("a_program_that_is_not_there_leaves_nothing_running", || block_on(a_missing_program())),
    ("a_certificate_that_is_not_there_starts_nothing", || block_on(a_missing_certificate())),
    ("endpoints_are_drained_by_name_short_name_and_address", || block_on(endpoints_are_drained())),
    ("status_tells_what_runs_and_explain_where_requests_go", || block_on(status_and_explain())),
    ("listeners_say_what_they_speak_and_routes_what_they_do", || block_on(what_is_spoken_where())),
    ("the_secret_of_sticky_cookies_is_kept_for_its_owner_alone", || block_on(the_sticky_secret_is_kept())),
];

async fn a_node_serves_and_stops() {
    let world = World::new(SHOP);
    let running = world.up().await;
    let address = edge(&running);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let (status, body) = get(address, "/").await.unwrap();
        assert_eq!(status, 200);
        seen.insert(body);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["shop-1", "shop-2"]);
    assert!(running.registry().render().contains("nines_"));

    assert!(running.stop(Duration::from_secs(10)).await, "nothing was under way");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    assert!(
        running.status().services.is_empty() && !running.readiness().ready && running.readiness().stopping
    );
    assert!(running.reload().await.unwrap_err().to_string().contains("stopping"));
    let again = world.up().await;
    assert!(again.stop(Duration::from_secs(10)).await);
}

async fn a_second_is_refused() {
    let world = World::new("[node]\nadmin = '127.0.0.1:0'\n");
    let first = world.up().await;
    let Err(error) = world.start().await else { panic!("two nines share a data folder") };
    let said = error.to_string();
    assert!(
        matches!(error, StartError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{said}"
    );
    assert!(
        said.contains(&format!("(process {})", std::process::id())) && said.contains("--takeover"),
        "{said}"
    );
    first.stop(Duration::ZERO).await;
    world.up().await.stop(Duration::ZERO).await;
}

async fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["http = [\"127.0.0.1:0\"]", "admin = \"127.0.0.1:0\""] {
        let world = World::new(&SHOP.replace(key, &key.replace("127.0.0.1:0", &address)));
        let Err(error) = world.start().await else { panic!("{key} is taken") };
        let said = error.to_string();
        assert!(said.contains(&format!("cannot listen on {address}: the port is taken by ")), "{said}");
        assert!(said.contains(&format!("(process {})", std::process::id())), "{said}");
        // The lock is free again and no service holds anything.
        world.write(SHOP);
        world.up().await.stop(Duration::from_secs(10)).await;
    }
    // HTTP/3's port is asked for before any program is started, too: this one is not even there.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let http3 = format!(
        "https = ['127.0.0.1:0']\nhttp3 = ['{address}']\ncores = 2\n[site.default]\ntls = 'self-signed'"
    );
    let world = World::new(&SHOP.replace("cores = 2", &http3).replace("$NINES", "./absent"));
    let Err(error) = world.start().await else { panic!("the port of UDP is taken") };
    assert!(error.to_string().starts_with(&format!("{address} (UDP) is already taken by ")), "{error}");
}

async fn a_missing_program() {
    let world = World::new(&SHOP.replace("$NINES", "./absent"));
    let Err(error) = world.start().await else { panic!("there is no such program") };
    assert!(error.to_string().contains("absent"), "{error}");
    world.write(SHOP);
    world.up().await.stop(Duration::from_secs(10)).await;
}

async fn a_missing_certificate() {
    let world = World::new(&SHOP.replace("[pool.shop]", "[pool.shop]\ntls = { ca = 'none.pem' }"));
    let Err(error) = world.start().await else { panic!("there is no such file") };
    assert!(matches!(error, StartError::Pool(_)), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "pool shop: tls: {}: No such file or directory (os error 2)",
            world.path("none.pem").display()
        )
    );
    // What only explains a file needs none of its certificates.
    let checked = topology::load(&world.path("nines.toml")).unwrap();
    let query = Query { url: "http://shop.test/".into(), ..Query::default() };
    assert!(topology::explain_file(&checked, &query).is_ok());
}

async fn endpoints_are_drained() {
    let file = "[node]\nadmin = '127.0.0.1:0'\n[pool.a]\nservers = ['127.0.0.1:1', '127.0.0.1:2']\n[pool.b]\nservers = ['127.0.0.1:2']\n";
    let world = World::new(file);
    let running = world.up().await;
    let state =
        |pool: usize, endpoint: usize| running.status().pools[pool].endpoints[endpoint].state.as_str();
    assert_eq!(running.drain("a/127.0.0.1:2").as_deref(), Ok("a/127.0.0.1:2"));
    assert_eq!((state(0, 1), state(1, 0)), ("draining", "healthy"));
    assert_eq!(running.undrain("a/127.0.0.1:2").as_deref(), Ok("a/127.0.0.1:2"));
    assert_eq!(state(0, 1), "healthy");
    assert_eq!(running.drain("127.0.0.1:1").as_deref(), Ok("a/127.0.0.1:1"));
    let ambiguous = running.drain("127.0.0.1:2").unwrap_err();
    assert!(
        matches!(&ambiguous, EndpointError::Ambiguous { candidates, .. } if *candidates == ["a/127.0.0.1:2", "b/127.0.0.1:2"])
    );
    let unknown = running.drain("a/127.0.0.1:3").unwrap_err();
    assert_eq!(unknown.to_string(), "no endpoint \"a/127.0.0.1:3\"; did you mean \"a/127.0.0.1:1\"?");
    running.stop(Duration::ZERO).await;
}

async fn status_and_explain() {
    let world = World::new(SHOP);
    let running = world.up().await;
    until("both instances are healthy", || running.status().pools[0].available == 2).await;
    let status = running.status();
    assert_eq!(status.tiers, ["services", "balance", "edge"]);
    assert_eq!(status.sites[0].routes[0].action, "pool shop");
    assert_eq!(status.listeners.len(), 2);
    assert_eq!(
        serde_json::from_value::<topology::Status>(serde_json::to_value(&status).unwrap()).unwrap(),
        status
    );
    let query = Query { url: "http://shop.test/x".into(), ..Query::default() };
    let explained = running.explain(&query).unwrap();
    assert_eq!(explained.action, "pool shop");
    assert!(explained.pool.unwrap().picked.unwrap().starts_with("shop-"));
    let checked = topology::load(&world.path("nines.toml")).unwrap();
    assert_eq!(topology::explain_file(&checked, &query).unwrap().action, "pool shop");
    running.stop(Duration::from_secs(10)).await;
    assert!(running.explain(&query).is_err());
}

async fn what_is_spoken_where() {
    let file = "[node]\nadmin = '127.0.0.1:0'\n[edge]\nhttp = ['127.0.0.1:0']\nhttps = ['[::1]:0']\nhttp3 = ['[::1]:0']\n\
                [site.default]\ntls = 'self-signed'\n[site.default.route]\n'/' = { files = '.' }\n\
                [site.'a.test'.route]\n'/' = { respond = {} }\n";
    let world = World::new(file);
    let running = world.up().await;
    let status = running.status();
    let speaks: Vec<_> =
        status.listeners.iter().map(|one| (one.tier.as_str(), one.protocol.as_str())).collect();
    assert_eq!(speaks, [("edge", "http"), ("edge", "https"), ("edge", "http3"), ("admin", "http")]);
    assert!(status.listeners[1].address.is_ipv6(), "{:?}", status.listeners);
    assert!(status.listeners.iter().all(|one| one.address.port() != 0), "{:?}", status.listeners);
    let with_tls: Vec<_> = status.sites.iter().map(|site| (site.host.as_str(), site.tls)).collect();
    assert_eq!(with_tls, [("a.test", false), ("default", true)]);
    assert_eq!(status.sites[1].routes[0].action, "files of .");
    running.stop(Duration::from_secs(10)).await;
}

async fn the_sticky_secret_is_kept() {
    let world = World::new("[node]\nadmin = '127.0.0.1:0'\ndata = 'deep/data'\n");
    world.up().await.stop(Duration::ZERO).await;
    let key = world.path("deep/data/sticky.key");
    let secret = std::fs::read(&key).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((secret.len(), mode(&key), mode(&world.path("deep/data"))), (16, 0o600, 0o700));
    let running = world.up().await;
    assert_eq!(mode(&world.path("deep/data/nines.sock")), 0o600);
    running.stop(Duration::ZERO).await;
    assert_eq!(std::fs::read(&key).unwrap(), secret);
    assert!(!world.path("deep/data/nines.sock").exists());
}
