//! Metrics as Prometheus reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry::{LATENCY_BOUNDS, Registry};

#[test]
fn metrics_are_rendered_sorted_by_name_and_labels() {
    let registry = Registry::new();
    let busy = registry.gauge("nines_edge_connections", "Open connections.", &[]);
    let eu = registry.counter("nines_balance_requests_total", "Requests.", &[("pool", "shop"), ("at", "eu")]);
    let us = registry.counter("nines_balance_requests_total", "Requests.", &[("at", "us"), ("pool", "shop")]);
    let all = registry.counter("nines_balance_requests_total", "Requests.", &[]);
    busy.set(2.5);
    eu.inc();
    us.add(41);
    us.inc();
    let expected = "\
# HELP nines_balance_requests_total Requests.
# TYPE nines_balance_requests_total counter
nines_balance_requests_total 0
nines_balance_requests_total{at=\"eu\",pool=\"shop\"} 1
nines_balance_requests_total{at=\"us\",pool=\"shop\"} 42
# HELP nines_edge_connections Open connections.
# TYPE nines_edge_connections gauge
nines_edge_connections 2.5
";
    assert_eq!(registry.render(), expected);
    assert_eq!(registry.clone().render(), expected);
    assert_eq!(all.get(), 0);
}

#[test]
fn a_histogram_is_cumulative_and_ends_with_infinity() {
    let registry = Registry::new();
    let seconds = registry.histogram("nines_edge_seconds", "Time.", &[("site", "a")], &[0.125, 1.0]);
    for millis in [125, 500, 1000, 1500, 5000] {
        seconds.observe(Duration::from_millis(millis));
    }
    assert_eq!(seconds.count(), 5);
    let expected = "\
# HELP nines_edge_seconds Time.
# TYPE nines_edge_seconds histogram
nines_edge_seconds_bucket{site=\"a\",le=\"0.125\"} 1
nines_edge_seconds_bucket{site=\"a\",le=\"1\"} 3
nines_edge_seconds_bucket{site=\"a\",le=\"+Inf\"} 5
nines_edge_seconds_sum{site=\"a\"} 8.125
nines_edge_seconds_count{site=\"a\"} 5
";
    assert_eq!(registry.render(), expected);
}

#[test]
fn a_value_that_is_no_number_spoils_nothing() {
    let registry = Registry::new();
    let bytes = registry.histogram("h", "", &[], &[1.0]);
    for value in [f64::NAN, -3.0, 0.5] {
        bytes.observe_value(value);
    }
    assert!(registry.render().contains("h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum -2.5\n"));
}

#[test]
fn the_same_name_and_labels_are_the_same_series() {
    let registry = Registry::new();
    let first = registry.counter("c", "", &[("a", "1"), ("b", "2")]);
    let second = registry.counter("c", "", &[("b", "2"), ("a", "1")]);
    first.inc();
    second.inc();
    assert_eq!((first.get(), second.get()), (2, 2));
    let gauge = registry.gauge("g", "", &[]);
    registry.gauge("g", "", &[]).add(-3);
    gauge.inc();
    gauge.inc();
    gauge.dec();
    assert_eq!(gauge.get(), -2.0);
    let histogram = registry.histogram("h", "", &[], LATENCY_BOUNDS);
    registry.histogram("h", "", &[], LATENCY_BOUNDS).observe_value(1.0);
    assert_eq!(histogram.count(), 1);
}

#[test]
fn a_series_ends_with_its_last_handle_and_begins_anew() {
    let registry = Registry::new();
    let old = registry.counter("c", "Help.", &[("pool", "old")]);
    let new = registry.counter("c", "Help.", &[("pool", "new")]);
    old.inc();
    let clone = old.clone();
    drop(old);
    assert!(registry.render().contains("old"));
    drop(clone);
    assert!(!registry.render().contains("old"));
    assert_eq!(registry.counter("c", "Help.", &[("pool", "old")]).get(), 0);
    drop(new);
    assert_eq!(registry.render(), "", "a name without series has no help either");
}

#[test]
fn a_name_is_free_for_another_kind_once_its_series_are_gone() {
    let registry = Registry::new();
    drop(registry.counter("m", "A counter.", &[]));
    let _gauge = registry.gauge("m", "A gauge.", &[]);
    assert_eq!(registry.render(), "# HELP m A gauge.\n# TYPE m gauge\nm 0\n");
}

#[test]
#[should_panic(expected = "m cannot be a gauge: it is a counter")]
fn a_name_has_one_kind() {
    let registry = Registry::new();
    let _counter = registry.counter("m", "", &[]);
    let _gauge = registry.gauge("m", "", &[("a", "b")]);
}

#[test]
fn names_that_prometheus_does_not_know_are_our_mistake() {
    for (name, label) in
        [("", "a"), ("a-b", "a"), ("9a", "a"), ("é", "a"), ("a", ""), ("a", "le"), ("a", "b:c")]
    {
        let slip = || Registry::new().counter(name, "", &[(label, "x")]);
        assert!(std::panic::catch_unwind(slip).is_err(), "{name:?} {label:?}");
    }
}

#[test]
fn any_text_can_be_a_label_or_a_help() {
    let registry = Registry::new();
    let _counter = registry.counter("c", "back\\slash\nline", &[("path", "a\"b\\c\nd é")]);
    let expected = "# HELP c back\\\\slash\\nline\n# TYPE c counter\nc{path=\"a\\\"b\\\\c\\nd é\"} 0\n";
    assert_eq!(registry.render(), expected);
}

#[test]
fn infinite_gauges_are_written_as_go_reads_them() {
    let registry = Registry::new();
    let gauge = registry.gauge("g", "", &[]);
    for (value, text) in [
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (1e21, "1000000000000000000000"),
    ] {
        gauge.set(value);
        assert!(registry.render().ends_with(&format!("g {text}\n")), "{value}");
    }
}

#[test]
fn hooks_are_called_before_each_rendering_until_they_are_dropped() {
    let registry = Registry::new();
    let gauge = registry.gauge("g", "", &[]);
    let calls = Arc::new(AtomicU64::new(0));
    let hook = registry.on_render({
        let (gauge, calls) = (gauge.clone(), Arc::clone(&calls));
        move || gauge.set(calls.fetch_add(1, Ordering::Relaxed) as f64 + 10.0)
    });
    let other = registry.on_render(|| {});
    assert!(registry.render().ends_with("g 10\n"));
    assert!(registry.render().ends_with("g 11\n"));
    drop(hook);
    assert!(registry.render().ends_with("g 11\n"));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    drop((other, registry));
}

#[test]
fn a_hook_may_use_the_registry() {
    let registry = Registry::new();
    let _hook = registry.on_render({
        let (registry, handle) = (registry.clone(), std::sync::Mutex::new(None));
        move || {
            let gauge = registry.gauge("late", "", &[]);
            gauge.set(1.0);
            handle.lock().unwrap().replace(gauge);
        }
    });
    assert!(registry.render().ends_with("late 1\n"));
}

#[test]
fn nothing_that_any_thread_counts_is_lost() {
    const THREADS: u64 = 8;
    const TIMES: u64 = 20_000;
    let registry = Registry::new();
    let counter = registry.counter("c", "", &[]);
    let gauge = registry.gauge("g", "", &[]);
    let histogram = registry.histogram("h", "", &[], &[1.0]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    counter.inc();
                    gauge.inc();
                    histogram.observe_value(0.5);
                }
            });
        }
    });
    assert_eq!(counter.get(), THREADS * TIMES);
    assert_eq!(gauge.get(), (THREADS * TIMES) as f64);
    assert_eq!(histogram.count(), THREADS * TIMES);
    assert!(registry.render().contains(&format!("h_sum {}\n", THREADS * TIMES / 2)));
}
