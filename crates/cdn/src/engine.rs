//! The cache at work: looks up, fetches once, keeps, purges.

use crate::fill::{FillLimits, Finished, Flights, FlightsFigures, Lead, Place};
use crate::handing::Handing;
use crate::key::KeyHasher;
use crate::nodes::{Nodes, Trust};
use crate::purge::{Entry, Mode, Purges, Target, Verdict};
use crate::rules::{Stored, is_other_version};
use crate::store::{Disk, DiskConfig, DiskFigures, Lock, Memory, MemoryFigures, Object, forgotten, join};
use crate::tending::Kept;
use crate::trusted::Trusted;
use crate::twin::Twins;
use crate::{Error, Key, Misses, Seen, Tier};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

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

/// A shared cache. All cores use the same one, and any of them may be the last to let go of it.
pub struct Engine {
    pub(crate) hasher: KeyHasher,
    pub(crate) kept: Arc<Kept>,
    pub(crate) handing: Handing,
    pub(crate) twins: Twins,
    flights: Arc<Flights>,
    refreshes: AtomicU64,
    misses: Misses,
    nodes: RwLock<Option<Arc<Nodes>>>,
    trusted: Trusted,
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
    /// Responses that were asked for anew while they were fresh.
    pub refreshes: u64,
    /// Whether the disk is in use by the process before this one still.
    pub is_disk_awaited: bool,
    /// Purges that the other process of a takeover was told.
    pub purges_told: u64,
    /// Purges that it has told.
    pub purges_heard: u64,
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
        let flights = Flights::new(config.fill.clone(), Arc::clone(&purges));
        let memory = Memory::new(config.memory_bytes, config.object_bytes_max);
        Ok(Self {
            hasher,
            kept: Kept::new(memory, disk, purges),
            handing: Handing::here(config.disk.clone()),
            twins: Twins::default(),
            flights,
            refreshes: AtomicU64::new(0),
            misses: Misses::default(),
            nodes: RwLock::default(),
            trusted: Trusted::default(),
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
        self.kept.memory.find(key, |object| !self.is_purged(object) && choose(object))
    }

    /// The same for whoever asks why: it does not count as a use.
    pub fn see(&self, key: &Key, mut choose: impl FnMut(&Object) -> bool) -> Option<Arc<Object>> {
        self.kept.memory.see(key, |object| !self.is_purged(object) && choose(object))
    }

    /// All that is kept of a key, purged or not: in memory first, then on the disk, the newest first. Waits for the disk.
    pub fn seen(&self, key: &Key) -> Vec<Seen> {
        let of = |object: &Object, bytes, tier| Seen::of(object, bytes, tier, &self.kept.purges);
        let memory = self.kept.memory.variants(key).into_iter();
        let mut seen: Vec<Seen> = memory.map(|object| of(&object, object.body.len(), Tier::Memory)).collect();
        let disk = self.kept.disk().into_iter().flat_map(|disk| disk.see(key));
        seen.extend(disk.map(|(object, bytes)| of(&object, bytes, Tier::Disk)));
        seen
    }

    /// Joins those who wait for a response, or begins to fetch it: see [`Flights::join`].
    pub fn join(&self, key: &Key, variant: u64, now: Instant) -> Place {
        self.flights.join(key, variant, now)
    }

    /// Begins to ask for a response anew that is fresh still: once since it came or was confirmed, and unless somebody does so already.
    pub fn refresh(&self, object: &Object, variant: u64) -> Option<Lead> {
        let lead = object.claim_refresh().then(|| self.flights.lead(&object.key, variant))??;
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        Some(lead)
    }

    /// Keeps what a fetch has brought; a part together with those of its version that it touches. What was purged meanwhile is not
    /// kept.
    pub fn keep(&self, key: Key, finished: &Finished) -> Option<Arc<Object>> {
        let mut stored = (*finished.stored).clone();
        // Of a body without a length it is known by now, so that ranges can be cut out of it.
        stored.length.get_or_insert(finished.body.len());
        let object = Object::new(key, stored, finished.body.clone(), finished.asked);
        // One that was asked for later has come sooner (RFC 9111 §4: the most recent response is used).
        let requested = object.stored.requested;
        let is_overtaken = |newer: &Object| object.replaces(newer) && newer.stored.requested > requested;
        if self.kept.memory.see(&object.key, is_overtaken).is_some() {
            return None;
        }
        if object.stored.range.is_none() {
            return self.put(object);
        }
        let others = self.kept(&object.key, |other| other.vary == object.stored.vary);
        // All of it has come by another fetch meanwhile.
        for whole in others.iter().filter(|other| other.stored.range.is_none()) {
            // Unless this shows that there is another version by now.
            if !is_other_version(&object.stored, &whole.stored) {
                return None;
            }
            self.remove(whole);
        }
        // What is joined is held against the purges from `asked` on; `others` were held against all before.
        self.put(join(object, &others, self.joined_bytes_max()))
    }

    /// All responses in memory that fit and are not purged, the newest first.
    pub fn kept(&self, key: &Key, mut fits: impl FnMut(&Stored) -> bool) -> Vec<Arc<Object>> {
        let mut all = self.kept.memory.variants(key);
        all.retain(|object| fits(&object.stored) && !self.is_purged(object));
        all
    }

    /// Whether a purge forbids to use this, by now.
    pub fn is_purged(&self, object: &Object) -> bool {
        object.check(&self.kept.purges) == Verdict::Hard
    }

    /// What is larger is not kept, in bytes.
    pub fn object_bytes_max(&self) -> u64 {
        self.flights.object_bytes_max()
    }

    /// Parts are put together up to so many bytes: what is kept beside them takes the rest of what an object may take.
    pub fn joined_bytes_max(&self) -> u64 {
        let bytes_max = self.object_bytes_max();
        bytes_max - (bytes_max / 512 + (64 << 10)).min(bytes_max / 8)
    }

    /// Keeps a response that was put together elsewhere, or that no fetch was for. It is written to the disk as well, but for parts, which
    /// would be written anew whenever they grow. `None` where it is not in memory.
    pub fn put(&self, object: Object) -> Option<Arc<Object>> {
        if self.is_purged(&object) {
            return None;
        }
        let object = Arc::new(object);
        // In this order: once it is seen, what it replaces is no longer found on the disk.
        if let (Some(disk), None) = (self.kept.disk_for(&object.key), object.stored.range) {
            disk.write(&object);
        }
        self.kept.memory.put_shared(&object).then_some(object)
    }

    /// Whether a look at the disk is worth while for what is not in memory.
    pub fn may_be_on_disk(&self, key: &Key) -> bool {
        self.kept.disk().is_some_and(|disk| disk.may_have(key))
    }

    /// The newest response on the disk that is chosen and not purged, read whole and checked; it comes back to memory, if memory lets
    /// it in. A long body that memory has no room for stays in its file. A crowd need not read it more than once: whoever leads a fetch may look here first, and [`crate::fill::Lead::confirm`] it.
    pub async fn find_on_disk(
        &self,
        key: &Key,
        choose: impl FnMut(&Stored) -> bool + Send + 'static,
    ) -> Option<Arc<Object>> {
        let disk = self.kept.disk()?;
        // Not all that is kept: a thread that reads must not be the last to let go of its own disk.
        let (memory, asked) = (Arc::clone(&self.kept.memory), key.clone());
        let takes = move |body_bytes| memory.takes_back(&asked, body_bytes);
        let (object, at) = disk.read(key, choose, takes).await?;
        let object = Arc::new(object);
        if self.is_purged(&object) {
            disk.remove_at(key, at);
            return None;
        }
        if !object.body.is_in_file() {
            self.kept.memory.put_back(&object);
        }
        if !disk.still_has(key, at) {
            // Whoever has replaced or removed it meanwhile did not see it in memory.
            self.kept.memory.remove(&object);
            return None;
        }
        Some(object)
    }

    /// Gives a response the head that its confirmation says (RFC 9111 §4.3.4). `asked` is of the request that was answered with
    /// 304. `None` where the response is no longer kept in memory: it may still be served to whoever asked, and has its new head on
    /// the disk, if it is there.
    pub fn update(&self, old: &Arc<Object>, stored: Stored, asked: u64) -> Option<Arc<Object>> {
        let new = Arc::new(Object::new(old.key.clone(), stored, old.body.clone(), asked));
        if self.is_purged(&new) {
            return None;
        }
        let disk = self.kept.disk_for(&new.key);
        let is_kept = self.kept.memory.update(old, &new);
        if let Some(disk) = disk.filter(|_| new.stored.range.is_none())
            // What has taken its place in memory has done so on the disk.
            && (is_kept || !self.kept.memory.has_other(&new) && disk.knows(old))
        {
            disk.update(old, &new);
        }
        is_kept.then_some(new)
    }

    /// Removes one response, from the disk too.
    pub fn remove(&self, object: &Arc<Object>) -> bool {
        if let Some(disk) = self.kept.disk_for(&object.key) {
            disk.remove(object);
        }
        self.kept.memory.remove_upto(object)
    }

    /// Purges, and returns the purge's number once it is on the disk: see [`Purges::purge`]. Not for a thread of the data plane. Other nodes
    /// are told, see [`Nodes::told`].
    pub fn purge(&self, target: Target<'_>, mode: Mode) -> Result<u64, Error> {
        target.check()?;
        let nodes = self.begin(target, mode);
        let sequence = self.kept.purges.purge(target, mode);
        self.tidy_up(target, mode);
        let told = self.tell_twins(&[Arc::new(Entry::new(target, mode))], true);
        let settled = nodes.map_or(Ok(()), |(nodes, entry)| {
            nodes.queue(entry);
            nodes.settle()
        });
        // Whatever has failed: a log that is broken is written anew by this.
        self.kept.tend_if_crowded();
        settled.and(told).and(sequence)
    }

    /// What an unsafe method invalidates (RFC 9111 §4.4): at once, without waiting for the disk. Other nodes are told soon.
    pub fn invalidate(&self, key: &Key) -> Result<(), Error> {
        let (target, mode) = (Target::Key(&key.bytes), Mode::Hard);
        target.check()?;
        let nodes = self.begin(target, mode);
        let entered = self.kept.purges.invalidate(target, mode);
        self.tidy_up(target, mode);
        self.twins.tell(|| Entry::new(target, mode));
        if let Some((nodes, entry)) = nodes {
            nodes.queue(entry);
        }
        self.kept.tend_if_crowded();
        entered.map(|_| ())
    }

    /// The other nodes, if there are to be any.
    pub fn nodes(&self) -> Option<Arc<Nodes>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells these nodes of purges from now on, or none.
    pub fn join_nodes(&self, nodes: Option<Arc<Nodes>>) {
        let mut joined = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.is_none() {
            self.trusted.set(None);
        }
        *joined = nodes;
    }

    /// Whether a response may be served as it is; else purges of other nodes may be missing, and the origin is asked first.
    #[inline]
    pub fn is_trusted(&self, object: &Object, now: SystemTime) -> bool {
        self.trusts(object.asked(), now)
    }

    /// The same of one that was asked for after the purge of this number.
    #[inline]
    pub fn trusts(&self, asked: u64, now: SystemTime) -> bool {
        self.trusted.contains(asked, now)
    }

    /// What these nodes say of what is kept, see [`Trusted::set`]; unless others are joined by now.
    pub(crate) fn trust(&self, nodes: &Nodes, said: Option<(SystemTime, Trust)>) {
        let joined = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        if joined.as_ref().is_some_and(|joined| std::ptr::eq(Arc::as_ptr(joined), nodes)) {
            self.trusted.set(said);
        }
    }

    fn begin(&self, target: Target<'_>, mode: Mode) -> Option<(Arc<Nodes>, Entry)> {
        let nodes = self.nodes()?;
        nodes.begin();
        Some((nodes, Entry::new(target, mode)))
    }

    pub(crate) fn tidy_up(&self, target: Target<'_>, mode: Mode) {
        if let (Target::Key(bytes), Mode::Hard) = (target, mode) {
            self.forget_key(bytes);
        }
    }

    /// Frees the memory of what is purged, and forgets purges that are too many. Looks at all that is kept, and returns how much was
    /// removed: for a thread beside the cores, after purges and now and then. One at a time: where another does so, nothing is.
    pub fn tend(&self) -> Result<usize, Error> {
        self.kept.tend()
    }

    /// Sets the bounds of a cache of so much memory, as [`EngineConfig::of_memory`] has them; what has no room goes.
    pub fn resize(&self, memory_bytes: u64) {
        let config = EngineConfig::of_memory(memory_bytes);
        self.kept.memory.resize(config.memory_bytes, config.object_bytes_max);
        self.flights.resize(config.fill.filling_bytes_max, config.fill.object_bytes_max);
        self.handing.resize(memory_bytes);
        if let Some(disk) = self.kept.disk() {
            disk.resize(memory_bytes);
        }
    }

    /// Waits until all is on its way to the disk that was kept before. Not for a thread of the data plane.
    pub fn flush(&self) {
        if let Some(disk) = self.kept.disk() {
            disk.flush();
        }
    }

    /// Fetches that are under way.
    pub fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// What was missed most.
    pub fn misses(&self) -> &Misses {
        &self.misses
    }

    /// All purges.
    pub fn purges(&self) -> &Arc<Purges> {
        &self.kept.purges
    }

    /// What all of it is like.
    pub fn figures(&self) -> Figures {
        let (purges_remembered, purges) = self.kept.purges.counts();
        let (purges_told, purges_heard) = self.twins.counts();
        Figures {
            memory: self.kept.memory.figures(),
            disk: self.kept.disk().map(Disk::figures).unwrap_or_default(),
            flights: self.flights.figures(),
            purges_remembered,
            purges,
            purge_sequence: self.kept.purges.sequence(),
            purged: self.kept.purged.load(Ordering::Relaxed),
            refreshes: self.refreshes.load(Ordering::Relaxed),
            is_disk_awaited: self.kept.is_disk_awaited(),
            purges_told,
            purges_heard,
        }
    }

    fn forget_key(&self, bytes: &[u8]) {
        let key = self.key(bytes);
        let removed = self.kept.memory.remove_key(&key);
        if let Some(disk) = self.kept.disk() {
            disk.remove_key(&key);
        }
        self.kept.purged.fetch_add(removed as u64, Ordering::Relaxed);
    }
}

/// Opens the log of purges and what they are about, or begins with nothing.
fn open_disk(config: &DiskConfig, hasher: KeyHasher) -> Result<(Arc<Purges>, Disk), Error> {
    let (folder, log) = (&config.folder, config.folder.join("purges"));
    // First of all: the log of another process is not to be touched.
    let lock = Lock::take(folder)?;
    if forgotten::is_forgotten(folder) || !log.exists() {
        Disk::clear(folder, &lock)?;
    }
    let (purges, _) = Purges::open(&log)?;
    forgotten::is_empty_now(folder)?;
    let purges = Arc::new(purges);
    let (disk, asked) = Disk::open(config, lock, hasher, Arc::clone(&purges))?;
    // The log may have lost purges that were not acknowledged, while records know their numbers.
    purges.raise(asked);
    Ok((purges, disk))
}
