//! What is asked of a client before its body is read to choose a route by it.

use crate::world::{Backend, Client, World, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const WAITS: &str = "Expect: 100-continue\r\n";
const EXPRESS: &str = "{\"kind\":\"express\"}";
const NORMAL: &str = "{\"kind\": \"normal\"}";

/// Two routes for `/orders`, the first for express orders alone, with terms of their own or without.
fn orders(express: &str, others: &str) -> String {
    format!(
        "[route]\n'/orders' = [{{ when = {{ json = {{ kind = 'express' }} }}, pool = 'p'{express} }}, \
         {{ pool = 'p'{others} }}]\n"
    )
}

/// The head of a request whose body has 18 bytes.
fn head(lines: &str) -> String {
    format!("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n{lines}\r\n")
}

/// The answer to a request whose body never comes, which nobody asks for.
fn answer_unread(world: &World, lines: &str) -> String {
    let answer = |lines: &str| {
        let mut client = world.connect();
        client.send(&head(lines));
        client.response()
    };
    let to_who_waits = answer(&format!("{WAITS}{lines}"));
    assert_eq!(status(&to_who_waits), status(&answer(lines)), "{to_who_waits}");
    to_who_waits
}

/// A client that was asked for its body.
fn asked(world: &World, lines: &str) -> Client {
    let mut client = world.connect();
    client.send(&head(&format!("{WAITS}{lines}")));
    assert_eq!(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client
}

/// The answer to a request whose body was asked for.
fn answer_read(world: &World, lines: &str, body: &str) -> String {
    let mut client = asked(world, lines);
    client.send(body);
    client.response()
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn who_is_denied_by_all_that_may_answer_is_not_asked_for_a_body() {
    let backend = Backend::answering(OK);
    for site in [
        format!("deny = ['127.0.0.1']\n{}", orders("", "")),
        format!("allow = ['10.0.0.0/8']\n{}", orders("", ", limit = { requests_per_client = '1/s' }")),
        orders(", deny = ['127.0.0.1']", ", allow = ['10.0.0.0/8']"),
    ] {
        let world = World::with_site(&backend, &site);
        assert_eq!(status(&answer_unread(&world, "")), "403", "{site}");
    }
    assert_eq!(backend.seen(), "");
}

#[test]
fn who_is_denied_by_some_is_asked_for_a_body_and_answered_by_its_route() {
    let backend = Backend::answering(OK);
    let world = World::with_site(&backend, &orders(", deny = ['127.0.0.1']", ""));
    assert_eq!(status(&answer_read(&world, "", EXPRESS)), "403");
    assert_eq!(status(&answer_read(&world, "", NORMAL)), "200");
}

#[test]
fn a_rate_is_asked_before_the_body_is_read_and_counted_once() {
    let backend = Backend::answering(OK);
    let limit = "limit = { requests_per_client = '1/h', burst = 3 }";
    let world = World::with_site(&backend, &format!("{limit}\n{}", orders("", "")));
    for (body, left) in [(EXPRESS, 2), (NORMAL, 1), (EXPRESS, 0)] {
        let response = answer_read(&world, "", body);
        assert_eq!(status(&response), "200");
        let lines: Vec<&str> = response.lines().filter(|line| line.starts_with("RateLimit: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(&format!(";r={left};")), "{response}");
    }
    let refused = answer_unread(&world, "");
    assert!(status(&refused) == "429" && refused.contains("Retry-After: "), "{refused}");
}

#[test]
fn a_request_that_no_route_wants_counts_where_its_body_had_to_be_read_for_that() {
    let backend = Backend::answering(OK);
    let site = "limit = { requests_per_client = '1/h' }\n\
                [route]\n'/orders' = { when = { method = ['POST'], json = { kind = 'express' } }, pool = 'p' }";
    let world = World::with_site(&backend, site);
    assert_eq!(status(&world.ask("PUT /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n")), "404");
    assert_eq!(status(&answer_read(&world, "", NORMAL)), "404");
    assert_eq!(status(&answer_unread(&world, "")), "429");
}

#[test]
fn terms_that_routes_share_are_the_same_terms_though_each_says_them() {
    let backend = Backend::answering(OK);
    let own = ", limit = { requests_per_client = '1/h' }";
    let world = World::with_site(&backend, &orders(own, own));
    assert_eq!(status(&answer_read(&world, "", EXPRESS)), "200");
    assert_eq!(status(&answer_unread(&world, "")), "429");
}

#[test]
fn rates_of_their_own_are_counted_for_the_route_that_answers() {
    let backend = Backend::answering(OK);
    let limit = |burst: u32| format!(", limit = {{ requests_per_client = '1/h', burst = {burst} }}");
    let world = World::with_site(&backend, &orders(&format!("{}, deny = ['10.0.0.1']", limit(2)), &limit(2)));
    assert_eq!(status(&answer_read(&world, "", EXPRESS)), "200");
    let response = answer_read(&world, "", NORMAL);
    assert!(status(&response) == "200" && response.contains(";r=0;"), "one limit of one path: {response}");
    let refused = answer_unread(&world, "");
    assert!(status(&refused) == "429" && refused.matches("RateLimit: ").count() == 1, "{refused}");
}

#[test]
fn a_place_among_the_requests_at_once_is_held_from_before_the_body_to_the_end() {
    let backend = Backend::gated();
    let world =
        World::with_site(&backend, &format!("limit = {{ connections_per_client = 1 }}\n{}", orders("", "")));
    let mut first = asked(&world, "");
    assert_eq!(status(&answer_unread(&world, "")), "429");
    first.send(EXPRESS);
    backend.wait_for("POST /orders ");
    assert_eq!(status(&answer_unread(&world, "")), "429");
    backend.open();
    assert_eq!(status(&first.response()), "200");
    wait_until("the place is free", || {
        let whole = format!("{}{NORMAL}", head("Connection: close\r\n"));
        status(&world.ask(&whole)) == "200"
    });
}

#[test]
fn a_password_is_asked_for_before_a_body() {
    const RIGHT: &str = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
    const WRONG: &str = "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n";
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    // `secret`, at the lowest cost.
    let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    std::fs::write(&users, format!("alice:{hash}\n")).unwrap();
    let auth = format!("basic_auth = {{ file = '{}' }}\n", users.display());
    let backend = Backend::answering(OK);

    let world = World::with_site(&backend, &format!("{auth}{}", orders("", "")));
    let refused = answer_unread(&world, "");
    assert!(status(&refused) == "401" && refused.contains("WWW-Authenticate: Basic "), "{refused}");
    assert_eq!(status(&answer_unread(&world, WRONG)), "401");
    assert_eq!(status(&answer_read(&world, RIGHT, EXPRESS)), "200");

    let other = ", limit = { bandwidth = '1GiB' }";
    let world = World::with_site(&backend, &format!("{auth}{}", orders(other, "")));
    let refused = answer_unread(&world, "");
    assert!(status(&refused) == "401" && refused.matches("WWW-Authenticate").count() == 1, "{refused}");
    assert_eq!(status(&answer_read(&world, WRONG, NORMAL)), "401");
    assert_eq!(status(&answer_read(&world, RIGHT, NORMAL)), "200");
}

#[test]
fn a_route_that_the_head_rules_out_has_no_say_and_no_body() {
    let backend = Backend::answering(OK);
    let site = |terms: &str| {
        format!(
            "[route]\n'/orders' = [{{ when = {{ method = ['PUT'], json = {{ kind = '*' }} }}, pool = 'p' }}, \
             {{ pool = 'p'{terms} }}]"
        )
    };
    let world = World::with_site(&backend, &site(", deny = ['127.0.0.1']"));
    assert_eq!(status(&answer_unread(&world, "")), "403");
    assert_eq!(backend.seen(), "");
    // The body is the backend's to ask for, and this one answers without it.
    let world = World::with_site(&backend, &site(""));
    assert_eq!(status(&answer_unread(&world, "")), "200");
    assert!(backend.seen().contains(WAITS), "{}", backend.seen());
}
