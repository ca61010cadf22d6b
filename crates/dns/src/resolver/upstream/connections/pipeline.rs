//! Questions that are under way on one connection, by the identifiers that they have on it. Without I/O, and with `now` and `rng`.

use super::Lost;
use rand::{Rng, RngExt};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// On one connection at once, those included that nobody waits for any more.
pub(super) const QUESTIONS_MAX: usize = 256;
/// From so many on that nobody waits for, which were never answered, nothing more is asked there.
const FORGOTTEN_MAX: usize = QUESTIONS_MAX / 2;
/// When nothing comes for so long though something is due, new questions go elsewhere.
pub(super) const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// And after this it is over for those that are there.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// A connection that nobody asks on is closed; most servers do so earlier, which is noticed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// An answer, with the identifier of the question that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Answer {
    pub(in super::super) message: Vec<u8>,
    /// How long it lay in a cache of HTTP (RFC 8484 §5.1).
    pub(in super::super) age_s: u32,
}

/// What is told to those who wait.
pub(super) type Outcome = Result<Answer, Lost>;

/// Whether more can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Only if there is nothing better.
    Suspect,
    Full,
    /// Nothing more, ever.
    Over,
}

pub(super) struct Pipeline {
    waiting: HashMap<u16, Waiter>,
    outgoing: VecDeque<(u16, Vec<u8>)>,
    /// Since when nothing comes though something is due.
    silent_since: Option<Instant>,
    used_at: Instant,
    answered: u64,
    /// What is under way goes on, and nothing new begins.
    is_closing: bool,
    is_over: bool,
}

struct Waiter {
    own_id: [u8; 2],
    sender: oneshot::Sender<Outcome>,
}

