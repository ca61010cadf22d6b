//! The cache at work: looks up, fetches once, keeps, purges.

use crate::fill::{FillLimits, Finished, Flights, FlightsFigures, Place};
use crate::key::KeyHasher;
use crate::nodes::{Item, Nodes};
use crate::purge::{Entry, Mode, Purges, Target, Verdict};
use crate::rules::Stored;
use crate::store::{Disk, DiskConfig, DiskFigures, Memory, MemoryFigures, Object};
use crate::{Error, Key};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How much is kept, and where.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Memory for responses, in bytes; it is never exceeded by what is counted.
    pub memory_bytes: u64,
    /// What is larger is not kept: head and body, in bytes.
    pub object_bytes_max: u64,
    /// What fetches may take.
    pub fill: FillLimits,
    /// The disk behind memory, if there is to be one.
    pub disk: Option<DiskConfig>,
}

impl EngineConfig {
    /// So much memory; an object may take an eighth of it, and bodies that arrive another quarter together.
    pub fn of_memory(memory_bytes: u64) -> Self {
        let object_bytes_max = memory_bytes / 8;
        let fill =
            FillLimits { object_bytes_max, filling_bytes_max: memory_bytes / 4, ..FillLimits::default() };
        Self { memory_bytes, object_bytes_max, fill, disk: None }
    }
}

/// A shared cache. All cores use the same one.
pub struct Engine {
    hasher: KeyHasher,
    memory: Memory,
    disk: Option<Disk>,
    flights: Arc<Flights>,
    purges: Arc<Purges>,
    purged: AtomicU64,
    nodes: RwLock<Option<Arc<Nodes>>>,
    trust: Trust,
}

/// What is kept may be served as far as other nodes were heard. Times are in milliseconds of the wall's clock.
#[derive(Debug)]
struct Trust {
    /// All of it until then.
    until: AtomicU64,
    /// What was asked for since the purge of the number `floor`, until then.
    partly_until: AtomicU64,
    floor: AtomicU64,
}

impl Default for Trust {
    /// Nobody else purges.
    fn default() -> Self {
        Self { until: u64::MAX.into(), partly_until: 0.into(), floor: 0.into() }
    }
}

impl Trust {
    /// Until when what is kept is trusted that was asked for since the purge of this number; with nothing, for good.
    fn set(&self, upto: Option<(Option<SystemTime>, u64)>) {
        let (until, partly_until, floor) = match upto {
            None => (u64::MAX, 0, 0),
            Some((until, 0)) => (until.map_or(0, milliseconds), 0, 0),
            Some((until, floor)) => (0, until.map_or(0, milliseconds), floor),
        };
        // A time that belongs to a higher floor never meets a lower one.
        self.partly_until.store(0, Ordering::Relaxed);
        self.floor.fetch_max(floor, Ordering::Relaxed);
        self.until.store(until, Ordering::Relaxed);
        self.floor.store(floor, Ordering::Relaxed);
        self.partly_until.store(partly_until, Ordering::Release);
    }
}

/// What all of it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Of memory.
    pub memory: MemoryFigures,
    /// Of the disk.
    pub disk: DiskFigures,
    /// Of fetches.
    pub flights: FlightsFigures,
    /// Purges that are remembered.
    pub purges_remembered: u64,
    /// Purges since the start.
    pub purges: u64,
    /// The number of the last purge.
    pub purge_sequence: u64,
    /// Responses that a purge has removed from memory.
    pub purged: u64,
}

impl Engine {
    /// A cache with what its folder has from before, if there is a disk. What was purged before is purged still.
    pub fn open(config: &EngineConfig) -> Result<Self, Error> {
        let secret = [0, 1].map(|word: u64| RandomState::new().hash_one(word));
        let hasher = KeyHasher::new(secret);
        let (purges, disk) = match &config.disk {
            None => (Arc::new(Purges::in_memory()), None),
            Some(disk) => {
                let (purges, disk) = open_disk(disk, hasher)?;
                (purges, Some(disk))
            }
        };
        Ok(Self {
            hasher,
            memory: Memory::new(config.memory_bytes, config.object_bytes_max),
            disk,
            flights: Flights::new(config.fill.clone(), Arc::clone(&purges)),
            purges,
            purged: AtomicU64::new(0),
            nodes: RwLock::default(),
            trust: Trust::default(),
        })
    }

    /// The key of these bytes, as [`crate::key::write_key`] writes them. Its hash is of this cache alone.
    pub fn key(&self, bytes: &[u8]) -> Key {
        self.hasher.key(bytes)
    }

