//! Parts of a response that changes, fetched in any order from an origin that may lie: what is served is of one version.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

use cdn::fill::{Begun, Lead, Place, Reader};
use cdn::purge::{Mode, Target};
use cdn::rules::{
    Asked, Came, Fits, Hole, Lines, Method, Policy, Selected, Span, Stored, Times, freshened, matches,
    may_store, plan, select,
};
use cdn::store::Object;
use cdn::{Engine, EngineConfig, Key};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One version of what the origin has.
struct Version {
    etag: &'static str,
    body: Vec<u8>,
}

impl Version {
    fn new(number: usize, length: usize) -> Self {
        let etag = ["\"a\"", "\"b\"", "\"c\"", "W/\"d\"", "", "\"e\""][number % 6];
        let byte = |at: usize| ((at ^ (at >> 8) ^ (at >> 16)) as u8).wrapping_add(number as u8 * 37);
        Self { etag, body: (0..length).map(byte).collect() }
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A client asks for this range, or for all; an origin that is asked may lie so.
    Get {
        range: Option<(u64, u64)>,
        is_last: bool,
        lie: Lie,
    },
    Publish,
    Purge,
    SoftPurge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// Its `Content-Range` begins elsewhere.
    Shifted,
    /// It sends less than it says.
    Short,
    /// It sends more.
    Long,
    /// It has no parts.
    Unranged,
    /// It does not look at `If-Range`.
    Deaf,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lie = prop::sample::select(vec![
        Lie::None,
        Lie::None,
        Lie::None,
        Lie::Shifted,
        Lie::Short,
        Lie::Long,
        Lie::Unranged,
        Lie::Deaf,
    ]);
    let range = prop::option::weighted(0.9, (0u64..450_000, 1u64..150_000));
    let get = (range, any::<bool>(), lie).prop_map(|(range, is_last, lie)| Step::Get { range, is_last, lie });
    let step = prop_oneof![
        12 => get,
        1 => Just(Step::Publish),
        1 => Just(Step::Purge),
        1 => Just(Step::SoftPurge)
    ];
    prop::collection::vec(step, 1..40)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// A cache of one URL before its origin.
struct World {
    engine: Engine,
    key: Key,
    versions: Vec<Version>,
    current: usize,
    /// Versions before this one were purged.
    oldest: usize,
}

/// The head and the body of an answer of the origin.
struct Answer {
    status: u16,
    lines: String,
    body: Vec<u8>,
}

impl World {
    fn new(memory_bytes: u64) -> Self {
        let engine = Engine::open(&EngineConfig::of_memory(memory_bytes)).unwrap();
        let key = engine.key(b"http://a.test/");
        let lengths = [400_000, 400_000, 300_001, 400_000, 65_536, 131_072];
        let versions = (0..6).map(|number| Version::new(number, lengths[number])).collect();
        Self { engine, key, versions, current: 0, oldest: 0 }
    }

    fn answer(&self, asked: &str, lie: Lie) -> Answer {
        let Version { etag, body } = &self.versions[self.current];
        let lines = |name: &str| {
            asked.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        let is_meant = lie == Lie::Deaf || lines("If-Range:").is_none_or(|tag| tag == *etag);
        let range = lines("Range: bytes=").filter(|_| is_meant && lie != Lie::Unranged);
        let mut head = format!("Cache-Control: max-age=60\r\nDate: {}\r\n", httpdate::fmt_http_date(now()));
        if !etag.is_empty() {
            head += &format!("ETag: {etag}\r\n");
        }
        let Some(range) = range else {
            head += &format!("Content-Length: {}\r\n", body.len());
            return Answer { status: 200, lines: head, body: body.clone() };
        };
        let (first, last) = range.split_once('-').unwrap();
        let (start, end) = match (first, last) {
            ("", count) => (body.len().saturating_sub(count.parse().unwrap()), body.len()),
            (first, "") => (first.parse().unwrap(), body.len()),
            (first, last) => {
                (first.parse().unwrap(), body.len().min(last.parse::<usize>().unwrap().saturating_add(1)))
            }
        };
        if start >= end {
            let lines = format!("Content-Range: bytes */{}\r\n", body.len());
            return Answer { status: 416, lines, body: Vec::new() };
        }
        let shift = usize::from(lie == Lie::Shifted && end < body.len());
        head += &format!("Content-Range: bytes {}-{}/{}\r\n", start + shift, end - 1 + shift, body.len());
        let mut part = body[start..end].to_vec();
        match lie {
            Lie::Short => drop(part.pop()),
            Lie::Long => part.extend_from_slice(b"more than was said"),
            _ => {}
        }
        Answer { status: 206, lines: head, body: part }
    }

    /// One request, as the edge serves it. Checked is what it is served with, if it is.
    fn get(&self, range: Option<&str>, lie: Lie) {
        let line = range.map(|range| format!("Range: bytes={range}\r\n")).unwrap_or_default();
        let asked = Asked::of(Method::Get, Lines::of(line.as_bytes()));
        let has_enough = |stored: &Stored| !matches!(select(stored, &asked), Selected::NotHere);
        let found =
            self.engine.find(&self.key, |object| !object.is_purged_softly() && has_enough(&object.stored));
        if let Some(object) = found {
            let body: Vec<u8> = object.body.pieces(0..u64::MAX).flat_map(|piece| piece.to_vec()).collect();
            self.check(&object.stored, &body);
            return;
        }
        let Place::Lead(lead) = self.engine.join(&self.key, 0, Instant::now()) else { return };
        let reader = lead.own_reader();
        let both = async { tokio::join!(self.fetch(lead, Span::of(&asked), lie), self.read(reader)) };
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(both);
    }

    /// A fetch, as the edge goes about it.
    async fn fetch(&self, mut lead: Lead, wanted: Option<Span>, lie: Lie) {
        let parts = self.engine.kept(&self.key, |stored| stored.range.is_some() && matches(stored, &none()));
        let heads: Vec<&Stored> = parts.iter().map(|part| &part.stored).collect();
        let ask = plan(wanted, &heads, self.engine.object_bytes_max());
        let mut lines = Vec::new();
        if let Some(ask) = &ask {
            ask.write(&heads, &mut lines);
        }
        let answer = self.answer(&String::from_utf8(lines).unwrap(), lie);
        let came_lines = Lines::of(answer.lines.as_bytes());
        let came = Came::of(answer.status, came_lines.clone(), now());
        let (policy, asked) = (Policy::default(), Asked::default());
        let times = Times { requested: now(), received: now() };
        let fits = ask.as_ref().map_or(Fits::Other, |ask| ask.fits(&heads, &came));
        let hole = ask.and_then(|ask| ask.hole);
        let (stored, around, left) = match (fits, &hole) {
            (Fits::Unfit, _) => return,
            (Fits::Rest(left), Some(hole)) => {
                let beside = hole.before.or(hole.after).unwrap();
                let stored =
                    freshened(heads[beside], &asked, &none(), &came, came_lines, &policy, times).unwrap();
                let filled = (hole.filled.start, hole.filled.end);
                (stored.of_range(filled), around(&parts, hole), Some(left))
            }
            _ => {
                let Ok(stored) = may_store(&asked, &none(), &came, came_lines, &policy, times) else {
                    return;
                };
                let left = if let Fits::Part(left) = fits { Some(left) } else { None };
                (stored, [Vec::new(), Vec::new()], left)
            }
        };
        lead.keep(stored, Instant::now());
        let [before, after] = around;
        lead.push(&before, Instant::now()).await.unwrap();
        if left.is_some_and(|left| (answer.body.len() as u64) > left) {
            return;
        }
        lead.push(&answer.body, Instant::now()).await.unwrap();
        if left.is_some_and(|left| (answer.body.len() as u64) < left) {
            return;
        }
        lead.push(&after, Instant::now()).await.unwrap();
        if let Ok(Some(finished)) = lead.finish() {
            self.engine.keep(self.key.clone(), &finished);
        }
    }

    /// The version that a head is of, if it can be told; else any will do.
    fn check(&self, stored: &Stored, body: &[u8]) {
        let (start, end) = stored.range.unwrap_or((0, stored.length.unwrap()));
        assert_eq!(body.len() as u64, end - start, "torn");
        assert_eq!(stored.status, if stored.range.is_some() { 206 } else { 200 });
        self.same(stored, body, start..end);
    }

    async fn read(&self, mut reader: Reader) {
        let Begun::Head(stored) = reader.head().await else { return };
        let (start, _) = stored.range.unwrap_or((0, 0));
        let mut body = Vec::new();
        // What breaks off is right up to there.
        while let Ok(Some(piece)) = reader.piece().await {
            body.extend_from_slice(&piece);
        }
        let end = start + body.len() as u64;
        self.same(&stored, &body, start..end);
    }

    fn same(&self, stored: &Stored, body: &[u8], range: Range<u64>) {
        let lines = String::from_utf8(stored.lines.to_vec()).unwrap();
        let is_of = |version: &&Version| {
            Some(version.body.len() as u64) == stored.length
                && lines.contains(&format!("ETag: {}\r\n", version.etag)) != version.etag.is_empty()
        };
        let version = self.versions[self.oldest..].iter().find(is_of).expect("a version that was not purged");
        assert!(body == &version.body[range.start as usize..range.end as usize], "mixed: {range:?}");
    }
}

fn none() -> Lines<'static> {
    Lines::of(b"")
}

fn around(parts: &[Arc<Object>], hole: &Hole) -> [Vec<u8>; 2] {
    [(hole.before, hole.filled.start..hole.missing.start), (hole.after, hole.missing.end..hole.filled.end)]
        .map(|(at, range)| {
            let Some(part) = at.map(|at| &parts[at]) else { return Vec::new() };
            let (start, _) = part.stored.range.unwrap();
            part.body
                .pieces(range.start - start..range.end - start)
                .flat_map(|piece| piece.to_vec())
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_served_is_always_of_one_version(steps in steps(), is_small in any::<bool>()) {
        // An eighth of it is what one response may take: all of the longest, or not even half.
        let memory_bytes = if is_small { 1_200_000 } else { 64 << 20 };
        let mut world = World::new(memory_bytes);
        for step in steps {
            match step {
                Step::Get { range, is_last, lie } => {
                    let range = range.map(|(start, len)| match is_last {
                        true => format!("-{len}"),
                        false => format!("{start}-{}", start + len),
                    });
                    world.get(range.as_deref(), lie);
                }
                Step::Publish => world.current = (world.current + 1).min(5),
                Step::Purge => {
                    world.engine.purge(Target::Key(&world.key.bytes), Mode::Hard).unwrap();
                    world.oldest = world.current;
                }
                Step::SoftPurge => drop(world.engine.purge(Target::Key(&world.key.bytes), Mode::Soft).unwrap()),
            }
            let figures = world.engine.figures();
            prop_assert_eq!((figures.flights.flights, figures.flights.filling_bytes), (0, 0));
            prop_assert!(figures.memory.bytes <= memory_bytes);
        }
    }
}

#[test]
fn parts_in_any_order_become_all_of_it_and_the_origin_gives_each_byte_about_once() {
    let world = World::new(64 << 20);
    for range in ["200000-300000", "-1000", "0-10", "70000-80000", "300000-399000"] {
        world.get(Some(range), Lie::None);
    }
    let parts = world.engine.kept(&world.key, |_| true);
    assert!(parts.len() < 4, "those that touch are one: {:?}", parts.len());
    world.get(None, Lie::None);
    let whole = world.engine.kept(&world.key, |_| true);
    assert_eq!(whole.len(), 1);
    assert_eq!((whole[0].stored.status, whole[0].stored.range, whole[0].body.len()), (200, None, 400_000));
    assert_eq!(world.engine.figures().memory.objects, 1);
}
