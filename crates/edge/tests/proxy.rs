//! The edge as its clients and backends see it: raw bytes on real sockets.

mod cached;
mod gate;
#[cfg(feature = "http3")]
mod http3;
mod unhappy;
mod world;

use std::time::Duration;
use world::{Backend, World, get};

#[test]
fn a_request_reaches_the_backend_with_what_a_proxy_adds_and_without_what_was_for_this_hop() {
    let backend =
        Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\nKeep-Alive: 5\r\n\r\nhi");
    let world = World::with_pool(&backend, "hide_headers = ['server']");
    let request = "GET /a/../b?x=1 HTTP/1.1\r\nHost: Shop.test:80\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
                   X-Keep: 2\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\nTE: trailers\r\n\r\n";
    let response = world.ask(request);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nhi"), "{response}");
    for gone in ["server:", "keep-alive:"] {
        assert!(!response.to_lowercase().contains(gone), "{response}");
    }
    for there in ["X-Request-Id: ", "Date: ", "Connection: close\r\n"] {
        assert!(response.contains(there), "{there}: {response}");
    }
    let seen = backend.seen();
    assert!(seen.starts_with("GET /b?x=1 HTTP/1.1\r\nHost: Shop.test:80\r\n"), "{seen}");
    for there in [
        "X-Keep: 2\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-Proto: http\r\n",
        "X-Forwarded-Host: Shop.test:80\r\n",
        "Forwarded: for=127.0.0.1;proto=http;host=\"Shop.test:80\"\r\n",
        "Via: 1.1 nines\r\n",
        "traceparent: 00-",
        "TE: trailers\r\nConnection: TE\r\n",
    ] {
        assert!(seen.contains(there), "{there}: {seen}");
    }
    for gone in ["X-Hop", "6.6.6.6", "mine", "close"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
}

#[test]
fn a_connection_serves_many_requests_pipelined_or_not_over_one_upstream_connection() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send(&get("/1"));
    assert!(client.response().ends_with("hi"));
    client.send(&format!("{}{}{}", get("/2"), get("/3"), get("/4")));
    for _ in 2..=4 {
        assert!(client.response().ends_with("hi"));
    }
    assert_eq!(backend.seen().matches("GET /").count(), 4);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn bodies_pass_both_ways_in_chunks_with_their_trailers() {
    let backend = Backend::echoing();
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
    client.send("5;x=y\r\nhello\r\n1\r\n \r\n");
    client.send("5\r\nworld\r\n0\r\nX-Sum: 9\r\nContent-Length: 3\r\n\r\n");
    let response = client.response();
    assert!(response.contains("Transfer-Encoding: chunked\r\n"), "{response}");
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let unframed: String =
        body.split("\r\n").filter(|line| !line.chars().all(|c| c.is_ascii_hexdigit())).collect();
    assert_eq!(unframed, "hello worldX-Sum: 9", "{response}");
}

#[test]
fn a_large_body_passes_both_ways_at_once() {
    let backend = Backend::echoing();
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    let body = "0123456789abcdef".repeat(1 << 16);
    client.send_in_background(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let response = client.response();
    assert!(response.ends_with(&body), "{} bytes came back", response.len());
}

#[test]
fn an_http_1_0_client_gets_a_body_without_chunks_and_an_end() {
    let backend =
        Backend::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    let world = World::with_pool(&backend, "");
    let response = world.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(response.ends_with("Connection: close\r\n") || response.ends_with("\r\n\r\nhi"), "{response}");
    assert!(!response.contains("chunked"), "{response}");
    assert!(backend.seen().contains("Host: 127.0.0.1:"), "{}", backend.seen());
}

#[test]
fn a_body_that_only_the_connection_ends_is_chunked_for_a_client_that_stays() {
    let backend = Backend::answering_and_closing("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    for _ in 0..2 {
        client.send(&get("/"));
        let response = client.response();
        assert!(response.contains("Transfer-Encoding: chunked\r\n"), "{response}");
        assert!(response.ends_with("d\r\nuntil the end\r\n0\r\n\r\n"), "{response}");
    }
}

#[test]
fn interim_responses_are_passed_on_and_100_only_to_those_who_wait() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let backend = Backend::answering(early);
    let world = World::with_pool(&backend, "");
    let response = world.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(
        response.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200"),
        "{response}"
    );
    let old = world.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(old.starts_with("HTTP/1.1 200"), "{old}");
    let mut waiting = world.connect();
    waiting.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
    );
    let heads = waiting.read_until("100 Continue\r\n\r\n");
    assert!(heads.contains("103 Early Hints"), "{heads}");
}

