//! Releases that are gone back to, that end, and that were made by halves.

use super::{World, body, draft, further, line};
use crate::config::PushConfig;
use crate::error::Error;
use crate::hash::Hash;
use crate::manifest::{Draft, ReleaseName};
use files::Fields;
use std::borrow::Cow;
use std::fs;
use std::time::Duration;

fn name(text: &str) -> ReleaseName {
    text.parse().unwrap()
}

fn names(world: &World) -> Vec<String> {
    world.assets.releases().iter().map(|seen| seen.release.to_string()).collect()
}

#[tokio::test]
async fn a_fingerprinted_name_is_there_for_as_long_as_any_release_says() {
    let world = World::new(PushConfig::default()).await;
    world.push(&[("a.css", b"one")]).await;
    let end = world.now + Duration::from_secs(60);
    world.push_until(&[("a.css", b"one")], Some(end)).await;
    world.assets.roll_back(None, world.now).await.unwrap();
    let found = world.get_at(&further("a.css", b"one"), Fields::default(), end);
    assert_eq!(line(&found, "Cache-Control").unwrap(), "public, max-age=31536000, immutable");
    assert_eq!((found.status, body(found)), (200, "one".into()));
}

#[tokio::test]
async fn what_has_ended_is_not_gone_back_to() {
    let world = World::new(PushConfig::default()).await;
    let end = world.now + Duration::from_secs(60);
    world.push(&[("a", b"one")]).await;
    world.push_until(&[("a", b"two")], Some(end)).await;
    world.push(&[("a", b"six")]).await;
    let ended = world.assets.roll_back(Some(&name("r2")), end).await;
    assert!(matches!(ended, Err(Error::Ended(_))), "{ended:?}");
    assert_eq!(world.assets.roll_back(None, end).await.unwrap().release.as_str(), "r1");
    assert!(matches!(world.assets.roll_back(None, end).await, Err(Error::NothingBefore)));
}

#[tokio::test]
async fn a_date_of_a_release_that_was_gone_back_from_is_none_of_what_is_served() {
    let mut world = World::new(PushConfig::default()).await;
    let began = world.now;
    world.push(&[("a", b"one")]).await;
    world.now = began + Duration::from_secs(100);
    world.push(&[("a", b"two")]).await;
    let date = |world: &World| line(&world.get_at("/a", Fields::default(), world.now), "Last-Modified");
    let second = date(&world).unwrap();
    let since = |world: &World, date: &str| {
        let if_modified_since = Some(Cow::Owned(date.as_bytes().to_vec()));
        world.get_at("/a", Fields { if_modified_since, ..Fields::default() }, world.now).status
    };
    assert_eq!(since(&world, &second), 304);
    world.now = began + Duration::from_secs(200);
    world.assets.roll_back(None, world.now).await.unwrap();
    assert_eq!(since(&world, &second), 200);
    let back = date(&world).unwrap();
    assert_eq!(since(&world, &back), 304);
    assert_eq!(since(&world, "Fri, 01 Jan 2100 00:00:00 GMT"), 200, "no version is known by that date");
    world.restart().await;
    assert_eq!(date(&world).unwrap(), back);
    // A clock that went back.
    world.assets.roll_back(Some(&name("r2")), began).await.unwrap();
    world.now = began + Duration::from_secs(300);
    assert_ne!(date(&world).unwrap(), back);
    assert_eq!(since(&world, &back), 200);
}

#[tokio::test]
async fn no_number_is_given_twice() {
    let mut world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    world.push(&[("a", b"two")]).await;
    world.assets.roll_back(None, world.now).await.unwrap();
    world.assets.delete(&name("r2")).await.unwrap();
    world.restart().await;
    assert_eq!(world.push(&[("a", b"six")]).await, "r3");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_nobody_from_pushing_and_nothing_is_thrown_away() {
    let mut world = World::new(PushConfig::default()).await;
    for text in [b"one", b"two"] {
        world.push(&[("a", text)]).await;
    }
    let folder = world.data.path().join("push/assets/releases");
    fs::write(folder.join("r1.json"), "{").unwrap();
    fs::write(folder.join("r3.json"), "{").unwrap();
    world.restart().await;
    assert_eq!(world.push(&[("a", b"six")]).await, "r4");
    let late = world.now + Duration::from_secs(7200);
    for _ in 0..3 {
        assert_eq!(world.assets.collect(late).await.unwrap().files, 0);
    }
    assert!(world.blob_path(&Hash::of(b"one")).exists());
    for release in ["r1", "r3"] {
        world.assets.delete(&name(release)).await.unwrap();
    }
    assert_eq!(names(&world), ["r4", "r2"]);
    world.assets.collect(late).await.unwrap();
    assert_eq!(world.assets.collect(late).await.unwrap().files, 1);
}

#[tokio::test]
async fn a_release_that_was_made_but_not_served_is_served_when_it_is_pushed_again() {
    let mut world = World::new(PushConfig::default()).await;
    world.push(&[("a", b"one")]).await;
    let named = |text: &[u8]| Draft { release: Some(name("v1")), ..draft(&[("a", text)]) };
    let pointer = world.data.path().join("push/assets/current.json");
    let before = fs::read(&pointer).unwrap();
    world.upload(b"two", "text/plain").await;
    world.assets.release(named(b"two"), world.now).await.unwrap();
    fs::write(&pointer, before).unwrap();
    world.restart().await;
    assert_eq!(world.get("/a").1, "one");
    let other = world.assets.release(named(b"one"), world.now).await;
    assert!(matches!(other, Err(Error::Exists(_))), "{other:?}");
    world.assets.release(named(b"two"), world.now).await.unwrap();
    assert_eq!(world.get("/a").1, "two");
    assert_eq!(names(&world), ["v1", "r1"]);
}

#[tokio::test]
async fn what_has_ended_goes_before_what_is_old() {
    let mut world = World::new(PushConfig { keep: 2, ..PushConfig::default() }).await;
    let end = world.now + Duration::from_secs(60);
    world.push(&[("a", b"one")]).await;
    world.push_until(&[("a", b"two")], Some(end)).await;
    world.now = end;
    world.push(&[("a", b"six")]).await;
    assert_eq!(names(&world), ["r3", "r1"]);
}

#[tokio::test]
async fn a_manifest_that_would_be_too_large_is_none() {
    let world = World::new(PushConfig::default()).await;
    world.upload(b"one", "text/plain").await;
    let long = "0123456789/".repeat(85);
    let paths: Vec<String> = (0..34_000).map(|at| format!("{long}{at}")).collect();
    let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (path.as_str(), b"one".as_slice())).collect();
    let error = world.assets.release(draft(&files), world.now).await.unwrap_err();
    assert!(error.to_string().starts_with("the release's manifest has "), "{error}");
    assert!(names(&world).is_empty());
}
