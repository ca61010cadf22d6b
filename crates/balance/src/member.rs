//! An endpoint as its pool keeps it: what is known about it apart from the figures that the cores write.
//! All of it stands behind the pool's lock, and none of it is read by a pick.

use crate::eject::{Ejection, Ejections, History};
use crate::endpoint::{Endpoint, EndpointId};
use crate::events::Meters;
use crate::health::judge::Health;
use crate::sources::Wanted;
use crate::status::State;
use std::sync::Arc;
use std::time::Instant;

/// An endpoint with its place, its state and the story of both.
pub(crate) struct Member {
    /// What the sources say about it.
    pub(crate) wanted: Wanted,
    /// Absent until its name has been resolved.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) draining: bool,
    pub(crate) health: Health,
    pub(crate) ejections: Ejections,
    /// Why it was last ejected, or came back.
    pub(crate) ejection_cause: String,
    pub(crate) history: History,
    /// The beginning of its slow start.
    pub(crate) ramp_since: Option<Instant>,
    pub(crate) was_well: bool,
    pub(crate) shown: Shown,
    pub(crate) meters: Meters,
}

/// The state that was last told to people.
pub(crate) struct Shown {
    /// `None` before the first.
    pub(crate) state: Option<State>,
    pub(crate) since: Instant,
}

impl Member {
    pub(crate) fn is(&self, id: EndpointId) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.id() == id)
    }

    /// Whether it works as far as anyone knows.
    pub(crate) fn is_well(&self) -> bool {
        self.would_be_well_if_not_ejected() && !matches!(self.ejections.now, Ejection::Out { .. })
    }

    pub(crate) fn would_be_well_if_not_ejected(&self) -> bool {
        self.endpoint.is_some() && self.wanted.ready && self.health.is_healthy()
    }

    /// Whether it takes new work, when it is well.
    pub(crate) fn is_wished(&self) -> bool {
        !self.draining && self.wanted.weight > 0
    }

    pub(crate) fn is_available(&self) -> bool {
        self.is_well() && self.is_wished()
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.ejections.now == Ejection::Probing
    }

    /// What it is, and why. What people did comes first, then what is known for certain.
    pub(crate) fn state(&self) -> (State, &str) {
        if self.endpoint.is_none() {
            return (State::Unresolved, "its name has no address yet");
        }
        if self.draining {
            return (State::Draining, "drained on request");
        }
        if !self.wanted.ready {
            return (State::NotReady, "its service has not said that it is ready");
        }
        if self.health.is_unknown() {
            return (State::Unknown, self.health.cause());
        }
        if !self.health.is_healthy() {
            return (State::Unhealthy, self.health.cause());
        }
        match self.ejections.now {
            Ejection::Out { .. } => (State::Ejected, &self.ejection_cause),
            Ejection::Probing => (State::Probing, &self.ejection_cause),
            Ejection::In if self.shown.state == Some(State::Probing) => {
                (State::Healthy, "a request succeeded")
            }
            Ejection::In => (State::Healthy, self.health.cause()),
        }
    }

    /// Tells the state if it has changed.
    pub(crate) fn show(&mut self, now: Instant) {
        let (state, cause) = self.state();
        if self.shown.state != Some(state) {
            let cause = cause.to_owned();
            self.meters.tell(self.shown.state, state, &cause);
            self.shown = Shown { state: Some(state), since: now };
        }
    }

    /// Lets single requests through to an ejected endpoint.
    pub(crate) fn begin_probing(&mut self, cause: &str) {
        self.ejections.begin_probing();
        self.ejection_cause = cause.into();
        if let Some(endpoint) = &self.endpoint {
            endpoint.forget_failures_in_row();
        }
    }
}