#[test]
fn a_head_response_has_no_body_and_the_connection_goes_on() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.read_until("\r\n\r\n");
        assert!(head.contains("Content-Length: 1000\r\n"), "{head}");
    }
}

#[test]
fn after_101_bytes_pass_both_ways_and_before_it_they_do_not() {
    let backend = Backend::switching();
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly");
    let head = client.read_until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Connection: upgrade\r\n") && head.contains("Upgrade: echo\r\n"), "{head}");
    assert_eq!(client.read_until("early"), "early");
    client.send("later");
    assert_eq!(client.read_until("later"), "later");
    client.finish();
    assert_eq!(client.rest(), "bye", "half-close is kept");
    let refused = world.ask("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 502 "), "a 101 that nobody asked for: {refused}");
}

#[test]
fn a_refused_head_gets_400_before_any_backend_hears_of_it() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let world = World::with_pool(&backend, "");
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
    ] {
        let response = world.ask(head);
        assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
        assert!(response.contains("Connection: close\r\n"), "{response}");
    }
    for (head, status) in [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), "505"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(40_000)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000)), "431"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), "405"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "405"),
    ] {
        let response = world.ask(&head);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {response}");
    }
    assert_eq!(backend.seen(), "");
}

#[test]
fn a_malformed_body_ends_both_sides() {
    let backend = Backend::echoing();
    let world = World::with_pool(&backend, "");
    let response = world.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

#[test]
fn a_body_beyond_its_limit_is_refused_whether_its_length_is_told_or_not() {
    let backend = Backend::swallowing();
    let world = World::with_pool(&backend, "body_max = '1KiB'");
    let told = world.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
    assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    let body = "a".repeat(2000);
    let untold = world.ask(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{body}\r\n0\r\n\r\n"
    ));
    assert!(untold.starts_with("HTTP/1.1 413 "), "{untold}");
}

#[test]
fn a_backend_that_lies_about_its_length_is_shown_to_the_client_as_cut_off() {
    let backend = Backend::answering_and_closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    let world = World::with_pool(&backend, "");
    let response = world.ask(&get("/"));
    assert!(response.contains("Content-Length: 10\r\n") && response.ends_with("short"), "{response}");
}

#[test]
fn a_backend_s_nonsense_is_a_502_that_says_nothing_of_the_backend() {
    let backend = Backend::answering_and_closing("ni hao\r\n\r\n");
    let world = World::with_pool(&backend, "");
    let response =
        world.ask("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{response}");
    assert!(response.contains("application/problem+json") && response.contains("request_id"), "{response}");
    assert!(!response.contains("127.0.0.1"), "{response}");
}

