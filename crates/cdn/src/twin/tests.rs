//! Two caches in one process, or one and whoever says anything over its socket.

use super::*;
use crate::EngineConfig;
use crate::purge::{Mode, Target};
use crate::store::samples::object;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// Whoever waits so long fails.
const LONG: Duration = Duration::from_secs(60);

fn engine() -> Arc<Engine> {
    Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap())
}

/// What happens at one end.
fn listen() -> (OnEvent, Receiver<TwinEvent>) {
    let (told, events) = channel();
    let told = Mutex::new(told);
    (Arc::new(move |event| drop(told.lock().unwrap().send(event))), events)
}

fn silent() -> OnEvent {
    Arc::new(|_| {})
}

fn join(old: &Arc<Engine>, new: &Arc<Engine>) {
    let (one, other) = UnixStream::pair().unwrap();
    assert!(old.join_twin_for(LONG, Side::Old, one, silent()).unwrap());
    assert!(new.join_twin_for(LONG, Side::New, other, silent()).unwrap());
}

/// Keeps a response, and says whether it is found.
fn keep(engine: &Engine) -> impl Fn() -> bool {
    let key = engine.key(b"k");
    let mut kept = object("k", b"body", engine.purges().sequence());
    kept.key = key.clone();
    kept.stored.tags = ["red".into()].into();
    engine.put(kept).unwrap();
    move || engine.find(&key, |_| true).is_some()
}

#[test]
fn a_purge_at_one_process_holds_at_the_other_once_it_is_acknowledged() {
    let (old, new) = (engine(), engine());
    join(&old, &new);
    for (here, there) in [(&old, &new), (&new, &old)] {
        let targets = [Target::Key(b"k"), Target::Prefix(b"k"), Target::Tag("red"), Target::Everything];
        for target in targets {
            let is_found = keep(there);
            assert!(is_found());
            here.purge(target, Mode::Hard).unwrap();
            assert!(!is_found(), "{target:?}");
        }
        let _ = keep(there);
        here.purge(Target::Tag("red"), Mode::Soft).unwrap();
        assert!(there.find(&there.key(b"k"), |_| true).unwrap().is_purged_softly());
    }
    // Nothing is sent back.
    assert_eq!((old.figures().purges, new.figures().purges), (10, 10));
}

#[test]
fn what_an_unsafe_method_invalidates_is_told_without_a_wait() {
    let (old, new) = (engine(), engine());
    join(&old, &new);
    let is_found = keep(&new);
    old.invalidate(&old.key(b"k")).unwrap();
    // All that was told before is acknowledged with it.
    old.purge(Target::Tag("other"), Mode::Hard).unwrap();
    assert!(!is_found());
}

#[test]
fn a_third_process_is_told_over_the_second() {
    let (first, second, third) = (engine(), engine(), engine());
    join(&first, &second);
    join(&second, &third);
    for (here, there) in [(&first, &third), (&third, &first)] {
        let is_found = keep(there);
        here.purge(Target::Key(b"k"), Mode::Hard).unwrap();
        assert!(!is_found());
    }
    // Both purge at the same time: neither waits for the other to be done.
    thread::scope(|scope| {
        for engine in [&first, &third] {
            scope.spawn(move || {
                for _ in 0..200 {
                    engine.purge(Target::Tag("red"), Mode::Hard).unwrap();
                }
            });
        }
    });
    assert_eq!([&first, &second, &third].map(|engine| engine.figures().purges), [402; 3]);
}

#[test]
fn the_numbers_of_the_new_process_are_above_all_of_the_old_one() {
    let (old, new) = (engine(), engine());
    old.purge(Target::Everything, Mode::Hard).unwrap();
    join(&old, &new);
    assert!(new.purges().sequence() > NUMBERS_BETWEEN);
    old.purge(Target::Everything, Mode::Hard).unwrap();
    assert_eq!(old.purges().sequence(), 2);
}

