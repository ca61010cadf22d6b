use super::*;
use crate::Key;
use crate::store::body::Body;
use crate::store::samples::{key, object, stored};
use std::sync::atomic::AtomicBool;
use std::thread;

fn find(memory: &Memory, name: &str) -> Option<Arc<Object>> {
    memory.find(&key(name), |_| true)
}

/// One of several variants of a key, each asked for with another language.
fn variant(name: &str, language: &str, body: &[u8]) -> Object {
    let mut stored = stored();
    stored.vary = [("accept-language".into(), language.as_bytes().into())].into();
    Object::new(key(name), stored, Body::copy_of(body), 0)
}

fn language(object: &Object) -> &[u8] {
    &object.stored.vary[0].1
}

#[test]
fn what_was_put_is_found_by_its_key_alone() {
    let memory = Memory::new(1 << 20, 1 << 20);
    memory.put(object("a", b"body of a", 0)).unwrap();
    assert_eq!(find(&memory, "a").unwrap().body.chunks()[0], "body of a");
    assert!(find(&memory, "b").is_none());
}

#[test]
fn what_is_used_twice_is_popular_until_one_asks_for_it_anew() {
    let memory = Memory::new(1 << 20, 1 << 20);
    let kept = memory.put(object("a", b"body", 0)).unwrap();
    assert!(find(&memory, "a").is_some() && !kept.is_popular() && !kept.claim_refresh());
    assert!(find(&memory, "a").is_some() && kept.is_popular());
    assert!(find(&memory, "a").is_some() && kept.claim_refresh(), "the third use changes nothing");
    assert!(!kept.is_popular() && !kept.claim_refresh());
    let confirmed = Arc::new(object("a", b"body", 0));
    assert!(memory.update(&kept, &confirmed));
    assert!(confirmed.frequency() > 0 && !confirmed.is_popular(), "it has to be used again");
}

#[test]
fn keys_of_one_hash_are_not_taken_for_each_other() {
    let memory = Memory::new(1 << 20, 1 << 20);
    let same_hash = |bytes: &[u8]| Key { hash: 5, bytes: bytes.into() };
    for name in [b"one", b"two"] {
        memory.put(Object::new(same_hash(name), stored(), Body::copy_of(name), 0)).unwrap();
    }
    assert!(memory.find(&same_hash(b"one"), |_| true).is_none());
    assert_eq!(memory.find(&same_hash(b"two"), |_| true).unwrap().body.chunks()[0], "two");
    assert_eq!(memory.figures().objects, 1);
}

#[test]
fn the_newest_takes_the_place_of_the_same_variant_and_leaves_the_others() {
    let memory = Memory::new(1 << 20, 1 << 20);
    for (language, body) in [("en", "hello"), ("de", "hallo"), ("en", "hi")] {
        memory.put(variant("a", language, body.as_bytes())).unwrap();
    }
    let found =
        |wanted: &str| memory.find(&key("a"), |object| language(object) == wanted.as_bytes()).unwrap();
    assert_eq!(found("en").body.chunks()[0], "hi");
    assert_eq!(found("de").body.chunks()[0], "hallo");
    assert_eq!(memory.figures().objects, 2);
    assert_eq!(memory.remove_key(&key("a")), 2);
    assert_eq!(memory.figures().bytes, 0);
}

#[test]
fn of_too_many_variants_the_least_used_goes() {
    let memory = Memory::new(1 << 20, 1 << 20);
    let key = key("a");
    for number in 0..VARIANTS_MAX {
        memory.put(variant("a", &number.to_string(), b"x")).unwrap();
        if number != 7 {
            memory.find(&key, |object| language(object) == number.to_string().as_bytes()).unwrap();
        }
    }
    memory.put(variant("a", "new", b"x")).unwrap();
    let is_there = |wanted: &[u8]| memory.find(&key, |object| language(object) == wanted).is_some();
    assert!(is_there(b"new") && is_there(b"0") && is_there(b"31") && !is_there(b"7"));
    assert_eq!(memory.figures().evicted_variants, 1);
    assert_eq!(memory.figures().objects, VARIANTS_MAX as u64);
}

#[test]
fn a_part_of_a_body_does_not_take_the_place_of_the_whole() {
    let memory = Memory::new(1 << 20, 1 << 20);
    memory.put(object("a", b"whole", 0)).unwrap();
    let mut part = stored();
    (part.status, part.range) = (206, Some((0, 2)));
    memory.put(Object::new(key("a"), part, Body::copy_of(b"wh"), 0)).unwrap();
    assert_eq!(memory.figures().objects, 2);
    memory.put(object("a", b"whole again", 0)).unwrap();
    assert!(memory.find(&key("a"), |object| object.stored.range.is_none()).is_some());
}

#[test]
fn an_updated_head_has_the_body_of_before_and_only_where_it_is_still_there() {
    let memory = Memory::new(1 << 20, 1 << 20);
    let old = memory.put(object("a", b"body", 0)).unwrap();
    let updated = |old: &Object| {
        let mut stored = old.stored.clone();
        stored.lifetime = 77;
        Object::new(old.key.clone(), stored, old.body.clone(), 0)
    };
    let new = Arc::new(updated(&old));
    assert!(memory.update(&old, &new));
    assert_eq!(find(&memory, "a").unwrap().stored.lifetime, 77);
    assert!(!memory.update(&old, &Arc::new(updated(&old))), "it was updated already");
    assert!(memory.remove(&new) && !memory.remove(&new));
    assert!(!memory.update(&new, &Arc::new(updated(&new))));
    assert_eq!((memory.figures().bytes, memory.figures().objects), (0, 0));
}

#[test]
fn what_is_larger_than_allowed_is_not_kept_and_not_what_it_was_to_replace_either() {
    let memory = Memory::new(1 << 20, 10_000);
    memory.put(object("a", b"small", 0)).unwrap();
    assert!(memory.put(object("a", &[0; 20_000], 0)).is_none());
    assert!(find(&memory, "a").is_none(), "it is outdated");
    assert_eq!((memory.figures().too_large, memory.figures().bytes), (1, 0));
}

#[test]
fn under_load_of_many_threads_the_bound_holds_and_the_count_is_exact() {
    let bytes_max = 200_000;
    let (memory, is_over) = (Memory::new(bytes_max, 50_000), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4u64)
            .map(|thread| {
                let memory = &memory;
                scope.spawn(move || {
                    for number in 0..3000u64 {
                        let at = (number * 7 + thread * 13) % 97;
                        let name = format!("key {at}");
                        match number % 8 {
                            0 => drop(memory.remove_key(&key(&name))),
                            1..=3 => drop(find(memory, &name)),
                            _ => {
                                let body = vec![at as u8; (number % 6000) as usize];
                                drop(memory.put(object(&name, &body, 0)));
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert!(memory.figures().bytes <= bytes_max);
                thread::yield_now();
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
    let mut found = 0;
    for at in 0..97u64 {
        if let Some(object) = find(&memory, &format!("key {at}")) {
            assert!(object.body.chunks().iter().all(|chunk| chunk.iter().all(|byte| *byte == at as u8)));
            found += object.weight();
        }
    }
    assert_eq!(found, memory.figures().bytes);
    let objects = memory.figures().objects;
    assert_eq!(memory.sweep(|_| true) as u64, objects);
    assert_eq!((memory.figures().bytes, memory.figures().objects), (0, 0));
}
