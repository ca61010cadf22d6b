mod bounds;
mod gone;
mod in_file;

use super::*;
use crate::purge::{Mode, Target};
use crate::store::Body;
use crate::store::samples::{stored, tagged};
use crate::{Engine, EngineConfig};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

const HASHER_SECRET: [u64; 2] = [1, 2];

fn config(folder: &Path, bytes_max: u64) -> DiskConfig {
    DiskConfig::behind(256 << 20, folder.into(), bytes_max)
}

/// A cache with so little memory that all is looked up on the disk.
fn engine(folder: &Path, bytes_max: u64) -> Engine {
    let disk = config(folder, bytes_max);
    Engine::open(&EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(0) }).unwrap()
}

fn disk(folder: &Path, bytes_max: u64) -> Disk {
    open(&config(folder, bytes_max))
}

fn open(config: &DiskConfig) -> Disk {
    let (lock, purges) = (Lock::take(&config.folder).unwrap(), Arc::new(Purges::in_memory()));
    Disk::open(config, lock, KeyHasher::new(HASHER_SECRET), purges).unwrap().0
}

/// A body of which each byte says to whom it belongs.
fn body(name: &str, version: u64, len: usize) -> Vec<u8> {
    let seed = name.bytes().fold(version, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let byte = |at: u64| (seed.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    version.to_le_bytes().into_iter().chain((0..len as u64).map(byte)).collect()
}

fn put(engine: &Engine, name: &str, version: u64, len: usize) {
    let body = Body::copy_of(&body(name, version, len));
    let asked = engine.purges().sequence();
    engine.put(Object::new(engine.key(name.as_bytes()), tagged(&[name]), body, asked));
}

fn key(name: &str) -> Key {
    KeyHasher::new(HASHER_SECRET).key(name.as_bytes())
}

fn object(name: &str, version: u64, len: usize) -> Arc<Object> {
    Arc::new(Object::new(key(name), stored(), Body::copy_of(&body(name, version, len)), 0))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The version of what is there, each byte of it looked at.
fn version(name: &str, found: &Body) -> u64 {
    let bytes: Vec<u8> = found.pieces(0..found.len()).flatten().collect();
    let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == body(name, version, bytes.len() - 8), "{name}: a wrong byte");
    version
}

fn found(engine: &Engine, name: &str) -> Option<u64> {
    let found = wait(engine.find_on_disk(&engine.key(name.as_bytes()), |_| true));
    found.map(|object| version(name, &object.body))
}

fn read(disk: &Disk, name: &str) -> Option<u64> {
    wait(disk.read(&key(name), |_| true, |_| true)).map(|(object, _)| version(name, &object.body))
}

fn bytes_of_segments(folder: &Path) -> u64 {
    let paths = segments::paths(folder).unwrap();
    paths.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_what_was_purged_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 8 << 20);
    for (name, len) in
        [("empty", 0), ("small", 100), ("large", 700_000), ("purged", 9), ("tagged", 9), ("soft", 9)]
    {
        put(&first, name, 1, len);
    }
    put(&first, "small", 2, 50);
    first.flush();
    first.purge(Target::Key(b"purged"), Mode::Hard).unwrap();
    first.purge(Target::Tag("tagged"), Mode::Hard).unwrap();
    first.purge(Target::Tag("soft"), Mode::Soft).unwrap();
    drop(first);
    let second = engine(folder.path(), 8 << 20);
    let names = ["empty", "small", "large", "purged", "tagged"];
    assert_eq!(names.map(|name| found(&second, name)), [Some(1), Some(2), Some(1), None, None]);
    let soft = wait(second.find_on_disk(&second.key(b"soft"), |_| true)).unwrap();
    assert!(soft.is_purged_softly());
    assert_eq!(soft.stored, tagged(&["soft"]));
    assert_eq!(second.figures().disk.damaged, 0);
}

#[test]
fn without_its_log_of_purges_nothing_on_the_disk_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path(), 8 << 20);
    put(&first, "a", 1, 10);
    drop(first);
    fs::remove_file(folder.path().join("purges")).unwrap();
    assert_eq!(found(&engine(folder.path(), 8 << 20), "a"), None);
    assert_eq!(bytes_of_segments(folder.path()), 0);
}

#[test]
fn what_comes_back_from_the_disk_is_in_memory_again_unless_a_newer_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 8 << 20);
    let config = EngineConfig { disk: Some(config), ..EngineConfig::of_memory(1 << 20) };
    let first = Engine::open(&config).unwrap();
    put(&first, "a", 1, 10);
    drop(first);
    let second = Engine::open(&config).unwrap();
    let key = second.key(b"a");
    assert!(second.find(&key, |_| true).is_none() && second.may_be_on_disk(&key));
    assert_eq!(found(&second, "a"), Some(1));
    assert_eq!(second.find(&key, |_| true).map(|object| version("a", &object.body)), Some(1));
    put(&second, "a", 2, 10);
    second.flush();
    assert_eq!(second.find(&key, |_| true).map(|object| version("a", &object.body)), Some(2));
    assert_eq!(found(&second, "a"), Some(2));
}

#[test]
fn a_folder_is_used_by_one_cache_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _first = engine(folder.path(), 1 << 20);
    assert!(matches!(Lock::take(folder.path()), Err(Error::Disk { .. })));
}

