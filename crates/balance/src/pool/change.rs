//! What changes a pool's members. Each change ends in `settle`: the new states are told and counted, and a new
//! snapshot is built for the picks.

use super::{DRAINED_AWAY_MAX, Members, Pool};
use crate::config::PoolConfig;
use crate::eject::{Ejection, Ejections, History, may_eject, stands_out};
use crate::endpoint::{Endpoint, EndpointId, Totals};
use crate::events::Meters;
use crate::health::judge::{Found, Health};
use crate::member::{Member, Shown};
use crate::picked::Outcome;
use crate::siphash::siphash;
use crate::snapshot::Snapshot;
use crate::sources::{self, Wanted};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, TryLockError};
use std::time::Instant;

impl Pool {
    /// A name has been resolved.
    pub(crate) fn resolved(&self, host: &str, addresses: Vec<IpAddr>, now: Instant) {
        let mut members = self.lock();
        if members.resolved.get(host) != Some(&addresses) {
            members.resolved.insert(host.into(), addresses);
            self.reconcile(&mut members, now);
        }
    }

    /// A check of an endpoint has ended.
    pub(crate) fn checked(&self, endpoint: EndpointId, found: Found, now: Instant) {
        let config = self.config.load();
        let Some(rules) = &config.health else { return };
        let mut members = self.lock();
        let Some(member) = member_of(&mut members.all, endpoint) else { return };
        member.meters.count_check(found.is_ok());
        let was_unknown = member.health.is_unknown();
        if member.health.judge(found, rules) || was_unknown {
            self.settle(&mut members, now);
        }
    }

    /// A live request has failed.
    pub(crate) fn request_failed(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        in_row: u32,
        is_probe: bool,
        now: Instant,
    ) {
        let config = self.config.load();
        let limit = config.eject.failures;
        // Looked at again at every multiple: an ejection may have been refused because enough were out.
        let is_over = limit > 0 && in_row >= limit && in_row.is_multiple_of(limit);
        if !is_probe && !is_over {
            return;
        }
        let mut members = self.lock();
        let cause = if is_probe {
            format!("its probe failed: {outcome}")
        } else {
            let failures = if in_row == 1 { "failure" } else { "failures" };
            format!("{in_row} {failures} in a row, the last: {outcome}")
        };
        if self.eject(&mut members.all, endpoint.id(), &cause, is_probe, now) {
            self.settle(&mut members, now);
        }
    }

    /// The probe of an endpoint whose ejection is over has succeeded.
    pub(crate) fn probe_succeeded(&self, endpoint: &Endpoint, now: Instant) {
        let mut members = self.lock();
        if let Some(member) = member_of(&mut members.all, endpoint.id())
            && member.is_probing()
        {
            member.ejections.come_back(now);
            member.history.forget(endpoint.totals(), now);
            self.settle(&mut members, now);
        }
    }