#[test]
fn an_idempotent_request_is_tried_on_another_endpoint_and_a_post_is_not() {
    let broken = Backend::closing();
    let good = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let world = World::with_pools(
        &[&broken, &good],
        "balance = 'round-robin'\neject = { failures = 0 }\nretry = { budget = '100%' }",
        "",
    );
    for _ in 0..4 {
        assert!(world.ask(&get_once("/")).ends_with("good"));
    }
    let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let answers: Vec<String> = (0..2).map(|_| world.ask(body)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 502 ")).count(), 1, "{answers:?}");
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    for _ in 0..2 {
        assert!(world.ask(put).ends_with("good"), "a body that came with its head is sent again");
    }
    assert!(good.seen().matches("\r\n\r\nhi").count() >= 3, "{}", good.seen());
}

#[test]
fn what_one_endpoint_left_behind_is_no_part_of_another_s_answer() {
    let torn = Backend::answering_and_closing("HTTP/1.1 200 OK\r\nX-Torn: 1\r\n");
    let busy = Backend::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
    let good = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let pool = "balance = 'round-robin'\neject = { failures = 0 }\nretry = { budget = '100%', on = ['reset', '503'] }";
    let world = World::with_pools(&[&torn, &busy, &good], pool, "");
    for _ in 0..6 {
        let response = world.ask(&get_once("/"));
        assert!(response.ends_with("good") && !response.contains("X-Torn"), "{response}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send(&format!("{}{}{}", get("/1"), get("/2"), get("/3")));
    for _ in 1..=3 {
        assert!(client.response().ends_with("\r\n\r\nhi"));
    }
}

#[test]
fn a_client_that_leaves_amid_a_response_ends_it_at_a_silent_backend() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send(&get("/"));
    client.read_until("half");
    drop(client);
    assert!(backend.sees_an_end(Duration::from_secs(10)));
}

#[test]
fn nobody_to_ask_is_503_with_retry_after() {
    let world = World::with_pool_config("servers = ['127.0.0.1:1']\neject = { failures = 0 }", "");
    let response = world.ask(&get_once("/"));
    assert!(response.starts_with("HTTP/1.1 502 "), "it could not be reached: {response}");
    let world = World::with_pool_config("servers = [{ address = '127.0.0.1:1', weight = 0 }]", "");
    let response = world.ask(&get_once("/"));
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("Retry-After: 1\r\n"), "{response}");
}

#[test]
fn what_exceeds_the_line_is_told_to_come_later() {
    let backend = Backend::silent();
    let world = World::with_pools(&[&backend], "limit = { inflight = 1, queue = 0 }", "");
    let mut first = world.connect();
    first.send(&get("/"));
    backend.wait_for("GET / ");
    let response = world.ask(&get_once("/"));
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
}

#[test]
fn a_client_that_leaves_ends_its_request_at_the_backend() {
    let backend = Backend::silent();
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send(&get("/"));
    backend.wait_for("GET / ");
    drop(client);
    assert!(backend.sees_an_end(Duration::from_secs(10)));
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_a_504() {
    let backend = Backend::silent();
    let world = World::with_pools(&[&backend], "timeout = { first_byte = '50ms' }", "");
    let response = world.ask(&get_once("/"));
    assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
}

#[test]
fn a_slow_head_is_a_408_and_a_whole_request_has_its_own_limit() {
    let backend = Backend::silent();
    let world = World::with_edge("timeout = { head = '50ms', request = '100ms' }", &backend);
    let mut slow = world.connect();
    slow.send("GET / HTTP/1.1\r\nHo");
    assert!(slow.rest().starts_with("HTTP/1.1 408 "));
    assert!(world.ask(&get_once("/")).starts_with("HTTP/1.1 504 "));
}

#[test]
fn sites_and_routes_are_found_by_host_path_and_conditions() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npool");
    let respond = |text: &str| format!("{{ respond = {{ body = '{text}' }} }}");
    let routes = format!(
        "'/' = {}\n'/exact' = {}\n'/deep/' = {}\n'/deep/er/' = {{ pool = 'p', rewrite = {{ prefix = '/x/' }}, request_headers = {{ set = {{ 'x-set' = '1' }}, remove = ['x-gone'] }}, response_headers = {{ set = {{ 'x-back' = '2' }} }} }}\n\
         '/when' = [{{ when = {{ method = ['POST'] }}, respond = {{ body = 'post' }} }}, {{ when = {{ query = {{ a = 'b c' }} }}, respond = {{ body = 'query' }} }}, {{ when = {{ cookie = {{ beta = '*' }} }}, respond = {{ body = 'cookie' }} }}, {{ when = {{ header = {{ x-y = 'z' }} }}, respond = {{ body = 'header' }} }}]\n\
         '/moved' = {{ redirect = 'https://{{host}}/new{{path}}{{query}}' }}\n'/gone' = {{ redirect = {{ to = '/', status = 302 }} }}",
        respond("root"),
        respond("exact"),
        respond("deep")
    );
    let world = World::with_sites(
        &[("shop.test", &routes), ("*.shop.test", "'/' = { respond = { body = 'wild' } }")],
        &backend,
    );
    let ask = |host: &str, path: &str, more: &str| {
        world.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"))
    };
    for (host, path, more, body) in [
        ("shop.test", "/", "", "root"),
        ("SHOP.test.", "/any/thing", "", "root"),
        ("shop.test", "/exact", "", "exact"),
        ("shop.test", "/exact/", "", "root"),
        ("shop.test", "/deep/x", "", "deep"),
        ("shop.test", "/deep/x/../er/y", "", "pool"),
        ("a.shop.test", "/", "", "wild"),
        ("a.b.shop.test:99", "/", "", "wild"),
        ("shop.test", "/when?a=b%20c", "", "query"),
        ("shop.test", "/when", "Cookie: beta=1\r\n", "cookie"),
        ("shop.test", "/when", "X-Y: z\r\n", "header"),
        ("shop.test", "/when", "", "root"),
    ] {
        let response = ask(host, path, more);
        assert!(response.ends_with(&format!("\r\n\r\n{body}")), "{host}{path}: {response}");
    }
    let edited = ask("shop.test", "/deep/er/y?q", "X-Gone: 1\r\nX-Set: 0\r\n");
    assert!(edited.contains("x-back: 2\r\n"), "{edited}");
    let seen = backend.seen();
    assert!(seen.contains("GET /x/y?q HTTP/1.1") && seen.contains("x-set: 1\r\n"), "{seen}");
    assert!(!seen.contains("X-Gone") && !seen.contains("X-Set: 0"), "{seen}");
    let moved = ask("shop.test", "/moved?x=1", "");
    assert!(
        moved.starts_with("HTTP/1.1 308 ") && moved.contains("Location: https://shop.test/new/moved?x=1\r\n"),
        "{moved}"
    );
    assert!(ask("shop.test", "/gone", "").starts_with("HTTP/1.1 302 "));
    assert!(ask("other.test", "/", "").starts_with("HTTP/1.1 421 "));
    assert!(ask("xshop.test", "/", "").starts_with("HTTP/1.1 421 "), "a wildcard stands for whole labels");
}

#[test]
fn a_sticky_cookie_brings_a_client_back_to_its_endpoint() {
    let first = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    let second = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
    let world =
        World::with_pools(&[&first, &second], "balance = 'round-robin'\nsticky = { cookie = 'at' }", "");
    let response = world.ask(&get_once("/"));
    let cookie = response
        .split("Set-Cookie: ")
        .nth(1)
        .and_then(|rest| rest.split(';').next())
        .expect("a cookie")
        .to_owned();
    assert!(cookie.starts_with("at=") && !cookie.contains("127"), "{cookie}");
    let body = response.rsplit("\r\n\r\n").next().unwrap().to_owned();
    for _ in 0..5 {
        let again =
            world.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"));
        assert!(again.ends_with(&body) && !again.contains("Set-Cookie"), "{again}");
    }
}

#[test]
fn a_reload_changes_routes_between_two_requests_of_one_connection() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npool");
    let world = World::with_pool(&backend, "");
    let mut client = world.connect();
    client.send(&get("/"));
    assert!(client.response().ends_with("pool"));
    world.reload("'/' = { respond = { body = 'changed' } }");
    client.send(&get("/"));
    assert!(client.response().ends_with("changed"), "what has been acknowledged decides from then on");
}

