//! Events, as a subscriber hears them.

use super::world::*;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes each event of ours as one line.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "balance"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn every_change_of_state_is_one_event_with_its_cause() {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), || {
        // A test beside this one may be meeting the same events for the first time, and tracing would take
        // its answer, that nobody listens, for everyone's: once over they are all known, and asked again.
        a_short_life();
        tracing::callsite::rebuild_interest_cache();
        ear.0.lock().unwrap().clear();
        a_short_life();
    });
    let told = ear.0.lock().unwrap();
    let about = |name: &str| -> Vec<String> {
        let prefix = format!(" pool=\"web\" endpoint=\"{name}\"");
        told.iter().filter(|line| line.contains(&prefix)).map(|line| line.replace(&prefix, "")).collect()
    };
    assert_eq!(
        about("shop-1"),
        [
            r#"INFO from="absent" to="unknown" cause="its first check is under way""#,
            r#"INFO from="unknown" to="healthy" cause="GET / answered 200""#,
            r#"WARN from="healthy" to="ejected" cause="1 failure in a row, the last: no connection; out for 10s""#,
            r#"INFO from="ejected" to="probing" cause="its ejection is over; one request at a time shows whether it works""#,
            r#"WARN from="probing" to="unhealthy" cause="GET / answered 500, for 2 checks in a row""#,
            r#"INFO from="unhealthy" to="absent" cause="no longer among the pool's endpoints""#,
        ]
    );
    assert_eq!(
        about("shop-2").last().unwrap(),
        r#"INFO from="healthy" to="draining" cause="drained on request""#
    );
}

fn a_short_life() {
    let mut world =
        World::new("service = \"shop\"\nhealth = { http = \"/\" }\neject = { failures = 1, for = \"10s\" }");
    world.pool.set_instances(vec![instance("shop-1", 1), instance("shop-2", 2)]);
    world.check("shop-1", true);
    world.check("shop-1", true);
    world.check("shop-2", true);
    world.fail("shop-1", 1);
    world.advance(10 * SEC);
    world.pool.refresh(world.now);
    world.check("shop-1", false);
    world.check("shop-1", false);
    world.pool.drain("shop-2").unwrap();
    world.pool.set_instances(vec![instance("shop-2", 2)]);
}
