//! Pushing over the API: what is refused, and with which words.

use crate::world::{FILE, World};
use admin::Limits;
use serde_json::json;

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

async fn world(admin_token: Option<&'static str>) -> World {
    let site =
        "[edge]\nhttp = [\"127.0.0.1:0\"]\ncores = 1\n[site.default.route]\n\"/\" = { push = \"assets\" }\n";
    World::start_with(
        &format!("{FILE}{site}[push.assets]\nfile_max = \"8B\"\n"),
        admin_token,
        Limits::default(),
    )
    .await
}

fn blob(query: &str) -> String {
    format!("/api/v1/push/assets/blobs/{HELLO}{query}")
}

#[tokio::test]
async fn a_file_comes_in_parts_and_is_not_needed_again() {
    let world = world(None).await;
    let missing = format!(r#"[{{"hash":"{HELLO}","size_bytes":5}}]"#);
    let asked = world.post("/api/v1/push/assets/missing", &missing).await;
    assert_eq!(asked.json(), json!([{ "hash": HELLO, "offset": 0 }]));
    let part = world.ask("PUT", &blob("?size=5"), &[], "hel").await;
    assert_eq!(part.json(), json!({ "offset": 3, "is_stored": false }));
    let wrong = world.ask("PUT", &blob("?size=5"), &[], "hel").await;
    assert_eq!(wrong.json()["offset"], 3);
    wrong.problem(409);
    let rest = world.ask("PUT", &blob("?size=5&offset=3"), &[], "lo").await;
    assert_eq!(rest.json(), json!({ "offset": 5, "is_stored": true }));
    assert_eq!(world.post("/api/v1/push/assets/missing", &missing).await.json(), json!([]));
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_a_problem_that_says_why() {
    let world = world(None).await;
    let put = |query: &'static str, body: &'static str| {
        let world = &world;
        async move { world.ask("PUT", &blob(query), &[], body).await }
    };
    assert!(put("?size=5", "jello").await.problem(422).contains("upload it again"));
    assert!(put("?size=9", "hello").await.problem(413).contains("`file_max`"));
    assert!(put("", "hello").await.problem(400).contains("size"));
    let at = "/api/v1/push/assets/releases";
    let files = format!(r#"{{"files":{{"a":{{"hash":"{HELLO}","size_bytes":5}}}}}}"#);
    let answer = world.post(at, &files).await;
    assert_eq!(answer.json()["missing"], json!([{ "hash": HELLO, "size_bytes": 5 }]));
    assert_eq!(answer.problem(409), "the release needs 1 file that is not stored");
    world.post(at, r#"{"files":{}}"#).await.problem(422);
    world.post(at, &files.replace("\"a\"", "\"../a\"")).await.problem(422);
    world.get("/api/v1/push/assets/current").await.problem(404);
    world.get("/api/v1/push/assetz/releases").await.problem(404);
    world.ask("DELETE", "/api/v1/push/assets/releases/r1", &[], "").await.problem(404);
    world.stop().await;
}
