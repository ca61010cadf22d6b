//! How much a client may take.

use crate::world::{Answer, FILE, World, within};
use admin::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn limited(limits: Limits) -> World {
    World::start_with(FILE, None, limits).await
}

#[tokio::test]
async fn a_body_above_its_limit_is_refused() {
    let world = World::start().await;
    let body = format!(r#"{{"endpoint":"{}"}}"#, "x".repeat(64 << 10));
    world.post("/api/v1/drain", &body).await.problem(413);
    world.stop().await;
}

#[tokio::test]
async fn a_head_above_its_limit_is_refused() {
    let world = World::start().await;
    let long = "x".repeat(32 << 10);
    let answer = world.ask("GET", "/healthz", &[("x-long", &long)], "").await;
    assert_eq!(answer.status, 431);
    world.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let world = limited(Limits { head: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET /healthz HT").await.unwrap();
    let mut rest = Vec::new();
    // Closed by the server; whether it says something first is its own affair.
    let _ended = within(stream.read_to_end(&mut rest)).await;
    world.stop().await;
}

#[tokio::test]
async fn a_connection_ends_after_its_time() {
    let world = limited(Limits { connection: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = world.connect().await;
    stream
        .write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", world.address).as_bytes())
        .await
        .unwrap();
    assert_eq!(Answer::read(stream).await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_their_turn() {
    let world = limited(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = world.connect().await;
    first.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut second = world.connect().await;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", world.address);
    second.write_all(request.as_bytes()).await.unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(waited.is_err(), "the second connection is not served while the first is open");
    drop(first);
    assert_eq!(Answer::read(second).await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_page_that_came_by_another_name_is_refused() {
    let world = World::start().await;
    let mut stream = world.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n").await.unwrap();
    Answer::read(stream).await.problem(421);
    world.ask("POST", "/api/v1/reload", &[("origin", "http://evil.test")], "").await.problem(403);
    world.stop().await;
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_opens_no_new_ones() {
    let world = World::start().await;
    let mut idle = world.connect().await;
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", world.address).as_bytes())
        .await
        .unwrap();
    let mut first = [0; 12];
    within(idle.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    world.stop().await;
    let mut rest = Vec::new();
    within(idle.read_to_end(&mut rest)).await.unwrap();
}