    /// Ends what time has ended: ejections and steps of slow starts. Another core may be at it already.
    pub(crate) fn refresh(&self, now: Instant) {
        let mut members = match self.members.try_lock() {
            Ok(members) => members,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.settle(&mut members, now);
    }

    /// Looks at each endpoint's share of failures within the window; called once in a tenth of it.
    pub(crate) fn judge_ratios(&self, now: Instant) {
        let config = self.config.load();
        let Some(ratio) = config.eject.ratio else { return };
        let mut members = self.lock();
        let window = config.eject.window.get();
        let recent: Vec<(EndpointId, Totals)> = members
            .all
            .iter_mut()
            .filter_map(|member| {
                let endpoint = member.endpoint.as_ref()?;
                Some((endpoint.id(), member.history.note(endpoint.totals(), window, now)))
            })
            .collect();
        let mut any = false;
        for (id, own) in &recent {
            let others = recent.iter().filter(|(other, _)| other != id).map(|(_, totals)| *totals);
            let rest = others.reduce(Totals::plus).unwrap_or_default();
            if stands_out(*own, rest, ratio.ratio(), config.eject.requests_min) {
                let cause = format!(
                    "{} of its {} requests within {} failed",
                    own.failed, own.finished, config.eject.window
                );
                any |= self.eject(&mut members.all, *id, &cause, false, now);
            }
        }
        if any {
            self.settle(&mut members, now);
        }
    }

    /// Takes an endpoint out, if it is in and the pool can spare it. The last available one never goes: a
    /// failing endpoint answers some requests, and none answers none.
    fn eject(
        &self,
        members: &mut [Member],
        id: EndpointId,
        cause: &str,
        is_probe: bool,
        now: Instant,
    ) -> bool {
        let config = self.config.load();
        let others = members.iter().filter(|member| !member.is(id) && !member.draining);
        let (total, ejected) = others.clone().fold((1, 0), |(total, ejected), member| {
            (total + 1, ejected + usize::from(matches!(member.ejections.now, Ejection::Out { .. })))
        });
        let spared = others.clone().any(Member::is_available);
        let Some(member) = member_of(members, id) else { return false };
        // What failed before an ejection, or beside a probe, has been counted already.
        let is_in = if is_probe { member.is_probing() } else { member.ejections.now == Ejection::In };
        if !is_in || !spared || !may_eject(&config.eject, ejected, total) {
            return false;
        }
        let lasts = member.ejections.eject(&config.eject, now);
        member.ejection_cause = format!("{cause}; out for {}", duration_text(lasts));
        true
    }

    /// Makes the members those that the sources want.
    pub(super) fn reconcile(&self, members: &mut Members, now: Instant) {
        let config = self.config.load();
        let current = |name: &str| {
            let member = members.all.iter().find(|member| &*member.wanted.name == name)?;
            member.endpoint.as_ref().map(|endpoint| endpoint.address())
        };
        let wanted = sources::wanted(&config, &members.instances, &members.resolved, current);
        let mut before: HashMap<Arc<str>, Member> =
            members.all.drain(..).map(|member| (Arc::clone(&member.wanted.name), member)).collect();
        for wanted in wanted {
            let member = match before.remove(&wanted.name) {
                Some(member) => self.kept(member, wanted, &config, now),
                None => {
                    let draining = members.drained_away.remove(&wanted.name);
                    self.added(wanted, draining, &config, now)
                }
            };
            members.all.push(member);
        }
        for member in before.into_values() {
            member.meters.tell_gone(member.shown.state);
            if member.draining && members.drained_away.len() < DRAINED_AWAY_MAX {
                members.drained_away.insert(Arc::clone(&member.wanted.name));
            }
            if let Some(endpoint) = member.endpoint {
                endpoint.set_gone();
            }
        }
        self.settle(members, now);
    }

    fn added(&self, wanted: Wanted, draining: bool, config: &PoolConfig, now: Instant) -> Member {
        let endpoint = wanted.address.map(|address| self.endpoint(&wanted.name, address, now));
        Member {
            meters: Meters::new(&self.registry, &self.name, &wanted.name),
            endpoint,
            wanted,
            draining,
            health: Health::new(config.health.is_some()),
            ejections: Ejections::default(),
            ejection_cause: String::new(),
            history: History::begun(now),
            ramp_since: None,
            was_well: false,
            shown: Shown { state: None, since: now },
        }
    }

    fn kept(&self, mut member: Member, wanted: Wanted, config: &PoolConfig, now: Instant) -> Member {
        let before = member.endpoint.as_ref().map(|endpoint| endpoint.address());
        if before != wanted.address {
            // Another process, perhaps another machine: what was known about the old one says nothing about it,
            // unless a service put it there in place of the old one, which was ready until this moment.
            let takes_over =
                config.service.is_some() && wanted.ready && member.would_be_well_if_not_ejected();
            let endpoint = wanted.address.map(|address| self.endpoint(&wanted.name, address, now));
            if let Some(old) = member.endpoint.take() {
                old.set_gone();
                if let Some(new) = &endpoint {
                    new.continue_from(&old);
                }
            }
            member.endpoint = endpoint;
            let is_checked = config.health.is_some();
            member.health =
                if takes_over && is_checked { Health::taking_over() } else { Health::new(is_checked) };
            member.ejections = member.ejections.begin_anew();
            member.history = History::default();
            if let Some(endpoint) = &member.endpoint {
                member.history.forget(endpoint.totals(), now);
            }
            member.was_well = false;
        }
        member.wanted = wanted;
        member
    }

    fn endpoint(&self, name: &Arc<str>, address: SocketAddr, now: Instant) -> Arc<Endpoint> {
        let named = [self.name.as_bytes(), b"\0", name.as_bytes()].concat();
        Endpoint::new(Arc::clone(name), address, siphash(&self.secret, &named), self.this.clone(), now)
    }

    /// Brings everything in line after a change: what time has ended, what is told, what a pick reads.
    pub(super) fn settle(&self, members: &mut Members, now: Instant) {
        let config = self.config.load();
        end_ejections(&mut members.all, now);
        for member in &mut members.all {
            let is_well = member.is_well() && !member.is_probing();
            if is_well && !member.was_well {
                member.ramp_since = Some(now);
            }
            member.was_well = is_well;
            member.show(now);
        }
        let snapshot = Snapshot::of(&members.all, &config, self.at.as_deref(), now);
        let available = snapshot.available;
        self.snapshot.store(Arc::new(snapshot));
        members.tell(available);
        self.changed.notify_one();
        self.changes.send_replace(());
    }
}

/// Ends the ejections whose time is over, and all of them when nobody else is left.
fn end_ejections(members: &mut [Member], now: Instant) {
    for member in members.iter_mut() {
        if let Ejection::Out { until } = member.ejections.now
            && now >= until
        {
            member.begin_probing("its ejection is over; one request at a time shows whether it works");
        }
    }
    if members.iter().any(Member::is_available) {
        return;
    }
    for member in
        members.iter_mut().filter(|member| member.would_be_well_if_not_ejected() && member.is_wished())
    {
        if matches!(member.ejections.now, Ejection::Out { .. }) {
            member.begin_probing("no other endpoint is available");
        }
    }
}

fn member_of(members: &mut [Member], id: EndpointId) -> Option<&mut Member> {
    members.iter_mut().find(|member| member.is(id))
}

fn duration_text(duration: std::time::Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
