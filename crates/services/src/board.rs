//! Who the instances of a service are: what the supervisors write, and pools and people read.
//!
//! Invariant: what the pools see is derived from the rows within the lock under which they changed, so a pool
//! never sees an instance whose process has been reaped.

use crate::events::Meters;
use crate::ports::address;
use crate::{InstanceState, InstanceStatus};
use balance::Instance;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// One service's instances.
pub(crate) struct Board {
    rows: Mutex<Rows>,
    instances: watch::Sender<Vec<Instance>>,
    /// Wakes those who wait for a change.
    changed: watch::Sender<()>,
    meters: Meters,
}

#[derive(Default)]
struct Rows {
    next_key: u64,
    by_number: Vec<Row>,
}

struct Row {
    key: Key,
    number: u32,
    /// Whether pools may see it. The replacement of an instance is hidden until it works.
    listed: bool,
    status: InstanceStatus,
}

/// Names a row: two instances have the same number while one replaces the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Board {
    /// An empty one.
    pub(crate) fn new(meters: Meters) -> Self {
        let (instances, changed) = (watch::Sender::new(Vec::new()), watch::Sender::new(()));
        Self { rows: Mutex::default(), instances, changed, meters }
    }

    /// The figures of the service.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// What the pools follow.
    pub(crate) fn instances(&self) -> watch::Receiver<Vec<Instance>> {
        self.instances.subscribe()
    }

    /// Marks every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What people see.
    pub(crate) fn status(&self) -> Vec<InstanceStatus> {
        self.rows().by_number.iter().map(|row| row.status.clone()).collect()
    }

    /// A new instance, without a process yet.
    pub(crate) fn add(&self, number: u32, name: &str, listed: bool) -> Key {
        let mut rows = self.rows();
        let key = Key(rows.next_key);
        rows.next_key += 1;
        let status = InstanceStatus {
            name: name.into(),
            state: InstanceState::Starting,
            since_unix_ms: now_unix_ms(),
            pid: None,
            port: None,
            restarts: 0,
            last_exit: None,
        };
        rows.by_number.push(Row { key, number, listed, status });
        rows.by_number.sort_by_key(|row| (row.number, row.key.0));
        self.publish(rows);
        key
    }

    /// Its process lives.
    pub(crate) fn started(&self, key: Key, pid: u32, port: u16) {
        self.change(key, InstanceState::Starting, |row| {
            (row.status.pid, row.status.port) = (Some(pid), Some(port));
        });
    }

    /// It accepts connections.
    pub(crate) fn accepting(&self, key: Key) {
        self.change(key, InstanceState::Running, |_| {});
    }

    /// Its process has ended by itself, or could not be started.
    pub(crate) fn ended(&self, key: Key, cause: String) {
        self.change(key, InstanceState::BackingOff, |row| {
            (row.status.pid, row.status.port) = (None, None);
            row.status.last_exit = Some(cause);
        });
    }

    /// The pause is over.
    pub(crate) fn restarting(&self, key: Key) {
        self.meters.restarts.inc();
        self.change(key, InstanceState::Starting, |row| row.status.restarts += 1);
    }

    /// It is being ended: the pools must see it no more.
    pub(crate) fn stopping(&self, key: Key) {
        self.change(key, InstanceState::Stopping, |row| row.listed = false);
    }

    /// It is no more.
    pub(crate) fn remove(&self, key: Key) {
        let mut rows = self.rows();
        rows.by_number.retain(|row| row.key != key);
        self.publish(rows);
    }

    /// Lets the pools see `new` instead of `old`, at one stroke: no pool sees none of them, or both.
    pub(crate) fn swap(&self, old: Key, new: Key) {
        let mut rows = self.rows();
        for row in &mut rows.by_number {
            row.listed = (row.listed || row.key == new) && row.key != old;
        }
        self.publish(rows);
    }

    /// Whether it accepts connections.
    pub(crate) fn is_accepting(&self, key: Key) -> bool {
        let rows = self.rows();
        rows.by_number.iter().any(|row| row.key == key && row.status.state == InstanceState::Running)
    }

    fn change(&self, key: Key, state: InstanceState, change: impl FnOnce(&mut Row)) {
        let mut rows = self.rows();
        if let Some(row) = rows.by_number.iter_mut().find(|row| row.key == key) {
            if row.status.state != state {
                row.status.state = state;
                row.status.since_unix_ms = now_unix_ms();
            }
            change(row);
        }
        self.publish(rows);
    }

    fn publish(&self, rows: MutexGuard<'_, Rows>) {
        let states: Vec<InstanceState> = rows.by_number.iter().map(|row| row.status.state).collect();
        self.meters.set_instances(&states);
        let now: Vec<Instance> = rows.by_number.iter().filter_map(instance).collect();
        self.instances.send_if_modified(|before| {
            let modified = *before != now;
            *before = now;
            modified
        });
        drop(rows);
        self.changed.send_replace(());
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row as pools see it: while its process lives.
fn instance(row: &Row) -> Option<Instance> {
    let ready = row.status.state == InstanceState::Running;
    let lives = ready || row.status.state == InstanceState::Starting;
    let port = row.status.port.filter(|_| row.listed && lives)?;
    Some(Instance { id: row.status.name.clone(), address: address(port), weight: 1, at: None, ready })
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(Meters::new(&telemetry::Registry::new(), "shop"))
    }

    fn seen(board: &Board) -> Vec<(String, u16, bool)> {
        let instances = board.instances.borrow();
        instances.iter().map(|each| (each.id.clone(), each.address.port(), each.ready)).collect()
    }

    #[test]
    fn pools_see_an_instance_exactly_while_its_process_lives() {
        let board = board();
        let key = board.add(1, "shop-1", true);
        assert!(seen(&board).is_empty());
        board.started(key, 77, 3001);
        assert_eq!(seen(&board), [("shop-1".into(), 3001, false)]);
        board.accepting(key);
        assert_eq!(seen(&board), [("shop-1".into(), 3001, true)]);
        board.ended(key, "exited".into());
        assert!(seen(&board).is_empty());
        board.restarting(key);
        assert!(seen(&board).is_empty());
        board.started(key, 78, 3002);
        board.accepting(key);
        assert_eq!(seen(&board), [("shop-1".into(), 3002, true)]);
        board.stopping(key);
        assert!(seen(&board).is_empty());
    }

    #[test]
    fn a_replacement_is_hidden_until_it_is_listed() {
        let board = board();
        let old = board.add(1, "shop-1", true);
        let other = board.add(2, "shop-2", true);
        let new = board.add(1, "shop-1", false);
        for (key, port) in [(old, 1001), (other, 1002), (new, 1003)] {
            board.started(key, u32::from(port), port);
            board.accepting(key);
        }
        let ports = |board: &Board| seen(board).into_iter().map(|(_, port, _)| port).collect::<Vec<_>>();
        assert_eq!(ports(&board), [1001, 1002]);
        board.swap(old, new);
        assert_eq!(ports(&board), [1003, 1002]);
    }

    #[test]
    fn a_change_that_pools_cannot_see_does_not_wake_them() {
        let board = board();
        let mut pool = board.instances();
        let mut people = board.changes();
        let key = board.add(1, "shop-1", true);
        board.ended(key, "cannot be started".into());
        assert!(!pool.has_changed().unwrap());
        assert!(people.has_changed().unwrap());
        people.mark_unchanged();
        board.started(key, 77, 3001);
        assert!(pool.has_changed().unwrap());
        pool.mark_unchanged();
        assert_eq!(board.status()[0].last_exit.as_deref(), Some("cannot be started"));
    }
}