    /// The newest response in memory that is chosen and not purged. One that was purged softly is
    /// [`Object::is_purged_softly`].
    #[inline]
    pub fn find(&self, key: &Key, mut choose: impl FnMut(&Object) -> bool) -> Option<Arc<Object>> {
        self.memory.find(key, |object| object.check(&self.purges) != Verdict::Hard && choose(object))
    }

    /// Joins those who wait for a response, or begins to fetch it: see [`Flights::join`].
    pub fn join(&self, key: &Key, variant: u64, now: Instant) -> Place {
        self.flights.join(key, variant, now)
    }

    /// Keeps what a fetch has brought. What was purged meanwhile is not kept.
    pub fn keep(&self, key: Key, finished: &Finished) -> Option<Arc<Object>> {
        self.put(Object::new(key, (*finished.stored).clone(), finished.body.clone(), finished.asked))
    }

    /// Keeps a response that was put together elsewhere: one whose parts were combined, or that no fetch was for. It is written to the
    /// disk as well. `None` where it is not in memory.
    pub fn put(&self, object: Object) -> Option<Arc<Object>> {
        if object.check(&self.purges) == Verdict::Hard {
            return None;
        }
        let object = Arc::new(object);
        let is_kept = self.memory.put_shared(&object);
        if let Some(disk) = &self.disk {
            disk.write(&object);
        }
        is_kept.then_some(object)
    }

