//! What is counted of the cache, for whoever reads metrics.

use crate::engine::{Engine, Figures};
use std::sync::{Arc, Mutex, PoisonError};
use telemetry::{Counter, Gauge, Hook, Registry};

type Figure = fn(&Figures) -> u64;

const GAUGES: [(&str, &str, Figure); 11] = [
    ("nines_cdn_memory_bytes", "Memory of responses that are kept.", |figures| figures.memory.bytes),
    ("nines_cdn_memory_objects", "Responses that are kept in memory.", |figures| figures.memory.objects),
    ("nines_cdn_disk_bytes", "Bytes of responses on the disk.", |figures| figures.disk.bytes),
    ("nines_cdn_disk_objects", "Responses that are kept on the disk.", |figures| figures.disk.objects),
    ("nines_cdn_disk_segments", "Files of responses on the disk.", |figures| figures.disk.segments),
    ("nines_cdn_disk_queued_bytes", "Bytes that wait to be written to the disk.", |figures| {
        figures.disk.queued_bytes
    }),
    ("nines_cdn_disk_awaited", "1 while the process before this one has the disk.", |figures| {
        u64::from(figures.is_disk_awaited)
    }),
    ("nines_cdn_fills", "Fetches that are under way.", |figures| figures.flights.flights),
    ("nines_cdn_filling_bytes", "Bytes of responses that are arriving.", |figures| {
        figures.flights.filling_bytes
    }),
    ("nines_cdn_purges_remembered", "Purges that responses are held against.", |figures| {
        figures.purges_remembered
    }),
    ("nines_cdn_purge_sequence", "The number of the last purge.", |figures| figures.purge_sequence),
];

/// With the value of the label, where there is one: `way` of [`TWIN_PURGES`], else `reason`.
const COUNTERS: [(&str, &str, Option<&str>, Figure); 21] = [
    (EVICTIONS, EVICTIONS_HELP, Some("room"), |figures| figures.memory.evicted),
    (EVICTIONS, EVICTIONS_HELP, Some("variants"), |figures| figures.memory.evicted_variants),
    (EVICTIONS, EVICTIONS_HELP, Some("purged"), |figures| figures.purged),
    (UNKEPT, UNKEPT_HELP, Some("large_once"), |figures| figures.memory.deferred),
    (UNKEPT, UNKEPT_HELP, Some("too_large"), |figures| figures.memory.too_large),
    ("nines_cdn_fills_total", "Fetches that were begun.", None, |figures| figures.flights.fills),
    ("nines_cdn_coalesced_total", "Requests that waited for the fetch of another.", None, |figures| {
        figures.flights.coalesced
    }),
    (
        "nines_cdn_refreshes_total",
        "Responses that were asked for anew while they were fresh.",
        None,
        |figures| figures.refreshes,
    ),
    ("nines_cdn_alone_total", "Requests for what is known not to be shared.", None, |figures| {
        figures.flights.alone
    }),
    ("nines_cdn_purges_total", "Purges and invalidations.", None, |figures| figures.purges),
    (TWIN_PURGES, TWIN_PURGES_HELP, Some("told"), |figures| figures.purges_told),
    (TWIN_PURGES, TWIN_PURGES_HELP, Some("heard"), |figures| figures.purges_heard),
    ("nines_cdn_disk_written_total", "Responses that were written to the disk.", None, |figures| {
        figures.disk.written
    }),
    ("nines_cdn_disk_read_total", "Responses that were read from the disk.", None, |figures| {
        figures.disk.read
    }),
    ("nines_cdn_disk_evicted_total", "Responses that went with their segment.", None, |figures| {
        figures.disk.evicted
    }),
    ("nines_cdn_disk_rewritten_total", "Responses in use that were written again.", None, |figures| {
        figures.disk.rewritten
    }),
    (FAULTS, FAULTS_HELP, Some("failed"), |figures| figures.disk.failed),
    (FAULTS, FAULTS_HELP, Some("damaged"), |figures| figures.disk.damaged),
    (FAULTS, FAULTS_HELP, Some("unwritten"), |figures| figures.disk.unwritten),
    (FAULTS, FAULTS_HELP, Some("unread"), |figures| figures.disk.unread),
    ("nines_cdn_fills_full_total", "Requests that found too many fetches under way.", None, |figures| {
        figures.flights.full
    }),
];

const EVICTIONS: &str = "nines_cdn_evicted_total";
const EVICTIONS_HELP: &str = "Responses that left memory, by why.";
const UNKEPT: &str = "nines_cdn_unkept_total";
const UNKEPT_HELP: &str = "Responses that memory did not take, by why.";
const TWIN_PURGES: &str = "nines_cdn_takeover_purges_total";
const TWIN_PURGES_HELP: &str = "Purges that went from one process of a takeover to the other.";
const FAULTS: &str = "nines_cdn_disk_faults_total";
const FAULTS_HELP: &str = "Responses that the disk did not take, or give back, by why.";

/// Tells how full the cache is and what has happened, whenever somebody looks. It ends with what is returned.
pub fn register(registry: &Registry, engine: &Arc<Engine>) -> Hook {
    let gauges: Vec<(Gauge, Figure)> =
        GAUGES.into_iter().map(|(name, help, figure)| (registry.gauge(name, help, &[]), figure)).collect();
    let counter = |(name, help, reason, figure): (_, _, Option<&str>, _)| {
        let label = if name == TWIN_PURGES { "way" } else { "reason" };
        let labels: Vec<(&str, &str)> = reason.map(|reason| (label, reason)).into_iter().collect();
        (registry.counter(name, help, &labels), figure)
    };
    let counters: Vec<(Counter, Figure)> = COUNTERS.into_iter().map(counter).collect();
    let (engine, told) = (Arc::clone(engine), Mutex::new(Figures::default()));
    registry.on_render(move || {
        // Two who look at once must not both count what is new.
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = engine.figures();
        for (gauge, figure) in &gauges {
            gauge.set(figure(&figures) as f64);
        }
        for (counter, figure) in &counters {
            counter.add(figure(&figures).saturating_sub(figure(&told)));
        }
        *told = figures;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineConfig;
    use crate::purge::{Mode, Target};
    use crate::store::samples::object;

    #[test]
    fn figures_are_told_as_they_are_when_somebody_looks() {
        let engine = Arc::new(Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap());
        let registry = Registry::new();
        let _hook = register(&registry, &engine);
        engine.put(object("a", b"body", 0)).unwrap();
        engine.purge(Target::Tag("red"), Mode::Hard).unwrap();
        for _ in 0..2 {
            let text = registry.render();
            for line in
                ["nines_cdn_memory_objects 1", "nines_cdn_purges_total 1", "nines_cdn_purge_sequence 1"]
            {
                assert!(text.lines().any(|other| other == line), "{line}: {text}");
            }
        }
    }
}