impl Pipeline {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: HashMap::new(),
            outgoing: VecDeque::new(),
            silent_since: None,
            used_at: now,
            answered: 0,
            is_closing: false,
            is_over: false,
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        if self.is_over || self.is_closing {
            return State::Over;
        }
        if self.waiting.len() >= QUESTIONS_MAX || self.forgotten() >= FORGOTTEN_MAX {
            return State::Full;
        }
        if self.is_silent_for(SUSPECT_AFTER, now) { State::Suspect } else { State::Free }
    }

    fn forgotten(&self) -> usize {
        // Few enough that none can be too many.
        if self.waiting.len() < FORGOTTEN_MAX {
            return 0;
        }
        self.waiting.values().filter(|waiter| waiter.sender.is_closed()).count()
    }

    fn is_silent_for(&self, lasting: Duration, now: Instant) -> bool {
        self.silent_since.is_some_and(|since| now.saturating_duration_since(since) >= lasting)
    }

    /// How much is under way.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a question in, which gets an identifier of this connection's; `None`: there is no place.
    pub(super) fn submit(
        &mut self,
        mut message: Vec<u8>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<oneshot::Receiver<Outcome>> {
        if matches!(self.state(now), State::Full | State::Over) {
            return None;
        }
        let own_id = *message.first_chunk()?;
        // There are 65,536 of them, of which few are in use.
        let id = loop {
            let id = rng.random();
            if !self.waiting.contains_key(&id) {
                break id;
            }
        };
        message[..2].copy_from_slice(&id.to_be_bytes());
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(id, Waiter { own_id, sender });
        self.outgoing.push_back((id, message));
        self.silent_since.get_or_insert(now);
        self.used_at = now;
        Some(receiver)
    }

    /// The next question to be sent that somebody still waits for.
    pub(super) fn next(&mut self) -> Option<(u16, Vec<u8>)> {
        while let Some((id, message)) = self.outgoing.pop_front() {
            if self.waiting.get(&id).is_some_and(|waiter| !waiter.sender.is_closed()) {
                return Some((id, message));
            }
            self.waiting.remove(&id);
            if self.waiting.is_empty() {
                self.silent_since = None;
            }
        }
        None
    }

    /// A message has come. `false`: it answers nothing that was asked here.
    pub(super) fn answer(&mut self, mut message: Vec<u8>, now: Instant) -> bool {
        let Some(id) = message.first_chunk().copied().map(u16::from_be_bytes) else { return false };
        let Some(waiter) = self.waiting.get(&id) else { return false };
        message[..2].copy_from_slice(&waiter.own_id);
        self.finish(id, Ok(Answer { message, age_s: 0 }), now);
        true
    }

    /// What has become of one question, whatever it was.
    pub(super) fn finish(&mut self, id: u16, outcome: Outcome, now: Instant) {
        let Some(Waiter { own_id, sender }) = self.waiting.remove(&id) else { return };
        self.answered += 1;
        self.silent_since = (!self.waiting.is_empty()).then_some(now);
        // Somebody who has had enough does not hear it.
        let _ = sender.send(outcome.map(|mut answer| {
            if let Some(at) = answer.message.first_chunk_mut() {
                *at = own_id;
            }
            answer
        }));
    }

    /// A question is not waited for any longer, which says nothing good of the connection.
    pub(super) fn give_up(&mut self, id: u16, cause: &str) {
        if let Some(Waiter { sender, .. }) = self.waiting.remove(&id) {
            let _ = sender.send(Err(Lost::Unfit(cause.into())));
        }
    }

    /// Whether the connection has no use any more: nobody asks, or nobody answers.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        if self.waiting.is_empty() {
            return self.is_closing
                || self.is_silent_for(SILENCE_MAX, now)
                || now.saturating_duration_since(self.used_at) >= IDLE_MAX;
        }
        let is_awaited = self.waiting.values().any(|waiter| !waiter.sender.is_closed());
        self.is_silent_for(if is_awaited { SILENCE_MAX } else { SUSPECT_AFTER }, now)
    }

    /// Nothing more is asked here: who is there takes no more.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// The connection has ended, or was never made.
    pub(super) fn end(&mut self, unreachable: Option<&str>) {
        self.is_over = true;
        self.outgoing.clear();
        let lost = match unreachable {
            Some(cause) => Lost::Unreachable(cause.into()),
            None => Lost::Died { answered: self.answered },
        };
        for (_, Waiter { sender, .. }) in self.waiting.drain() {
            let _ = sender.send(Err(lost.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    type Receivers = Vec<oneshot::Receiver<Outcome>>;

    struct World {
        pipeline: Pipeline,
        now: Instant,
        rng: SmallRng,
    }

    fn world() -> World {
        let now = Instant::now();
        World { pipeline: Pipeline::new(now), now, rng: SmallRng::seed_from_u64(1) }
    }

    impl World {
        fn ask(&mut self, own_id: u16) -> Option<oneshot::Receiver<Outcome>> {
            self.pipeline.submit([&own_id.to_be_bytes()[..], b"asked"].concat(), self.now, &mut self.rng)
        }

        fn answer(&mut self, id: u16, text: &[u8]) -> bool {
            self.pipeline.answer([&id.to_be_bytes()[..], text].concat(), self.now)
        }

        fn sent(&mut self) -> Vec<u16> {
            std::iter::from_fn(|| self.pipeline.next()).map(|(id, _)| id).collect()
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn state(&self) -> State {
            self.pipeline.state(self.now)
        }
    }

    fn heard(receiver: &mut oneshot::Receiver<Outcome>) -> Vec<u8> {
        receiver.try_recv().unwrap().unwrap().message
    }

    #[test]
    fn answers_find_their_questions_in_whatever_order_they_come() {
        let mut world = world();
        let (mut first, mut second) = (world.ask(7).unwrap(), world.ask(7).unwrap());
        let ids = world.sent();
        assert_ne!(ids[0], ids[1], "one identifier for each");
        assert!(world.answer(ids[1], b"two") && first.try_recv().is_err());
        assert!(world.answer(ids[0], b"one"));
        assert_eq!((heard(&mut first), heard(&mut second)), (b"\0\x07one".to_vec(), b"\0\x07two".to_vec()));
        assert!(!world.answer(ids[0], b"again"), "it was answered");
        assert!(!world.pipeline.answer(vec![1], world.now));
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent_and_its_identifier_is_kept_once_it_was() {
        let mut world = world();
        let (first, second) = (world.ask(1).unwrap(), world.ask(2).unwrap());
        drop(first);
        let ids = world.sent();
        assert_eq!((ids.len(), world.pipeline.len()), (1, 1));
        drop(second);
        world.wait(100);
        assert_eq!(world.pipeline.len(), 1, "a late answer is not another's");
        assert!(world.answer(ids[0], b"late") && world.pipeline.len() == 0);
    }

    #[test]
    fn there_are_no_more_questions_than_places_nor_many_that_are_never_answered() {
        let mut world = world();
        let mut all: Receivers = (0..QUESTIONS_MAX).map(|nth| world.ask(nth as u16).unwrap()).collect();
        assert!(world.ask(0).is_none() && world.state() == State::Full);
        let ids = world.sent();
        assert!(world.answer(ids[0], b"") && world.state() == State::Free);
        all.truncate(QUESTIONS_MAX - FORGOTTEN_MAX + 1);
        assert_eq!(world.state(), State::Free);
        all.truncate(QUESTIONS_MAX - FORGOTTEN_MAX);
        assert_eq!(world.state(), State::Full);
    }

    #[test]
    fn one_on_which_nothing_comes_is_avoided_and_then_over() {
        let mut world = world();
        let asked = world.ask(1).unwrap();
        let _more = world.ask(2).unwrap();
        let ids = world.sent();
        world.wait(900);
        assert!(world.answer(ids[1], b""));
        world.wait(900);
        assert_eq!(world.state(), State::Free, "something has come");
        world.wait(100);
        assert_eq!(world.state(), State::Suspect);
        assert!(!world.pipeline.is_done(world.now), "somebody waits");
        world.wait(9000);
        assert!(world.pipeline.is_done(world.now));
        drop(asked);
        assert!(world.answer(ids[0], b"") && world.state() == State::Free);
        assert!(!world.pipeline.is_done(world.now));
        world.wait(20_000);
        assert!(world.pipeline.is_done(world.now), "it was last used half a minute ago");
    }

    #[test]
    fn one_with_nothing_but_forgotten_questions_is_over_as_soon_as_it_is_suspect() {
        let mut world = world();
        drop((world.ask(1), world.sent()));
        let asked = world.ask(2).unwrap();
        let _ = world.sent();
        drop(asked);
        world.wait(999);
        assert!(!world.pipeline.is_done(world.now));
        world.wait(1);
        assert!(world.pipeline.is_done(world.now));
    }

    #[test]
    fn what_is_given_up_is_no_sign_of_life() {
        let mut world = world();
        let (mut first, _second) = (world.ask(1).unwrap(), world.ask(2).unwrap());
        let ids = world.sent();
        world.wait(10_000);
        world.pipeline.give_up(ids[0], "late");
        assert_eq!(first.try_recv().unwrap(), Err(Lost::Unfit("late".into())));
        assert_eq!((world.state(), world.pipeline.len()), (State::Suspect, 1));
        world.pipeline.give_up(ids[1], "late");
        assert!(world.pipeline.is_done(world.now));
        world.pipeline.end(None);
    }

    #[test]
    fn one_that_closes_answers_what_it_has_and_is_then_over() {
        let mut world = world();
        let mut asked = world.ask(1).unwrap();
        let ids = world.sent();
        world.pipeline.close();
        assert!(world.ask(2).is_none() && world.state() == State::Over && !world.pipeline.is_done(world.now));
        assert!(world.answer(ids[0], b"one") && world.pipeline.is_done(world.now));
        assert_eq!(heard(&mut asked), b"\0\x01one");
    }

    #[test]
    fn when_it_ends_everybody_hears_so() {
        let mut world = world();
        let (mut first, mut second) = (world.ask(1).unwrap(), world.ask(2).unwrap());
        let ids = world.sent();
        world.answer(ids[0], b"one");
        world.pipeline.end(None);
        assert!(first.try_recv().unwrap().is_ok());
        assert_eq!(second.try_recv().unwrap(), Err(Lost::Died { answered: 1 }));
        assert!(world.ask(3).is_none() && world.state() == State::Over);
    }
}
