mod chunks;

use super::*;
use crate::purge::{Mode, Purges, Target};
use crate::rules::{NotStored, Stored};
use crate::store::samples::{key, object, stored, tagged};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

fn unshared() -> Stored {
    Stored { not_stored: Some(NotStored::NoStore), ..stored() }
}

fn limits() -> FillLimits {
    FillLimits {
        object_bytes_max: 1 << 20,
        window_bytes: 1000,
        patience: Duration::from_millis(1),
        ..FillLimits::default()
    }
}

fn flights(limits: FillLimits) -> Arc<Flights> {
    Flights::new(limits, Arc::new(Purges::in_memory()))
}

fn lead(flights: &Arc<Flights>, name: &str) -> Lead {
    match flights.join(&key(name), 0, Instant::now()) {
        Place::Lead(lead) => lead,
        Place::Follow(_) => panic!("somebody fetches {name}"),
        Place::Alone => panic!("{name} is not to be shared"),
    }
}

fn follow(flights: &Arc<Flights>, name: &str) -> Reader {
    match flights.join(&key(name), 0, Instant::now()) {
        Place::Follow(reader) => reader,
        _ => panic!("nobody fetches {name}"),
    }
}

fn is_alone(flights: &Arc<Flights>, name: &str, now: Instant) -> bool {
    matches!(flights.join(&key(name), 0, now), Place::Alone)
}

