//! `nines up` begins: what it prints, what it refuses.

use crate::world::{Backend, DEMO, Node, World, eventually, exchange, get, proxy_of};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

#[test]
fn up_prints_what_listens_where_with_a_command_that_works() {
    let backend = Backend::start("hello");
    let world =
        World::new(&(proxy_of(&[&backend]) + "[site.\"shop.test\".route]\n\"/a/\" = { pool = \"web\" }\n"));
    let node = world.up();
    let printed = node.stdout();
    for text in [
        format!("curl http://{}/\n", world.edge),
        format!("curl -H 'Host: shop.test' http://{}/a/\n", world.edge),
        format!("curl http://{}/metrics\n", world.admin),
        "ready in ".into(),
    ] {
        assert!(printed.contains(&text), "{text:?} is missing in\n{printed}");
    }
    assert_eq!(get(world.edge, "/").unwrap().body, "hello");
    assert_eq!(get(world.admin, "/metrics").unwrap().status, 200);
}

#[test]
fn the_log_is_json_off_a_terminal_and_one_object_a_line() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let mut node = world.up();
    assert_eq!(node.stop(), Some(0));
    let log = node.stderr();
    assert!(!log.is_empty());
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}

#[test]
fn the_log_is_for_people_when_asked_for() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let mut node = world.up_with(&["--log", "human"]);
    node.wait_ready();
    assert_eq!(node.stop(), Some(0));
    let log = node.stderr();
    assert!(log.contains("INFO") && !log.contains('{') && !log.contains('\x1b'), "{log}");
}

#[test]
fn standard_output_belongs_to_the_access_log_when_it_goes_there() {
    let file = proxy_of(&[&Backend::start("a")]).replace("[pool.web]", "access_log = \"stdout\"\n[pool.web]");
    let world = World::new(&file);
    let mut node = world.up_with(&[]);
    eventually("an answer", || get(world.edge, "/").ok());
    assert_eq!(node.stop(), Some(0));
    for line in node.stdout().lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|_| panic!("not an access log line: {line}"));
    }
    assert!(!node.stdout().is_empty());
}

#[test]
fn a_taken_port_is_named_with_the_process_that_holds_it() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    for address in [world.edge, world.admin] {
        let _holder = TcpListener::bind(address).unwrap();
        let ran = world.run(&["up"]);
        assert_eq!(ran.code, Some(4), "{}", ran.stderr);
        assert!(ran.stderr.contains(&address.to_string()), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("process {}", std::process::id())), "{}", ran.stderr);
    }
}

#[test]
fn a_second_up_on_the_same_folder_does_not_start() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let node = world.up();
    let ran = world.run(&["up"]);
    assert_eq!(ran.code, Some(4));
    assert!(
        ran.stderr.contains(&node.pid().to_string()) && ran.stderr.contains("--takeover"),
        "{}",
        ran.stderr
    );
    assert!(node.is_running());
}

#[test]
fn a_wrong_log_filter_is_refused_at_the_start() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let output = world.command(&["up"]).env("NINES_LOG", "balance=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_node_with_a_token_answers_only_who_knows_it() {
    let world = World::new("admin_token = { env = \"SESAME\" }\n[pool.web]\nservers = [\"127.0.0.1:1\"]\n");
    let mut command = world.command(&["up"]);
    let node = Node::start({
        command.env("SESAME", "open");
        command
    });
    node.wait_ready();
    assert!(node.stdout().contains("Bearer $SESAME") && !node.stdout().contains("open"), "{}", node.stdout());
    assert_eq!(get(world.admin, "/api/v1/status").unwrap().status, 401);
    assert_eq!(get(world.admin, "/healthz").unwrap().status, 200);
    let without = world.run(&["status"]);
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("NINES_ADMIN_TOKEN"), "{}", without.stderr);
    for variable in ["SESAME", "NINES_ADMIN_TOKEN"] {
        let with = world.command(&["status"]).env(variable, "open").output().unwrap();
        assert_eq!(with.status.code(), Some(0), "{}", String::from_utf8_lossy(&with.stderr));
    }
}

#[test]
fn the_demo_runs_with_instances_that_feed_their_pool() {
    let world = World::new(DEMO);
    let node = world.up();
    assert_eq!(get(world.edge, "/").unwrap().status, 200);
    // A pool is ready with its first instance; the second follows.
    let status = eventually("both instances are available", || {
        Some(world.status()).filter(|status| status["pools"][0]["available"] == 2)
    });
    let instances = status["services"][0]["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 2);
    assert_eq!(status["readiness"]["ready"], true);
    assert_eq!(status["pid"], node.pid());
}

/// The demo's own file, at addresses of this test.
fn demo_of_the_repository(world: &World) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("nines.toml")).unwrap();
    let (from, to) = (text.find("[service.shop]").unwrap(), text.find("[dns]").unwrap());
    let is_kept = |line: &&str| !["https ", "http3 ", "tls "].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = text[from..to].lines().filter(is_kept).collect();
    world.write(&lines.join("\n").replace("127.0.0.1:8080\"]", "EDGE\"]"));
    let assets = "crates/nines/src/demo/assets";
    std::fs::create_dir_all(world.path(assets)).unwrap();
    for name in ["style.css", "wheel.svg"] {
        std::fs::copy(root.join(assets).join(name), world.path(assets).join(name)).unwrap();
    }
    std::fs::create_dir(world.path("docs")).unwrap();
}

#[test]
fn the_demo_serves_its_images_through_the_cache_and_its_assets_by_push() {
    let world = World::new("");
    demo_of_the_repository(&world);
    let node = world.up();
    assert!(node.stdout().contains("/assets/style.css\n"), "{}", node.stdout());
    let page = get(world.edge, "/").unwrap().body;
    assert!(page.contains("<link rel=\"stylesheet\" href=\"/assets/style.css\">"), "{page}");
    let style = head_and_body(&world, "/assets/style.css");
    assert!(!style.contains("x-served-by"), "an instance was asked: {style}");
    // What it refers to is named by its content.
    let wheel = style.split("url(").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let wheel = head_and_body(&world, wheel);
    assert!(wheel.contains("immutable\r\n") && wheel.ends_with("</svg>\n"), "{wheel}");
    for seen in ["fwd=uri-miss", "; hit"] {
        let picture = head_and_body(&world, "/img/moon-jar.svg");
        assert!(picture.contains("Cache-Status: nines; ") && picture.contains(seen), "{seen}: {picture}");
    }
}

fn head_and_body(world: &World, path: &str) -> String {
    let mut stream = TcpStream::connect(world.edge).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_web_page_cannot_post_to_the_admin_api() {
    let world = World::new(&proxy_of(&[&Backend::start("a")]));
    let _node = world.up();
    let post = |host: &str, origin: &str| {
        let request = format!(
            "POST /api/v1/reload HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        exchange(world.admin, &request).unwrap().status
    };
    let own = world.admin.to_string();
    assert_eq!(post(&own, "http://evil.test"), 403);
    assert_eq!(post("evil.test", "http://evil.test"), 421);
    assert_eq!(post(&own, &format!("http://{own}")), 200);
}
