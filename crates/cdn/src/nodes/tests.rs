mod clocks;
mod disk;
mod heard;

use super::*;
use crate::EngineConfig;
use crate::growing::staged::Staged;
use crate::purge::{Entry, Mode, Target, Verdict};
use crate::store::samples::object;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::SystemTime;
use tempfile::TempDir;

const SILENT: Duration = Duration::from_secs(10);

/// A node with its cache and its folder.
struct One {
    engine: Arc<Engine>,
    nodes: Arc<Nodes>,
    home: TempDir,
    /// Of its ledger.
    file_system: Arc<Staged>,
}

fn engine() -> Arc<Engine> {
    Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap())
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9900 + number as u16))
}

impl One {
    fn start(engine: Arc<Engine>, home: TempDir, limits: LedgerLimits, others: &[SocketAddr]) -> Self {
        let folder = home.path().join("nodes");
        let fresh = NodeId(rand::random());
        let file_system = Staged::new();
        let nodes =
            Nodes::open_in(file_system.clone(), &engine, Some(&folder), limits, fresh, SILENT).unwrap();
        nodes.set_contacts(others, SILENT, Moment::now());
        Self { engine, nodes, home, file_system }
    }

    fn new(limits: LedgerLimits, others: &[SocketAddr]) -> Self {
        Self::start(engine(), tempfile::tempdir().unwrap(), limits, others)
    }

    /// The process ends and begins again; what it kept is as durable as its log of purges.
    fn restart(self, limits: LedgerLimits, others: &[SocketAddr]) -> Self {
        let Self { engine, nodes, home, .. } = self;
        engine.join_nodes(None);
        drop(nodes);
        Self::start(engine, home, limits, others)
    }

    fn has_purged(&self, tag: &str) -> bool {
        self.engine.purges().verdict(b"http://a/", &[tag.into()], 0).0 == Verdict::Hard
    }

    fn purge(&self, tag: &str) {
        self.engine.purge(Target::Tag(tag), Mode::Hard).unwrap();
    }

    fn try_to_purge(&self, tag: &str) -> bool {
        self.engine.purge(Target::Tag(tag), Mode::Hard).is_ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Nothing,
    Request,
    Answer,
    /// It comes twice.
    Twice,
}

/// The first asks the second, through bytes.
fn exchange(from: &One, to: &One, at: SocketAddr, loss: Loss, now: Moment) -> Option<Exchanged> {
    let message = from.nodes.message(at, now)?;
    let message = Message::read(&message.write()).unwrap();
    if loss == Loss::Request {
        from.nodes.missed(at, false, now);
        return None;
    }
    let mut answer = to.nodes.answer(&message, now).unwrap();
    if loss == Loss::Twice {
        answer = to.nodes.answer(&message, now).unwrap();
    }
    if loss == Loss::Answer {
        from.nodes.missed(at, false, now);
        return None;
    }
    let answer = Message::read(&answer.write()).unwrap();
    Some(from.nodes.take_answer(at, &answer, now, now).unwrap())
}

fn two() -> (One, One) {
    let (one, other) =
        (One::new(LedgerLimits::default(), &[address(1)]), One::new(LedgerLimits::default(), &[address(0)]));
    (one, other)
}

fn level(from: &One, to: &One, at: SocketAddr, now: Moment) {
    for _ in 0..100 {
        if exchange(from, to, at, Loss::Nothing, now) == Some(Exchanged::Level) {
            return;
        }
    }
    panic!("two nodes never come to know the same");
}

#[test]
fn a_purge_at_one_node_holds_at_the_other_and_is_acknowledged() {
    let (one, other) = two();
    let now = Moment::now();
    one.purge("red");
    assert_eq!(one.nodes.seen(now)[0].pending, 1);
    level(&one, &other, address(1), now);
    assert!(other.has_purged("red") && !other.has_purged("blue"));
    assert_eq!(one.nodes.seen(now)[0].pending, 0);
    let wait = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = wait.block_on(one.nodes.told(Duration::ZERO));
    assert_eq!(told, Told { acknowledged: 1, pending: vec![] });
    one.purge("blue");
    let told = wait.block_on(one.nodes.told(Duration::ZERO));
    assert_eq!(told, Told { acknowledged: 0, pending: vec![address(1)] });
}

#[test]
fn what_an_unsafe_method_invalidates_is_told_as_well() {
    let (one, other) = two();
    one.engine.invalidate(&one.engine.key(b"http://a/x")).unwrap();
    assert!(!one.nodes.is_settled());
    one.nodes.settle().unwrap();
    assert!(one.nodes.is_settled());
    level(&one, &other, address(1), Moment::now());
    assert_eq!(other.engine.purges().verdict(b"http://a/x", &[], 0).0, Verdict::Hard);
}

#[test]
fn what_a_node_began_before_it_ended_is_told_after_it_began_again() {
    let (one, other) = two();
    one.purge("red");
    let id = one.nodes.own();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    assert_eq!(one.nodes.own(), id);
    one.purge("blue");
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("red") && other.has_purged("blue"));
}

