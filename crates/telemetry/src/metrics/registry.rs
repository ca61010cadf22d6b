//! Who counts what: families of series, found by name and labels.

use super::{Counter, Gauge, Histogram, histogram, render};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use sys::PerCore;

/// All metrics of a process, in Prometheus' terms. Clones are the same registry.
///
/// A series lives as long as one of its handles: what is gone from the configuration is gone from the
/// metrics. Getting a handle takes a lock; counting through it does not.
#[derive(Clone, Default)]
pub struct Registry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    families: Mutex<Families>,
    hooks: Mutex<Hooks>,
}

type Families = BTreeMap<String, Family>;

#[derive(Default)]
struct Hooks {
    next: u64,
    by_number: BTreeMap<u64, Arc<dyn Fn() + Send + Sync>>,
}

/// A function that is called before each rendering, until this is dropped.
#[must_use = "a hook that is dropped is never called"]
pub struct Hook {
    registry: Weak<Shared>,
    number: u64,
}

/// The series of one name.
pub(super) struct Family {
    pub(super) kind: &'static str,
    pub(super) help: String,
    pub(super) series: BTreeMap<Labels, Series>,
}

/// Sorted by name, so that the order in which they are given does not matter.
pub(super) type Labels = Vec<(String, String)>;

/// What a series' handles point at.
#[derive(Clone)]
pub(super) enum Series {
    Counter(Weak<PerCore<AtomicU64>>),
    Gauge(Weak<AtomicU64>),
    Histogram(Weak<histogram::Core>),
}

impl Series {
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Counter(core) => core.strong_count() > 0,
            Self::Gauge(core) => core.strong_count() > 0,
            Self::Histogram(core) => core.strong_count() > 0,
        }
    }
}

impl Family {
    fn new(kind: &'static str, help: &str) -> Self {
        Self { kind, help: help.into(), series: BTreeMap::new() }
    }
}

impl Registry {
    /// A registry without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of this name and these labels; a new one, at 0, if it does not exist.
    ///
    /// # Panics
    /// When the name or a label's name is none of Prometheus', or the name belongs to another kind of
    /// metric: slips in our code, not in anybody's data. The same holds for gauges and histograms.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        let find = |series: &Series| match series {
            Series::Counter(core) => core.upgrade().map(Counter::of),
            _ => None,
        };
        let make = || {
            let counter = Counter::new();
            let series = Series::Counter(Arc::downgrade(counter.core()));
            (counter, series)
        };
        self.get_or_create(name, help, labels, "counter", find, make)
    }

    /// The gauge of this name and these labels; a new one, at 0, if it does not exist.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        let find = |series: &Series| match series {
            Series::Gauge(core) => core.upgrade().map(Gauge::of),
            _ => None,
        };
        let make = || {
            let gauge = Gauge::new();
            let series = Series::Gauge(Arc::downgrade(gauge.core()));
            (gauge, series)
        };
        self.get_or_create(name, help, labels, "gauge", find, make)
    }

    /// The histogram of this name and these labels; a new one if it does not exist. `bounds` are upper
    /// bounds, rising, without infinity; all series of a name should have the same.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &'static [f64],
    ) -> Histogram {
        let find = |series: &Series| match series {
            Series::Histogram(core) => core.upgrade().map(Histogram::of),
            _ => None,
        };
        let make = || {
            let histogram = Histogram::new(bounds);
            let series = Series::Histogram(Arc::downgrade(histogram.core()));
            (histogram, series)
        };
        self.get_or_create(name, help, labels, "histogram", find, make)
    }

    /// Calls `update` before each rendering, to set gauges from what is true at that moment.
    /// It may use the registry, but not add or drop hooks.
    pub fn on_render(&self, update: impl Fn() + Send + Sync + 'static) -> Hook {
        let mut hooks = self.hooks();
        let number = hooks.next;
        hooks.next += 1;
        hooks.by_number.insert(number, Arc::new(update));
        Hook { registry: Arc::downgrade(&self.0), number }
    }

    /// All series in Prometheus' text format 0.0.4, sorted by name and labels.
    pub fn render(&self) -> String {
        let hooks: Vec<_> = self.hooks().by_number.values().cloned().collect();
        for hook in hooks {
            hook();
        }
        let mut families = self.families();
        families.retain(|_, family| {
            family.series.retain(|_, series| series.is_alive());
            !family.series.is_empty()
        });
        render::families(&families)
    }

    fn get_or_create<T>(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        kind: &'static str,
        find: impl Fn(&Series) -> Option<T>,
        make: impl FnOnce() -> (T, Series),
    ) -> T {
        assert!(is_metric_name(name), "{name:?} is no name for a metric");
        let mut labels: Labels = labels.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        labels.sort();
        for (label, _) in &labels {
            assert!(is_label_name(label), "{name}: {label:?} is no name for a label");
        }
        let mut families = self.families();
        let family = families.entry(name.into()).or_insert_with(|| Family::new(kind, help));
        if let Some(handle) = family.series.get(&labels).and_then(find) {
            return handle;
        }
        if family.kind != kind {
            let is_alive = family.series.values().any(Series::is_alive);
            assert!(!is_alive, "{name} cannot be a {kind}: it is a {}", family.kind);
            *family = Family::new(kind, help);
        }
        let (handle, series) = make();
        family.series.insert(labels, series);
        handle
    }

    fn families(&self) -> MutexGuard<'_, Families> {
        self.0.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("families", &self.families().len()).finish()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.hooks.lock().unwrap_or_else(PoisonError::into_inner).by_number.remove(&self.number);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("number", &self.number).finish()
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
fn is_metric_name(name: &str) -> bool {
    is_word(name, |byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, but `le`, which a histogram's buckets carry.
fn is_label_name(name: &str) -> bool {
    name != "le" && is_word(name, |byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn is_word(name: &str, is_letter: impl Fn(u8) -> bool) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(&is_letter) && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}