    /// Whether a look at the disk is worth while for what is not in memory.
    pub fn may_be_on_disk(&self, key: &Key) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.may_have(key))
    }

    /// The newest response on the disk that is chosen and not purged, read whole and checked; it comes back to memory, if memory lets
    /// it in. A crowd need not read it more than once: whoever leads a fetch may look here first, and [`crate::fill::Lead::confirm`] it.
    pub async fn find_on_disk(
        &self,
        key: &Key,
        choose: impl FnMut(&Stored) -> bool + Send + 'static,
    ) -> Option<Arc<Object>> {
        let disk = self.disk.as_ref()?;
        let object = Arc::new(disk.read(key, choose).await?);
        if object.check(&self.purges) == Verdict::Hard {
            disk.remove(&object);
            return None;
        }
        self.memory.put_back(&object);
        Some(object)
    }

    /// Gives a response the head that its confirmation says (RFC 9111 §4.3.4). `asked` is of the request that was answered with
    /// 304. `None` where the response is no longer kept: it may still be served to whoever asked.
    pub fn update(&self, old: &Arc<Object>, stored: Stored, asked: u64) -> Option<Arc<Object>> {
        let new = Object::new(old.key.clone(), stored, old.body.clone(), asked);
        (new.check(&self.purges) != Verdict::Hard).then(|| self.memory.update(old, new)).flatten()
    }

    /// Removes one response, from the disk too.
    pub fn remove(&self, object: &Arc<Object>) -> bool {
        if let Some(disk) = &self.disk {
            disk.remove(object);
        }
        self.memory.remove(object)
    }

    /// Purges, and returns the purge's number once it is on the disk: see [`Purges::purge`]. Not for a thread of the data plane. Other nodes
    /// are told, see [`Nodes::told`].
    pub fn purge(&self, target: Target<'_>, mode: Mode) -> Result<u64, Error> {
        target.check()?;
        let nodes = self.begin(target, mode);
        let sequence = self.purges.purge(target, mode);
        self.tidy_up(target, mode);
        if let Some((nodes, entry)) = nodes {
            nodes.queue(entry);
            nodes.settle()?;
        }
        if self.purges.is_crowded() {
            self.tend()?;
        }
        sequence
    }

    /// What an unsafe method invalidates (RFC 9111 §4.4): at once, without waiting for the disk. Other nodes are told soon.
    pub fn invalidate(&self, key: &Key) -> Result<(), Error> {
        let (target, mode) = (Target::Key(&key.bytes), Mode::Hard);
        target.check()?;
        let nodes = self.begin(target, mode);
        let entered = self.purges.invalidate(target, mode);
        self.tidy_up(target, mode);
        if let Some((nodes, entry)) = nodes {
            nodes.queue(entry);
        }
        entered.map(|_| ())
    }

    /// Purges what other nodes have told; on the disk by the time that this returns.
    pub(crate) fn apply(&self, items: &[Item]) -> Result<(), Error> {
        let purge = |item: &Item| match item {
            Item::Purge { entry, .. } => Arc::clone(entry),
            Item::All { .. } => Arc::new(Entry::new(Target::Everything, Mode::Hard)),
        };
        let entries: Vec<Arc<Entry>> = items.iter().map(purge).collect();
        self.purges.purge_all(entries.iter().map(|entry| (entry.target(), entry.mode())))?;
        entries.iter().for_each(|entry| self.tidy_up(entry.target(), entry.mode()));
        if self.purges.is_crowded() {
            self.tend()?;
        }
        Ok(())
    }

    /// The other nodes, if there are to be any.
    pub fn nodes(&self) -> Option<Arc<Nodes>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells these nodes of purges from now on, or none.
    pub fn join_nodes(&self, nodes: Option<Arc<Nodes>>) {
        let mut joined = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.is_none() {
            self.trust.set(None);
        }
        *joined = nodes;
    }

    /// Whether a response may be served as it is; else purges of other nodes may be missing, and the origin is asked first.
    #[inline]
    pub fn is_trusted(&self, object: &Object, now: SystemTime) -> bool {
        let now_ms = milliseconds(now);
        now_ms < self.trust.until.load(Ordering::Relaxed) || self.is_partly_trusted(object, now_ms)
    }

    #[cold]
    fn is_partly_trusted(&self, object: &Object, now_ms: u64) -> bool {
        now_ms < self.trust.partly_until.load(Ordering::Acquire)
            && object.asked() >= self.trust.floor.load(Ordering::Relaxed)
    }

    /// What these nodes say of what is kept, see [`Trust::set`]; unless others are joined by now.
    pub(crate) fn trust(&self, nodes: &Nodes, upto: Option<(Option<SystemTime>, u64)>) {
        let joined = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        if joined.as_ref().is_some_and(|joined| std::ptr::eq(Arc::as_ptr(joined), nodes)) {
            self.trust.set(upto);
        }
    }

    fn begin(&self, target: Target<'_>, mode: Mode) -> Option<(Arc<Nodes>, Entry)> {
        let nodes = self.nodes()?;
        nodes.begin();
        Some((nodes, Entry::new(target, mode)))
    }

    fn tidy_up(&self, target: Target<'_>, mode: Mode) {
        if let (Target::Key(bytes), Mode::Hard) = (target, mode) {
            self.forget_key(bytes);
        }
    }

    /// Frees the memory of what is purged, and forgets purges that are too many. Looks at all that is kept: for a
    /// thread beside the cores, after purges and now and then.
    pub fn tend(&self) -> Result<usize, Error> {
        let upto = self.purges.sequence();
        let removed = self.memory.sweep(|object| object.check(&self.purges) == Verdict::Hard);
        self.purged.fetch_add(removed as u64, Ordering::Relaxed);
        if self.purges.is_crowded() {
            self.purges.forget(upto)?;
        }
        Ok(removed)
    }

    /// Sets other bounds of memory; what has no room goes.
    pub fn resize(&self, memory_bytes: u64, object_bytes_max: u64) {
        self.memory.resize(memory_bytes, object_bytes_max);
    }

    /// Waits until all is on its way to the disk that was kept before. Not for a thread of the data plane.
    pub fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush();
        }
    }

    /// Fetches that are under way.
    pub fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// All purges.
    pub fn purges(&self) -> &Arc<Purges> {
        &self.purges
    }

    /// What all of it is like.
    pub fn figures(&self) -> Figures {
        let (purges_remembered, purges) = self.purges.counts();
        Figures {
            memory: self.memory.figures(),
            disk: self.disk.as_ref().map(Disk::figures).unwrap_or_default(),
            flights: self.flights.figures(),
            purges_remembered,
            purges,
            purge_sequence: self.purges.sequence(),
            purged: self.purged.load(Ordering::Relaxed),
        }
    }

    fn forget_key(&self, bytes: &[u8]) {
        let key = self.key(bytes);
        let removed = self.memory.remove_key(&key);
        if let Some(disk) = &self.disk {
            disk.remove_key(&key);
        }
        self.purged.fetch_add(removed as u64, Ordering::Relaxed);
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1000 + u64::from(since.subsec_millis())
}

/// Opens the log of purges and what they are about.
fn open_disk(config: &DiskConfig, hasher: KeyHasher) -> Result<(Arc<Purges>, Disk), Error> {
    let log = config.folder.join("purges");
    if !log.exists() {
        Disk::clear(&config.folder)?;
    }
    let (purges, _) = Purges::open(&log)?;
    let purges = Arc::new(purges);
    let (disk, asked) = Disk::open(config, hasher, Arc::clone(&purges))?;
    // The log may have lost purges that were not acknowledged, while records know their numbers.
    purges.raise(asked);
    Ok((purges, disk))
}