#[test]
fn a_node_that_is_too_far_behind_purges_everything() {
    let few = LedgerLimits { purges_max: 4, ..LedgerLimits::default() };
    let (one, other) = (One::new(few, &[address(1)]), One::new(few, &[address(0)]));
    for number in 0..6 {
        one.purge(&format!("tag-{number}"));
    }
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("tag-0") && other.has_purged("of anything else"));
}

#[test]
fn the_ledger_s_file_does_not_grow_for_ever() {
    let few = LedgerLimits { purges_max: 16, ..LedgerLimits::default() };
    let one = One::new(few, &[address(1)]);
    let name = "x".repeat(16 << 10);
    for number in 0..40 {
        one.purge(&format!("{name}{number}"));
    }
    let bytes = std::fs::metadata(one.home.path().join("nodes/a")).unwrap().len();
    assert!(bytes < 640 << 10, "{bytes}");
    let one = one.restart(few, &[address(1)]);
    assert_eq!(one.nodes.ledger().purges(), 16);
}

#[test]
fn two_processes_on_one_folder_are_two_nodes_and_know_the_same_later() {
    let (one, _) = two();
    one.purge("red");
    let folder = one.home.path().join("nodes");
    let next = engine();
    let successor = Nodes::open(&next, Some(&folder), LedgerLimits::default(), NodeId(7), SILENT).unwrap();
    assert_ne!(successor.own(), one.nodes.own());
    next.purge(Target::Tag("blue"), Mode::Hard).unwrap();
    let vector = successor.ledger().vector();
    assert_eq!(vector.len(), 2);
    next.join_nodes(None);
    drop(successor);
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    assert!(one.nodes.covers(&vector));
}

#[test]
fn a_damaged_ledger_makes_another_node_that_purges_everything_everywhere() {
    let (one, other) = two();
    one.purge("red");
    let path = one.home.path().join("nodes/a");
    let id = one.nodes.own();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    assert_ne!(one.nodes.own(), id);
    level(&one, &other, address(1), Moment::now());
    assert!(other.has_purged("of anything"));
}

#[test]
fn a_node_whose_folder_is_an_old_copy_gives_no_number_twice() {
    let (one, other) = two();
    let folder = one.home.path().join("nodes/a");
    let copy = std::fs::read(&folder).unwrap();
    one.purge("red");
    level(&one, &other, address(1), Moment::now());
    std::fs::write(&folder, copy).unwrap();
    let id = one.nodes.own();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    level(&one, &other, address(1), Moment::now());
    assert_ne!(one.nodes.own(), id);
    assert!(other.has_purged("of anything"), "nobody knows what is missing");
}

#[test]
fn a_torn_record_at_the_end_was_never_acknowledged() {
    let (one, _) = two();
    one.purge("red");
    one.purge("blue");
    let path = one.home.path().join("nodes/a");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let id = one.nodes.own();
    let one = one.restart(LedgerLimits::default(), &[address(1)]);
    assert_eq!((one.nodes.own(), one.nodes.ledger().upto(id)), (id, 1));
}

// --- all of it together ---

#[derive(Debug, Clone)]
enum Step {
    Purge(usize),
    Exchange(usize, usize, Loss),
    Restart(usize),
    /// With nothing of what it had.
    Lost(usize),
}

