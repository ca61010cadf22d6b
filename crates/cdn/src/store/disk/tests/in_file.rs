//! Long bodies that memory has no room for stay in their files.

use super::*;

const LONG: usize = 200_000;

/// With memory for twenty of them.
fn with_memory(folder: &Path) -> Engine {
    let disk = config(folder, 64 << 20);
    Engine::open(&EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(4 << 20) }).unwrap()
}

fn look(engine: &Engine, name: &str) -> Option<Arc<Object>> {
    wait(engine.find_on_disk(&engine.key(name.as_bytes()), |_| true))
}

/// A cache that has been started anew with so many long bodies on its disk.
fn full(folder: &Path, count: usize) -> Engine {
    let first = with_memory(folder);
    for number in 0..count {
        put(&first, &number.to_string(), 1, LONG);
        first.flush();
    }
    drop(first);
    with_memory(folder)
}

#[test]
fn it_comes_to_memory_while_nothing_has_to_go_for_it_and_when_it_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = full(folder.path(), 40);
    let stays: Vec<bool> = (0..40)
        .map(|number| {
            let object = look(&cache, &number.to_string()).unwrap();
            assert_eq!(version(&number.to_string(), &object.body), 1);
            object.body.is_in_file()
        })
        .collect();
    let fit = stays.iter().take_while(|stays| !**stays).count();
    assert!((18..22).contains(&fit) && stays[fit..].iter().all(|stays| *stays), "{stays:?}");
    assert!(cache.find(&cache.key(b"30"), |_| true).is_none());
    // It was asked for not long ago.
    assert!(!look(&cache, "39").unwrap().body.is_in_file());
    assert!(cache.find(&cache.key(b"39"), |_| true).is_some());
}

#[test]
fn each_byte_of_it_is_checked_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 64 << 20);
    let object = object("a", 1, LONG);
    disk.write(&object);
    disk.flush();
    let find = || wait(disk.read(&key("a"), |_| true, |_| false)).map(|(object, _)| object);
    let found = find().unwrap();
    assert!(found.body.is_in_file());
    assert_eq!((version("a", &found.body), found.body.crc()), (1, object.body.crc()));
    let ranges = found.body.pieces(LONG as u64 - 10..u64::MAX);
    let (file, offset) = ranges.in_file().unwrap();
    let mut end = vec![0; ranges.remaining() as usize];
    file.read_exact_at(&mut end, offset).unwrap();
    assert_eq!(end, ranges.flatten().collect::<Vec<u8>>());
    let (_, path) = segments::paths(folder.path()).unwrap().remove(0);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() - 1;
    let mut last = [0];
    file.read_exact_at(&mut last, at).unwrap();
    file.write_all_at(&[!last[0]], at).unwrap();
    assert!(find().is_none());
    assert_eq!(disk.figures().damaged, 1);
}

#[test]
fn it_can_be_read_after_its_segment_has_gone_and_ends_early_where_its_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 3 << 20);
    disk.write(&object("a", 1, LONG));
    disk.flush();
    let (found, _) = wait(disk.read(&key("a"), |_| true, |_| false)).unwrap();
    for number in 0..32 {
        disk.write(&object(&number.to_string(), 1, LONG));
        disk.flush();
    }
    assert_eq!(read(&disk, "a"), None, "it had to go");
    assert_eq!(version("a", &found.body), 1);
    let mut pieces = found.body.pieces(0..u64::MAX);
    let (file, offset) = pieces.in_file().unwrap();
    let file = Arc::clone(file);
    file.set_len(offset + 70_000).unwrap();
    assert_eq!(pieces.by_ref().count(), 1);
    assert!(pieces.remaining() > 0);
}

#[test]
fn what_is_confirmed_in_its_file_has_its_new_head_and_its_body_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = full(folder.path(), 40);
    (0..22).for_each(|number| drop(look(&cache, &number.to_string())));
    let kept = look(&cache, "30").unwrap();
    assert!(kept.body.is_in_file());
    let before = bytes_of_segments(folder.path());
    assert!(cache.update(&kept, Stored { lifetime: 500, ..tagged(&["30"]) }, 0).is_none());
    cache.flush();
    assert!(bytes_of_segments(folder.path()) - before < 1000);
    let confirmed = look(&cache, "30").unwrap();
    assert_eq!((confirmed.stored.lifetime, version("30", &confirmed.body)), (500, 1));
}

#[test]
fn bodies_that_are_being_sent_count_for_the_room_that_their_segments_take() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 4 << 20);
    let (mut sent, mut in_memory) = (Vec::new(), 0);
    for number in 0..60 {
        disk.write(&object(&number.to_string(), 1, LONG));
        disk.flush();
        for back in [0, 3, 9] {
            let Some(name) = (number as u32).checked_sub(back).map(|number| number.to_string()) else {
                continue;
            };
            let Some((found, _)) = wait(disk.read(&key(&name), |_| true, |_| false)) else { continue };
            match found.body.is_in_file() {
                true => sent.push((name, found)),
                false => in_memory += 1,
            }
        }
        // One that is slow, and those that are not.
        sent.drain(..sent.len().saturating_sub(2) / 2 * 2);
        assert!(disk.figures().bytes <= 4 << 20, "{}", disk.figures().bytes);
        assert!(disk.figures().bytes >= bytes_of_segments(folder.path()));
    }
    assert!(in_memory > 0 && !sent.is_empty());
    for (name, object) in &sent {
        assert_eq!(version(name, &object.body), 1);
    }
    let held = disk.shared.files.held_bytes();
    drop(sent);
    assert!(held == 0 || disk.shared.files.held_bytes() < held);
    assert_eq!(disk.shared.files.held_bytes(), 0);
}

#[test]
fn what_is_soon_to_go_is_read_to_memory_so_that_nobody_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 3 << 20);
    for number in 0..10 {
        disk.write(&object(&number.to_string(), 1, LONG));
        disk.flush();
    }
    let stays = |name: &str| wait(disk.read(&key(name), |_| true, |_| false)).unwrap().0.body.is_in_file();
    assert_eq!(["0", "1", "8", "9"].map(stays), [false, false, true, true]);
}

#[test]
fn who_is_sent_bodies_slowly_does_not_make_the_disk_let_go_of_all_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 4 << 20);
    for number in 0..12 {
        disk.write(&object(&number.to_string(), 1, LONG));
        disk.flush();
    }
    // As if each had begun while its segment was young.
    let files = disk.shared.files.all();
    let held: Vec<Arc<File>> = files.iter().map(|segment| Arc::clone(&segment.file)).collect();
    for number in 12..40 {
        disk.write(&object(&number.to_string(), 1, LONG));
        disk.flush();
        assert!(disk.figures().bytes <= 4 << 20);
    }
    assert!(disk.figures().objects > 8 && disk.figures().unwritten > 0, "{:?}", disk.figures());
    drop((files, held));
    disk.write(&object("later", 1, LONG));
    disk.flush();
    assert_eq!(read(&disk, "later"), Some(1));
}