#[test]
fn nobody_waits_for_a_process_that_has_asked_for_nothing_yet() {
    let old = engine();
    let (one, other) = UnixStream::pair().unwrap();
    old.join_twin_for(LONG, Side::Old, one, silent()).unwrap();
    old.purge(Target::Everything, Mode::Hard).unwrap();
    assert!(!old.twins.has_successor());
    drop(other);
}

#[test]
fn a_process_that_says_nothing_is_waited_for_once_and_told_of() {
    let old = engine();
    let (one, mut other) = UnixStream::pair().unwrap();
    let (on_event, events) = listen();
    old.join_twin_for(Duration::from_millis(1), Side::Old, one, on_event).unwrap();
    let mut hello = Vec::new();
    Message::Hello.write(&mut hello);
    other.write_all(&hello).unwrap();
    // Its welcome comes before anything is told.
    assert_eq!(other.read(&mut [0; 21]).unwrap(), 21);
    old.purge(Target::Everything, Mode::Hard).unwrap();
    assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::Late)));
    old.purge(Target::Everything, Mode::Hard).unwrap();
    drop(other);
    assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::Gone)), "and said once");
    old.purge(Target::Everything, Mode::Hard).unwrap();
}

#[test]
fn whoever_waits_for_a_process_that_ends_waits_no_longer() {
    let old = engine();
    let (one, mut other) = UnixStream::pair().unwrap();
    old.join_twin_for(LONG, Side::Old, one, silent()).unwrap();
    let mut hello = Vec::new();
    Message::Hello.write(&mut hello);
    other.write_all(&hello).unwrap();
    other.read_exact(&mut [0; 21]).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        let purging = scope.spawn(|| old.purge(Target::Everything, Mode::Hard).unwrap());
        // It is told, and ends.
        other.read_exact(&mut [0; 12]).unwrap();
        drop(other);
        purging.join().unwrap();
    });
    assert!(began.elapsed() < LONG);
    old.close();
}

#[test]
fn what_is_no_message_or_out_of_turn_ends_the_conversation_and_nothing_else() {
    let purge = |number| {
        Message::Purge(Told {
            number,
            is_news: false,
            entry: Arc::new(Entry::new(Target::Everything, Mode::Hard)),
        })
    };
    let said: [&[Message]; 6] = [
        &[Message::Hello, Message::Hello],
        &[Message::Welcome { sequence: 1 }],
        &[Message::Held { number: 1 }],
        &[Message::DiskIsFree],
        &[purge(1), purge(1)],
        &[purge(0)],
    ];
    let written = said.iter().map(|messages| {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        bytes
    });
    for bytes in written.chain([b"GET / HTTP/1.1\r\n".to_vec()]) {
        let old = engine();
        let (one, mut other) = UnixStream::pair().unwrap();
        let (on_event, events) = listen();
        old.join_twin_for(LONG, Side::Old, one, on_event).unwrap();
        other.write_all(&bytes).unwrap();
        assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::Malformed)), "{bytes:?}");
        old.purge(Target::Everything, Mode::Hard).unwrap();
        old.close();
    }
}

#[test]
fn a_process_that_is_dropped_ends_the_conversation() {
    let (old, new) = (engine(), engine());
    let (one, other) = UnixStream::pair().unwrap();
    let (on_event, events) = listen();
    old.join_twin_for(LONG, Side::Old, one, on_event).unwrap();
    assert!(new.join_twin_for(LONG, Side::New, other, silent()).unwrap());
    assert!(old.twins.has_successor());
    drop(new);
    assert!(matches!(events.recv_timeout(LONG), Ok(TwinEvent::Gone)));
    assert!(!old.twins.has_successor());
}

#[test]
fn an_old_process_that_does_not_answer_is_none() {
    let new = engine();
    let (one, other) = UnixStream::pair().unwrap();
    drop(one);
    assert!(!new.join_twin_for(LONG, Side::New, other, silent()).unwrap());
}