#[test]
fn the_bound_is_exact_the_oldest_goes_and_what_is_in_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    let bytes_max = 600_000;
    let disk = disk(folder.path(), bytes_max);
    disk.write(&object("in use", 1, 5000));
    for number in 0..400 {
        disk.write(&object(&format!("{number}"), 1, 3000));
        disk.flush();
        assert!(bytes_of_segments(folder.path()) <= bytes_max);
        assert_eq!(read(&disk, "in use"), Some(1), "{number}");
    }
    let figures = disk.figures();
    assert_eq!(figures.bytes, bytes_of_segments(folder.path()));
    assert!(figures.evicted > 150 && figures.rewritten > 0 && figures.failed == 0, "{figures:?}");
    assert_eq!((read(&disk, "0"), read(&disk, "399")), (None, Some(1)));
    let is_there = (0..400).filter(|number| read(&disk, &number.to_string()).is_some()).count();
    assert_eq!(figures.objects, is_there as u64 + 1);
    disk.write(&object("too large", 1, 200_000));
    disk.flush();
    assert_eq!((read(&disk, "too large"), disk.figures().unwritten), (None, 1));
}

#[test]
fn a_smaller_bound_after_a_restart_holds_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = disk(folder.path(), 2_000_000);
    for number in 0..500 {
        first.write(&object(&number.to_string(), 1, 3000));
        first.flush();
    }
    drop(first);
    let second = disk(folder.path(), 500_000);
    assert!(bytes_of_segments(folder.path()) <= 500_000);
    assert_eq!((read(&second, "0"), read(&second, "499")), (None, Some(1)));
}

#[test]
fn damage_anywhere_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("name {number}")).collect();
    let first = disk(folder.path(), 8 << 20);
    names.iter().for_each(|name| first.write(&object(name, 1, 2000)));
    drop(first);
    let (_, path) = segments::paths(folder.path()).unwrap().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(2003) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let disk = disk(folder.path(), 8 << 20);
        let there = names.iter().filter(|name| read(&disk, name).is_some()).count();
        assert!(there < names.len(), "{at}");
        assert_eq!(disk.figures().damaged, 1, "{at}");
    }
    // While it is open too.
    fs::write(&path, &whole).unwrap();
    let disk = disk(folder.path(), 8 << 20);
    assert_eq!(read(&disk, "name 3"), Some(1));
    File::options().write(true).open(&path).unwrap().write_all_at(&[0; 50_000], 0).unwrap();
    assert!(names.iter().all(|name| read(&disk, name).is_none()));
    assert_eq!((disk.figures().damaged, disk.figures().objects), (20, 0));
}

#[test]
fn a_full_disk_is_counted_and_nothing_else_happens() {
    static IS_FULL: AtomicBool = AtomicBool::new(true);
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 1 << 20);
    let create = |path: &Path| {
        let full = Path::new("/dev/full");
        let path = if IS_FULL.load(Ordering::Relaxed) { full } else { path };
        File::options().read(true).write(true).create(true).truncate(true).open(path)
    };
    let (hasher, purges) = (KeyHasher::new(HASHER_SECRET), Arc::new(Purges::in_memory()));
    let (disk, _) =
        Disk::open_with(&config, Lock::take(&config.folder).unwrap(), hasher, purges, create).unwrap();
    disk.write(&object("a", 1, 100_000));
    disk.write(&object("b", 1, 100));
    disk.flush();
    assert_eq!((read(&disk, "a"), read(&disk, "b")), (None, None));
    assert_eq!((disk.figures().failed, disk.figures().objects, disk.figures().bytes), (2, 0, 0));
    IS_FULL.store(false, Ordering::Relaxed);
    disk.write(&object("a", 2, 100_000));
    disk.flush();
    assert_eq!((read(&disk, "a"), disk.figures().written), (Some(2), 1));
}

const CHILD: &str = "CDN_TEST_FOLDER";

/// Killed at any moment while it writes, replaces and purges: what is there after that is whole, and not older than what was acknowledged
/// as purged.
#[test]
fn a_cache_that_was_killed_has_whole_responses_and_all_its_purges() {
    if let Ok(folder) = std::env::var(CHILD) {
        write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut least, mut survived) = (0, 0);
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::disk::tests::a_cache_that_was_killed_has_whole_responses_and_all_its_purges",
            ])
            .arg("--nocapture")
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let told =
            lines.filter_map(|line| line.strip_prefix("purged ").map(|version| version.parse().unwrap()));
        // A purge is told with each response that is put after it.
        least = told.take(40 + round * 7).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let engine = engine(folder.path(), 2_000_000);
        assert!(bytes_of_segments(folder.path()) <= 2_000_000);
        for name in (0..40).map(|number| format!("name {number}")) {
            if let Some(version) = found(&engine, &name) {
                assert!(version >= least, "{name}: {version} after a purge at {least}");
                survived += 1;
            }
        }
    }
    assert!(survived > 0 && least > 0, "nothing survived");
}

/// Tells its parent how far it is.
fn write_until_killed(folder: &Path) -> ! {
    let engine = engine(folder, 2_000_000);
    let start = (0..40).filter_map(|number| found(&engine, &format!("name {number}"))).max().unwrap_or(0);
    for version in start + 1.. {
        for number in 0..40 {
            put(
                &engine,
                &format!("name {number}"),
                version,
                (number * 997 + version as usize * 131) % 90_000,
            );
        }
        // Content of the next version is the only one that may be found after this.
        engine.purge(Target::Prefix(b"name"), Mode::Hard).unwrap();
        for number in 0..20 {
            put(
                &engine,
                &format!("name {number}"),
                version + 1,
                (number * 499 + version as usize * 77) % 90_000,
            );
            println!("\npurged {}", version + 1);
        }
    }
    unreachable!("numbers do not end")
}
