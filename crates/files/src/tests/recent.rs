//! Files that a core keeps open for a moment.

use super::*;

/// Asks as a core does, `ms` after everything that a test has written has come to rest.
struct Core<'a> {
    root: &'a Root,
    recent: Recent,
    start: SystemTime,
}

impl<'a> Core<'a> {
    fn new(root: &'a Root) -> Self {
        Self { root, recent: Recent::default(), start: SystemTime::now() + Duration::from_secs(10) }
    }

    fn seen(&self, target: &str, ms: u64) -> Seen {
        self.shown(&get(self.root, target), ms)
    }

    fn shown(&self, asked: &Asked<'_>, ms: u64) -> Seen {
        let now = self.start + Duration::from_millis(ms);
        // What is not in memory is looked at by who may wait, as the edge does.
        let answer = self.root.answer_now(&asked.request, now, &self.recent);
        Seen::of(answer.unwrap_or_else(|| self.root.answer(&asked.request, now)))
    }
}

/// Waits until what changes now gets another time than what has changed: before Linux 6.13 times move by ticks.
fn let_a_tick_pass(world: &World) {
    use std::os::unix::fs::MetadataExt;
    let stamp = || {
        world.write("tick", "");
        let about = fs::metadata(world.path("tick")).unwrap();
        (about.ctime(), about.ctime_nsec())
    };
    let before = stamp();
    while stamp() == before {}
}

#[test]
fn a_file_is_not_asked_for_by_name_for_a_second() {
    let world = World::new();
    let root = world.write("a/x.txt", "one").open();
    let core = Core::new(&root);
    let first = core.seen("/a/x.txt", 0);
    assert_eq!(first.text(), "one");
    // Of all changes, that of a folder above the file alone goes unnoticed.
    fs::rename(world.path("a"), world.path("b")).unwrap();
    for ms in [0, 500, 999] {
        assert_eq!(core.seen("/a/x.txt", ms), first, "{ms}");
    }
    assert_eq!(core.seen("/a/x.txt", 1000).status, 404);
    assert_eq!(core.seen("/b/x.txt", 1000).text(), "one");
}

#[test]
fn a_file_that_is_written_to_is_seen_as_it_is_at_once() {
    let world = World::new();
    let root = world.write("x.txt", "one").open();
    let core = Core::new(&root);
    let tags = ["one", "two", "a longer one", ""].map(|text| {
        let_a_tick_pass(&world);
        world.write("x.txt", text);
        for _ in 0..3 {
            assert_eq!(core.seen("/x.txt", 0).text(), text);
        }
        core.seen("/x.txt", 0).header("etag").unwrap().to_owned()
    });
    assert!(tags[2] != tags[0] && tags[3] != tags[2]);
}

#[test]
fn a_file_that_is_replaced_moved_or_removed_is_looked_up_at_once() {
    let world = World::new();
    let root = world.write("x.txt", "one").write("new", "two").write("y.txt", "three").open();
    let core = Core::new(&root);
    assert_eq!(core.seen("/x.txt", 0).text(), "one");
    let_a_tick_pass(&world);
    fs::rename(world.path("new"), world.path("x.txt")).unwrap();
    assert_eq!(core.seen("/x.txt", 0).text(), "two");
    let_a_tick_pass(&world);
    fs::rename(world.path("x.txt"), world.path("z.txt")).unwrap();
    assert_eq!(core.seen("/x.txt", 0).status, 404);
    assert_eq!(core.seen("/y.txt", 0).text(), "three");
    fs::remove_file(world.path("y.txt")).unwrap();
    assert_eq!(core.seen("/y.txt", 0).status, 404);
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_after_a_second() {
    let world = World::new();
    let root = world.write("one/x.txt", "one").write("two/x.txt", "two").link("now", "one").open();
    let core = Core::new(&root);
    assert_eq!(core.seen("/now/x.txt", 0).text(), "one");
    fs::remove_file(world.path("now")).unwrap();
    world.link("now", "two");
    assert_eq!(core.seen("/now/x.txt", 1000).text(), "two");
}

#[test]
fn a_part_of_a_file_is_the_same_whether_it_is_kept_or_not() {
    let world = World::new();
    let bytes: Vec<u8> = (0..20_000u32).map(|number| number as u8).collect();
    let root = world.write("small", &bytes[..5000]).write("large", &bytes).open();
    let core = Core::new(&root);
    for name in ["/small", "/large"] {
        for _ in 0..2 {
            assert_eq!(core.seen(name, 0), get(&root, name).at(core.start).seen());
            let part = get(&root, name).with("range", "bytes=4000-4999").at(core.start);
            let kept = root.answer_now(&part.request, core.start, &core.recent).unwrap();
            assert_eq!(Seen::of(kept), part.seen());
        }
    }
}

#[test]
fn a_new_sibling_takes_its_file_s_place_though_that_is_kept() {
    let world = World::new();
    let root = world.write("a.js", "plain").open();
    let core = Core::new(&root);
    let ask = |ms| core.shown(&get(&root, "/a.js").with("accept-encoding", "br"), ms);
    assert_eq!(ask(0).text(), "plain");
    // Opened once more, without a look for siblings.
    assert_eq!(core.seen("/a.js", 1500).text(), "plain");
    world.write("a.js.br", "coded");
    assert_eq!(ask(2000).text(), "coded");
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing() {
    let world = World::new();
    let root = world.write("a/x.txt", "one").open();
    let core = Core::new(&root);
    assert_eq!(core.seen("/a/x.txt", 5000).text(), "one");
    fs::rename(world.path("a"), world.path("b")).unwrap();
    assert_eq!(core.seen("/a/x.txt", 0).status, 404);
}
