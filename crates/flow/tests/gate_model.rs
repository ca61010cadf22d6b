//! The gate against a model of a line, over arbitrary sequences of events.

use flow::{Gate, Permit, Refused};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
enum Event {
    TryEnter,
    Enter,
    /// The waiter, or the entered one, of this index (modulo how many there are) is polled.
    Poll(usize),
    /// It is dropped instead.
    GoAway(usize),
    Release(usize),
    Set {
        inflight_max: usize,
        queue_max: usize,
        wait_secs: u64,
    },
    Pass {
        secs: u64,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => Just(Event::TryEnter),
        6 => Just(Event::Enter),
        4 => any::<usize>().prop_map(Event::Poll),
        3 => any::<usize>().prop_map(Event::GoAway),
        5 => any::<usize>().prop_map(Event::Release),
        1 => (0..4usize, 0..5usize, 0..4u64).prop_map(|(inflight_max, queue_max, wait_secs)| {
            Event::Set { inflight_max, queue_max, wait_secs }
        }),
        1 => (0..3u64).prop_map(|secs| Event::Pass { secs }),
    ];
    vec(event, 0..120)
}

type Entering = Pin<Box<dyn Future<Output = Result<Permit, Refused>>>>;

/// One who asked to enter and has not been answered yet, by an id that rises.
struct Asking {
    id: u64,
    entering: Entering,
    deadline: u64,
}

/// What should be true.
struct Model {
    inflight_max: usize,
    queue_max: usize,
    wait_secs: u64,
    inflight: usize,
    line: VecDeque<u64>,
    called: Vec<u64>,
}

impl Model {
    fn admit(&mut self) {
        while self.inflight < self.inflight_max
            && let Some(first) = self.line.pop_front()
        {
            self.inflight += 1;
            self.called.push(first);
        }
    }
}

struct World {
    gate: Gate,
    runtime: tokio::runtime::Runtime,
    model: Model,
    asking: Vec<Asking>,
    permits: Vec<Permit>,
    now: u64,
    next_id: u64,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (line, called) = (VecDeque::new(), Vec::new());
        Self {
            gate: Gate::new(2, 3, Duration::from_secs(2)),
            runtime: runtime.expect("a runtime"),
            model: Model { inflight_max: 2, queue_max: 3, wait_secs: 2, inflight: 0, line, called },
            asking: Vec::new(),
            permits: Vec::new(),
            now: 0,
            next_id: 0,
        }
    }

    fn poll(&self, entering: &mut Entering) -> Poll<Result<Permit, Refused>> {
        let _context = self.runtime.enter();
        entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::TryEnter => self.try_enter(),
            Event::Enter => self.enter(),
            Event::Poll(index) if !self.asking.is_empty() => self.poll_one(index % self.asking.len()),
            Event::GoAway(index) if !self.asking.is_empty() => self.go_away(index % self.asking.len()),
            Event::Release(index) if !self.permits.is_empty() => {
                drop(self.permits.swap_remove(index % self.permits.len()));
                self.model.inflight -= 1;
                self.model.admit();
            }
            Event::Set { inflight_max, queue_max, wait_secs } => {
                self.gate.set(inflight_max, queue_max, Duration::from_secs(wait_secs));
                let model = &mut self.model;
                (model.inflight_max, model.queue_max, model.wait_secs) = (inflight_max, queue_max, wait_secs);
                model.admit();
            }
            Event::Pass { secs } => {
                self.now += secs;
                self.runtime.block_on(tokio::time::advance(Duration::from_secs(secs)));
            }
            Event::Poll(_) | Event::GoAway(_) | Event::Release(_) => {}
        }
    }

    fn has_room(&self) -> bool {
        self.model.line.is_empty() && self.model.inflight < self.model.inflight_max
    }

    fn try_enter(&mut self) {
        let permit = self.gate.try_enter();
        assert_eq!(permit.is_some(), self.has_room());
        self.model.inflight += usize::from(permit.is_some());
        self.permits.extend(permit);
    }

    fn enter(&mut self) {
        let gate = self.gate.clone();
        let mut entering: Entering = Box::pin(async move { gate.enter().await });
        let answer = self.poll(&mut entering);
        if self.has_room() {
            let Poll::Ready(Ok(permit)) = answer else { panic!("room, but {answer:?}") };
            self.model.inflight += 1;
            self.permits.push(permit);
        } else if self.model.line.len() >= self.model.queue_max || self.model.wait_secs == 0 {
            assert!(matches!(answer, Poll::Ready(Err(Refused::Full { .. }))), "line full, but {answer:?}");
        } else {
            assert!(answer.is_pending(), "no room, but {answer:?}");
            let (id, deadline) = (self.next_id, self.now + self.model.wait_secs);
            self.next_id += 1;
            self.model.line.push_back(id);
            self.asking.push(Asking { id, entering, deadline });
        }
    }

    fn poll_one(&mut self, index: usize) {
        let mut asking = self.asking.remove(index);
        let answer = self.poll(&mut asking.entering);
        if let Some(called) = self.model.called.iter().position(|id| *id == asking.id) {
            self.model.called.swap_remove(called);
            let Poll::Ready(Ok(permit)) = answer else { panic!("called, but {answer:?}") };
            self.permits.push(permit);
        } else if self.now >= asking.deadline {
            assert!(matches!(answer, Poll::Ready(Err(Refused::TimedOut { .. }))), "too late, but {answer:?}");
            self.model.line.retain(|id| *id != asking.id);
        } else {
            assert!(answer.is_pending(), "in line, but {answer:?}");
            self.asking.insert(index, asking);
        }
    }

    fn go_away(&mut self, index: usize) {
        let Asking { id, entering, .. } = self.asking.remove(index);
        drop(entering);
        if let Some(called) = self.model.called.iter().position(|called| *called == id) {
            self.model.called.swap_remove(called);
            self.model.inflight -= 1;
            self.model.admit();
        }
        self.model.line.retain(|waiting| *waiting != id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_gate_does_what_a_fair_line_does(events in events()) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            prop_assert_eq!(world.gate.inflight(), world.model.inflight);
            prop_assert_eq!(world.gate.waiting(), world.model.line.len());
        }
        // Everybody leaves: nothing may be left behind.
        world.asking.clear();
        world.permits.clear();
        prop_assert_eq!((world.gate.inflight(), world.gate.waiting()), (0, 0));
    }
}