const NODES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let loss = || prop_oneof![5 => Just(Loss::Nothing), 1 => Just(Loss::Request), 2 => Just(Loss::Answer), 1 => Just(Loss::Twice)];
    prop_oneof![
        4 => (0..NODES).prop_map(Step::Purge),
        8 => (0..NODES, 1..NODES, loss()).prop_map(|(from, by, loss)| Step::Exchange(from, (from + by) % NODES, loss)),
        1 => (0..NODES).prop_map(Step::Restart),
        1 => (0..NODES).prop_map(Step::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_the_end_all_nodes_have_purged_all_and_none_has_said_so_before(
        steps in proptest::collection::vec(step(), 1..50),
        purges_max in 1usize..12,
    ) {
        let limits = LedgerLimits { purges_max, ..LedgerLimits::default() };
        let others = |own: usize| -> Vec<SocketAddr> { (0..NODES).filter(|one| *one != own).map(address).collect() };
        let mut world: Vec<Option<One>> = (0..NODES).map(|one| Some(One::new(limits, &others(one)))).collect();
        // Which purge has which number.
        let mut begun: Vec<(NodeId, u64, String)> = Vec::new();
        let now = Moment::now();
        for step in steps {
            match step {
                Step::Purge(at) => {
                    let one = world[at].as_ref().unwrap();
                    let tag = format!("tag-{}", begun.len());
                    one.purge(&tag);
                    let id = one.nodes.own();
                    begun.push((id, one.nodes.ledger().upto(id), tag));
                }
                Step::Exchange(from, to, loss) => {
                    exchange(world[from].as_ref().unwrap(), world[to].as_ref().unwrap(), address(to), loss, now);
                }
                Step::Restart(at) => {
                    let one = world[at].take().unwrap();
                    world[at] = Some(one.restart(limits, &others(at)));
                }
                Step::Lost(at) => {
                    world[at] = Some(One::new(limits, &others(at)));
                    // What nobody else has heard of is lost with it.
                    begun.retain(|(id, number, _)| {
                        world.iter().flatten().any(|one| one.nodes.ledger().upto(*id) >= *number)
                    });
                }
            }
            for one in world.iter().flatten() {
                for (id, number, tag) in &begun {
                    let says_so = one.nodes.ledger().upto(*id) >= *number;
                    prop_assert!(!says_so || one.has_purged(tag), "{tag} is acknowledged and not purged");
                }
            }
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                level(world[from].as_ref().unwrap(), world[to].as_ref().unwrap(), address(to), now);
            }
        }
        for (_, _, tag) in &begun {
            prop_assert!(world.iter().flatten().all(|one| one.has_purged(tag)), "{tag} is not purged everywhere");
        }
        let vectors: Vec<Vector> = world.iter().flatten().map(|one| one.nodes.ledger().vector()).collect();
        prop_assert!(vectors.windows(2).all(|two| two[0] == two[1]));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, at: usize, flip: u8) {
        check_any(&bytes);
        let (one, id) = (Entry::new(Target::Tag("a"), Mode::Soft), NodeId(3));
        let item = Item::Purge { origin: id, number: 4, entry: Arc::new(one) };
        let message = Message {
            from: id,
            is_leaving: false,
            vector: Vector::from([(id, 4), (NodeId(5), 6)]),
            items: vec![item, Item::All { origin: NodeId(5), upto: 6 }],
            heard: vec![(address(1), Duration::from_millis(7))],
        };
        let mut written = message.write();
        assert_eq!(Message::read(&written).as_ref(), Some(&message));
        let at = at % written.len();
        written[at] ^= flip;
        check_any(&written);
        prop_assert!(flip == 0 || Message::read(&written).is_none());
    }

    #[test]
    fn whoever_is_given_what_it_lacks_lacks_nothing(
        numbers in proptest::collection::vec((0u128..4, any::<u8>()), 0..60),
        known in proptest::collection::btree_map(0u128..4, 0u64..20, 0..4),
        purges_max in 1usize..20,
        bytes_max in 1usize..400,
    ) {
        let limits = LedgerLimits { purges_max, ..LedgerLimits::default() };
        let mut ledger = Ledger::new(NodeId(9), limits);
        for (origin, name) in numbers {
            let (origin, number) = (NodeId(origin), ledger.upto(NodeId(origin)) + 1);
            let entry = Arc::new(Entry::new(Target::Key(&[name]), Mode::Hard));
            ledger.enter(&Item::Purge { origin, number, entry });
        }
        let mut other = Ledger::new(NodeId(8), limits);
        for (origin, upto) in known {
            let upto = upto.min(ledger.upto(NodeId(origin)));
            if upto > 0 {
                other.enter(&Item::All { origin: NodeId(origin), upto });
            }
        }
        while ledger.lacks(&other.vector()) > 0 {
            let items = ledger.lacking(&other.vector(), bytes_max);
            prop_assert!(!items.is_empty());
            for item in items {
                prop_assert!(other.is_next(&item));
                other.enter(&item);
            }
        }
        prop_assert!(other.covers(&ledger.vector()) && other.purges() <= purges_max);
    }
}