async fn rest(reader: &mut Reader) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    while let Some(piece) = reader.piece().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// What is there without waiting.
fn now<T>(mut poll: impl FnMut(&Context<'_>) -> Poll<T>) -> Option<T> {
    match poll(&Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn all_who_wait_read_the_response_as_it_arrives_and_latecomers_from_its_start() {
    let flights = flights(limits());
    let mut lead = lead(&flights, "a");
    let mut readers = vec![lead.own_reader(), follow(&flights, "a")];
    assert!(now(|context| readers[1].poll_head(context)).is_none());
    lead.keep(stored(), Instant::now());
    lead.push(b"first ", Instant::now()).await.unwrap();
    for reader in &mut readers {
        assert!(matches!(reader.head().await, Begun::Head(head) if head.status == 200));
        assert_eq!(reader.piece().await.unwrap().unwrap(), "first ");
        assert!(now(|context| reader.poll_piece(context)).is_none());
    }
    let mut late = follow(&flights, "a");
    lead.push(b"second", Instant::now()).await.unwrap();
    let finished = lead.finish().unwrap().unwrap();
    assert_eq!(rest(&mut late).await.unwrap(), b"first second");
    for reader in &mut readers {
        assert_eq!(rest(reader).await.unwrap(), b"second");
    }
    assert_eq!(finished.body.len(), 12);
    // Until it has landed, it is read from here.
    assert_eq!(rest(&mut follow(&flights, "a")).await.unwrap(), b"first second");
    drop(finished);
    drop((readers, late));
    let figures = flights.figures();
    assert_eq!((figures.flights, figures.fills, figures.coalesced, figures.filling_bytes), (0, 1, 3, 0));
}

#[tokio::test]
async fn one_that_cannot_be_shared_is_for_its_own_request_and_that_is_remembered() {
    let flights = flights(limits());
    let mut lead = lead(&flights, "a");
    let (mut own, mut other) = (lead.own_reader(), follow(&flights, "a"));
    let now = Instant::now();
    lead.pass(unshared(), Some(now + Duration::from_secs(5)));
    assert!(matches!(other.head().await, Begun::Alone));
    assert!(is_alone(&flights, "a", now));
    lead.push(b"private", now).await.unwrap();
    assert!(lead.finish().unwrap().is_none());
    assert_eq!(rest(&mut own).await.unwrap(), b"private");
    assert!(is_alone(&flights, "a", now + Duration::from_secs(4)));
    assert!(!is_alone(&flights, "a", now + Duration::from_secs(6)));
}

#[tokio::test]
async fn what_passes_through_waits_for_its_reader_and_ends_when_nobody_reads() {
    let flights = flights(limits());
    let mut lead = lead(&flights, "a");
    let mut own = lead.own_reader();
    lead.pass(unshared(), None);
    let fetch = tokio::spawn(async move {
        for _ in 0..100 {
            lead.push(&[7; 500], Instant::now()).await?;
        }
        Ok::<_, Abandoned>(lead.finish().unwrap().is_none())
    });
    let mut read = 0;
    while read < 10_000 {
        tokio::task::yield_now().await;
        assert!(flights.figures().filling_bytes <= 1500);
        read += own.piece().await.unwrap().unwrap().len();
    }
    drop(own);
    assert_eq!(fetch.await.unwrap(), Err(Abandoned));
    assert_eq!(flights.figures().filling_bytes, 0);
}

#[tokio::test]
async fn a_body_that_becomes_too_large_goes_on_to_those_present_and_is_not_kept() {
    let flights =
        flights(FillLimits { object_bytes_max: 5000, patience: Duration::from_secs(60), ..limits() });
    let mut lead = lead(&flights, "a");
    let mut readers = [lead.own_reader(), follow(&flights, "a")];
    lead.keep(stored(), Instant::now());
    let fetch = tokio::spawn(async move {
        for number in 0..100u8 {
            lead.push(&[number; 500], Instant::now()).await.unwrap();
        }
        lead.finish().unwrap().is_none()
    });
    let [first, second] = &mut readers;
    let (first, second) = tokio::join!(rest(first), rest(second));
    let whole: Vec<u8> = (0..100).flat_map(|number| [number; 500]).collect();
    assert_eq!((first.unwrap(), second.unwrap()), (whole.clone(), whole));
    assert!(fetch.await.unwrap(), "it is not to be kept");
    assert!(is_alone(&flights, "a", Instant::now()));
}

#[tokio::test]
async fn one_who_holds_up_the_others_for_too_long_is_cut_off() {
    let flights = flights(FillLimits { object_bytes_max: 0, ..limits() });
    let mut lead = lead(&flights, "a");
    let (mut quick, mut slow) = (lead.own_reader(), follow(&flights, "a"));
    lead.keep(stored(), Instant::now());
    let fetch = tokio::spawn(async move {
        for _ in 0..50 {
            lead.push(&[1; 500], Instant::now()).await.unwrap();
        }
        lead.finish().unwrap();
    });
    assert_eq!(rest(&mut quick).await.unwrap().len(), 25_000);
    fetch.await.unwrap();
    assert_eq!(rest(&mut slow).await, Err(Failure::TooSlow));
}

#[tokio::test]
async fn whatever_becomes_of_the_fetch_nobody_waits_for_it_any_longer() {
    let flights = flights(limits());
    let dropped = lead(&flights, "a");
    let mut reader = follow(&flights, "a");
    drop(dropped);
    assert!(matches!(reader.head().await, Begun::Failed(Failure::Dropped)));
    let failed = lead(&flights, "a");
    let mut reader = follow(&flights, "a");
    failed.fail(Failure::Origin(504));
    assert!(matches!(reader.head().await, Begun::Failed(Failure::Origin(504))));
    let mut broken = lead(&flights, "a");
    let mut reader = follow(&flights, "a");
    broken.keep(stored(), Instant::now());
    broken.push(b"half", Instant::now()).await.unwrap();
    drop(broken);
    assert!(matches!(reader.head().await, Begun::Head(_)));
    assert_eq!(rest(&mut reader).await, Err(Failure::Dropped));
    let panicked = lead(&flights, "a");
    let mut reader = follow(&flights, "a");
    let thread = thread::spawn(move || {
        let _lead = panicked;
        std::panic::resume_unwind(Box::new("the fetch fails"));
    });
    assert!(matches!(reader.head().await, Begun::Failed(Failure::Dropped)));
    assert!(thread.join().is_err());
    lead(&flights, "a");
}

#[tokio::test]
async fn a_body_of_another_length_than_was_said_is_broken_off() {
    let flights = flights(limits());
    for said in [3, 5] {
        let mut lead = lead(&flights, "a");
        let mut reader = lead.own_reader();
        let mut head = stored();
        head.length = Some(said);
        lead.keep(head, Instant::now());
        lead.push(b"four", Instant::now()).await.unwrap();
        assert_eq!(lead.finish().err(), Some(Failure::Length));
        assert_eq!(rest(&mut reader).await, Err(Failure::Length));
    }
}

#[tokio::test]
async fn a_follower_goes_on_its_own_when_its_time_is_over() {
    let flights = flights(limits());
    let _lead = lead(&flights, "a");
    let mut reader = follow(&flights, "a");
    assert!(matches!(reader.head_by(tokio::time::Instant::now()).await, Begun::Alone));
}

#[tokio::test]
async fn what_is_confirmed_is_for_all_who_wait() {
    let flights = flights(limits());
    let lead = flights.lead(&key("a"), 0).unwrap();
    assert!(flights.lead(&key("a"), 0).is_none(), "one is enough");
    assert!(flights.lead(&key("a"), 1).is_some(), "another variant");
    let mut reader = follow(&flights, "a");
    lead.confirm(Arc::new(object("a", b"kept", 0)));
    assert!(matches!(reader.head().await, Begun::Confirmed(object) if object.body.len() == 4));
    assert!(flights.lead(&key("a"), 0).is_some());
}

#[tokio::test]
async fn fetches_are_bounded_and_so_is_what_is_remembered() {
    let flights = flights(FillLimits { flights_max: 2, passes_max: 10, ..limits() });
    let kept = [lead(&flights, "a"), lead(&flights, "b")];
    assert!(is_alone(&flights, "c", Instant::now()));
    drop(kept);
    let now = Instant::now();
    for number in 0..40u64 {
        lead(&flights, &number.to_string()).pass(unshared(), Some(now + Duration::from_secs(number + 1)));
    }
    let remembered = (0..40).filter(|number| is_alone(&flights, &number.to_string(), now)).count();
    assert!((5..=10).contains(&remembered), "{remembered}");
    assert!(is_alone(&flights, "39", now));
}

#[test]
fn a_fetch_from_before_a_purge_is_nothing_for_requests_after_it() {
    let purges = Arc::new(Purges::in_memory());
    let flights = Flights::new(limits(), Arc::clone(&purges));
    let purge = |target| purges.purge(target, Mode::Hard).unwrap();
    let early = lead(&flights, "site/a");
    purge(Target::Key(b"site/b"));
    purge(Target::Prefix(b"other/"));
    drop(follow(&flights, "site/a"));
    purge(Target::Tag("any"));
    // Its tags are not known yet.
    let mut tagged_lead = lead(&flights, "site/a");
    tagged_lead.keep(tagged(&["red"]), Instant::now());
    purge(Target::Tag("blue"));
    drop(follow(&flights, "site/a"));
    purge(Target::Tag("red"));
    let newest = lead(&flights, "site/a");
    // Those that were overtaken do not take the newest with them.
    drop((early, tagged_lead));
    drop(follow(&flights, "site/a"));
    purge(Target::Prefix(b"site/"));
    drop(lead(&flights, "site/a"));
    drop(newest);
}

#[tokio::test]
async fn while_all_fetches_take_too_much_memory_bodies_pass_through_windows() {
    let flights = flights(FillLimits { filling_bytes_max: 3000, ..limits() });
    let mut large = lead(&flights, "large");
    large.keep(stored(), Instant::now());
    large.push(&[0; 4000], Instant::now()).await.unwrap();
    let mut small = lead(&flights, "small");
    let mut reader = small.own_reader();
    small.keep(stored(), Instant::now());
    small.push(b"small", Instant::now()).await.unwrap();
    assert!(small.finish().unwrap().is_none());
    assert_eq!(rest(&mut reader).await.unwrap(), b"small");
}

#[test]
fn five_hundred_on_many_threads_share_one_fetch() {
    let flights = flights(limits());
    let body: Vec<u8> = (0..200_000u32).map(|at| (at % 253) as u8).collect();
    let mut lead = lead(&flights, "a");
    let run = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future);
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            let readers: Vec<Reader> = (0..125).map(|_| follow(&flights, "a")).collect();
            let body = body.clone();
            scope.spawn(move || {
                run(Box::pin(async move {
                    let tasks: Vec<_> = readers
                        .into_iter()
                        .map(|mut reader| tokio::spawn(async move { rest(&mut reader).await }))
                        .collect();
                    for task in tasks {
                        assert_eq!(task.await.unwrap().unwrap(), body);
                    }
                }));
            });
        }
        let body = body.clone();
        scope.spawn(move || {
            run(Box::pin(async move {
                lead.keep(stored(), Instant::now());
                for piece in body.chunks(1460) {
                    lead.push(piece, Instant::now()).await.unwrap();
                }
                assert_eq!(lead.finish().unwrap().unwrap().body.len(), 200_000);
            }));
        });
    });
    let figures = flights.figures();
    assert_eq!((figures.fills, figures.coalesced, figures.filling_bytes), (1, 500, 0));
}