#[test]
fn draining_finishes_what_is_under_way_and_accepts_nothing_more() {
    let backend = Backend::gated();
    let world = World::with_pool(&backend, "");
    let address = world.address();
    let mut busy = world.connect();
    busy.send(&get("/"));
    backend.wait_for("GET / ");
    let draining = world.drain_in_background();
    world::wait_until("the listener is closed", || std::net::TcpStream::connect(address).is_err());
    backend.open();
    let response = busy.response();
    assert!(response.contains("Connection: close\r\n") && response.ends_with("gated"), "{response}");
    assert!(draining.join().unwrap(), "all was finished");
}

#[test]
fn the_access_log_tells_each_request_once_as_json() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let log = tempfile::NamedTempFile::new().unwrap();
    let world = World::with_edge(&format!("access_log = '{}'", log.path().display()), &backend);
    world.ask("GET /a?b HTTP/1.1\r\nHost: a\r\nUser-Agent: \"q\"\r\nConnection: close\r\n\r\n");
    world.ask("bad\r\n\r\n");
    world::wait_until("two lines are written", || {
        std::fs::read_to_string(log.path()).unwrap().lines().count() == 2
    });
    let text = std::fs::read_to_string(log.path()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Two cores write each their own, in no order between them.
    let line = |status: u16| lines.iter().find(|line| line["status"] == status).expect("a line");
    assert_eq!(line(200)["path"], "/a");
    assert_eq!(line(200)["query"], "?b");
    assert_eq!(line(200)["sent_bytes"], 2);
    assert_eq!(line(200)["user_agent"], "\"q\"");
    assert!(line(400)["path"].is_null(), "nothing of a former request is told with a head that is refused");
}

fn get_once(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}
