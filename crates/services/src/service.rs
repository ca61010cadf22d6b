//! One service: brings what runs to what is wanted, one careful step after the other.
//!
//! It follows a goal that a reload may change at any time, in the middle of a replacement too, and looks afresh
//! after every step. Invariant: while instances are replaced, an instance that works stays until its successor
//! accepts connections.

use crate::instance::{ACCEPT_WAIT, Instance, Shared};
use crate::program::Program;
use crate::restart::rounded;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// What a service should be.
#[derive(Clone)]
pub(crate) enum Goal {
    /// So many instances of a program.
    Run {
        /// The program.
        program: Arc<Program>,
        /// How many.
        instances: u32,
    },
    /// It is no longer in the file: its instances drain, then end.
    Retire,
    /// nines ends: so do they.
    Stop,
}

/// A running service, seen by all services.
pub(crate) struct Service {
    /// What its instances share.
    pub(crate) shared: Arc<Shared>,
    goal: watch::Sender<Goal>,
    task: JoinHandle<()>,
}

impl Service {
    /// Starts its instances.
    pub(crate) fn start(shared: Arc<Shared>, program: &Arc<Program>, instances: u32) -> Self {
        let (goal, goals) = watch::channel(Goal::Run { program: Arc::clone(program), instances });
        let mut manager = Manager {
            shared: Arc::clone(&shared),
            goals,
            instances: BTreeMap::new(),
            ending: JoinSet::new(),
        };
        // Now, not when the task gets its turn: who looks after the start sees all of them.
        manager.scale(program, instances);
        Self { shared, goal, task: tokio::spawn(manager.manage()) }
    }

    /// Gives it another goal.
    pub(crate) fn set_goal(&self, goal: Goal) {
        self.goal.send_replace(goal);
    }

    /// Whether all of it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until all of it has ended.
    pub(crate) async fn ended(self) {
        if let Err(error) = self.task.await {
            tracing::error!(target: "services", %error, "a service's task ended badly");
        }
    }
}

struct Manager {
    shared: Arc<Shared>,
    goals: watch::Receiver<Goal>,
    instances: BTreeMap<u32, Instance>,
    ending: JoinSet<()>,
}

impl Manager {
    async fn manage(mut self) {
        loop {
            let goal = self.goals.borrow_and_update().clone();
            let Goal::Run { program, instances } = goal else { break };
            self.scale(&program, instances);
            let outdated = self.instances.iter().find(|(_, instance)| *instance.program != *program);
            match outdated.map(|(&number, _)| number) {
                // One replacement at a time: the predecessor before this one has to be gone.
                Some(number) if self.ending.is_empty() => self.replace(number, &program).await,
                _ => {
                    tokio::select! {
                        changed = self.goals.changed() => if changed.is_err() { break },
                        Some(_) = self.ending.join_next() => {}
                    }
                }
            }
        }
        self.end().await;
    }

    /// Starts what is missing and retires what is too much, all at once.
    fn scale(&mut self, program: &Arc<Program>, wanted: u32) {
        for number in 1..=wanted {
            let start = || Instance::start(&self.shared, program, number, true);
            self.instances.entry(number).or_insert_with(start);
        }
        for (_, surplus) in self.instances.split_off(&wanted.saturating_add(1)) {
            self.retire(surplus);
        }
    }

    fn retire(&mut self, instance: Instance) {
        instance.retire();
        self.follow(instance);
    }

    fn stop(&mut self, instance: Instance) {
        instance.stop();
        self.follow(instance);
    }

    /// Waits for the end of an instance, aside from everything else.
    fn follow(&mut self, instance: Instance) {
        let mut goals = self.goals.clone();
        self.ending.spawn(instance.ended(async move {
            // An error says that all services are gone, and is as good a reason.
            let _ = goals.wait_for(|goal| matches!(goal, Goal::Stop)).await;
        }));
    }

    /// Puts a new run of the program in an instance's place, or leaves things as they are when the goal changes
    /// on the way.
    async fn replace(&mut self, number: u32, program: &Arc<Program>) {
        let Some(old) = self.instances.get(&number).map(|old| old.key) else { return };
        if !self.shared.board.is_accepting(old) {
            // It serves nobody. Its successor may need what it holds.
            if let Some(old) = self.instances.remove(&number) {
                self.stop(old);
            }
            tokio::select! {
                _ = self.ending.join_next() => {}
                _ = self.goals.changed() => {}
            }
            return;
        }
        let new = Instance::start(&self.shared, program, number, false);
        let began = Instant::now();
        let mut warned = false;
        let mut changes = self.shared.board.changes();
        while !self.shared.board.is_accepting(new.key) && self.shared.board.is_accepting(old) {
            tokio::select! {
                _ = changes.changed() => {}
                _ = self.goals.changed() => return self.retire(new),
                () = sleep_until(began + ACCEPT_WAIT), if !warned => {
                    warned = true;
                    tracing::error!(
                        target: "services",
                        service = %self.shared.service,
                        "the new {}-{number} does not accept connections after {}: the old one stays until it does",
                        self.shared.service,
                        rounded(ACCEPT_WAIT)
                    );
                }
            }
        }
        self.shared.board.swap(old, new.key);
        if let Some(old) = self.instances.insert(number, new) {
            self.retire(old);
        }
    }

    async fn end(mut self) {
        let retiring = matches!(*self.goals.borrow(), Goal::Retire);
        for (_, instance) in std::mem::take(&mut self.instances) {
            if retiring { self.retire(instance) } else { self.stop(instance) }
        }
        while self.ending.join_next().await.is_some() {}
    }
}