#[test]
fn who_waits_too_long_begins_anew_and_the_late_answer_is_not_kept() {
    let flights = flights(FillLimits::default());
    let key = key("a");
    let at = Instant::now();
    let Place::Lead(mut late) = flights.join(&key, 0, at) else { panic!("it is the first") };
    let Place::Follow(one) = flights.join(&key, 0, at) else { panic!("it waits") };
    let Place::Follow(other) = flights.join(&key, 0, at) else { panic!("it waits") };
    let Place::Lead(mut new) = flights.pass_over(&one, &key, 0) else { panic!("it begins anew") };
    let Place::Follow(_) = flights.pass_over(&other, &key, 0) else { panic!("another has begun anew") };
    let Place::Follow(_) = flights.join(&key, 0, at) else { panic!("it waits for the new one") };
    late.keep(stored(), at);
    assert!(late.finish().unwrap().is_none());
    new.keep(stored(), at);
    assert!(new.finish().unwrap().is_some());
}

#[test]
fn what_was_remembered_as_not_shared_is_fetched_for_all_again_once_it_may_be() {
    let flights = flights(FillLimits::default());
    let key = key("a");
    let at = Instant::now();
    let Place::Lead(mut lead) = flights.join(&key, 0, at) else { panic!("it is the first") };
    lead.pass(unshared(), Some(at + std::time::Duration::from_secs(9)));
    drop(lead);
    assert!(matches!(flights.join(&key, 0, at), Place::Alone));
    flights.forget_pass(&key, 0);
    assert!(matches!(flights.join(&key, 0, at), Place::Lead(_)));
}
