//! When the key comes and goes that the zone above points to, the KSK or the one key for all: a pure decision about keys and a time.
//!
//! By double signatures (RFC 6781 §4.1.2, RFC 7583 §3.3.1): the next key is published and signs the keys beside the old one, until everybody can
//! know it; then CDS and CDNSKEY name it alone (RFC 7344), and the zone above is waited for, however long it takes. Once nobody remembers the DS
//! before, it takes the old one's place, which stays published until nobody remembers what it signed. So at each moment a DS that somebody
//! remembers leads to a key that signs the keys which anybody remembers.

use super::rollover::{Action, KeyState, KeyTimes, Later, Outlook, Step, Timing};

/// What is to be done with these keys now, and later.
pub(super) fn next(keys: &[KeyTimes], timing: &Timing, now: u64, outlook: &mut Outlook) {
    let of = |state| keys.iter().enumerate().filter(move |(_, key)| key.is_entry && key.state == state);
    for (key, gone) in
        of(KeyState::Retired).map(|(key, times)| (key, times.since + timing.ttl_max + timing.propagation))
    {
        outlook.at(gone, now, Later { key, step: Step::Remove, at: gone }, &[Action::Remove(key)]);
    }
    let newest = of(KeyState::Active).max_by_key(|(_, key)| key.since);
    let Some((newest, newest_times)) = newest else {
        // What there is has to do: somebody took the other one away.
        let other = of(KeyState::Submitted).chain(of(KeyState::Published)).next();
        outlook.actions.push(match other {
            Some((key, _)) => Action::Become(key, KeyState::Active),
            None => Action::Make { is_entry: true, state: KeyState::Active },
        });
        return;
    };
    if let Some((key, times)) = of(KeyState::Submitted).next() {
        // Until the zone above has it, there is no time for anything.
        if let Some(at) = times.trusted {
            let mut actions = vec![Action::Become(key, KeyState::Active)];
            actions.extend(of(KeyState::Active).map(|(old, _)| Action::Become(old, KeyState::Retired)));
            outlook.at(at, now, Later { key, step: Step::Activate, at }, &actions);
        }
    } else if let Some((key, times)) = of(KeyState::Published).next() {
        let at = times.since + timing.dnskey_ttl + timing.propagation;
        let actions = [Action::Become(key, KeyState::Submitted)];
        outlook.at(at, now, Later { key, step: Step::Submit, at }, &actions);
    } else if let Some(age) = timing.entry_roll_over {
        let at = newest_times.since + age;
        let actions = [Action::Make { is_entry: true, state: KeyState::Published }];
        outlook.at(at, now, Later { key: newest, step: Step::Replace, at }, &actions);
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::KeyLayout;
    use super::super::rollover;
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;
    const HOUR: u64 = 3600;
    const START: u64 = 1_800_000_000;

    fn timing(keys: KeyLayout, roll_over: Option<u64>) -> Timing {
        Timing {
            keys,
            roll_over: None,
            entry_roll_over: roll_over,
            dnskey_ttl: 3600,
            ttl_max: 2 * DAY,
            propagation: HOUR,
        }
    }

    /// A key as the world sees it.
    #[derive(Debug, Clone)]
    struct Seen {
        times: KeyTimes,
        name: usize,
        /// Since when it is among the keys, and signs them.
        published: u64,
    }

    /// A zone, the one above it, and what everybody may remember of both.
    struct World {
        keys: Vec<Seen>,
        made: usize,
        /// The key that the zone above points to, and until when another one is remembered.
        ds: usize,
        ds_before: Option<(usize, u64)>,
    }

    impl World {
        fn new() -> Self {
            Self { keys: Vec::new(), made: 0, ds: 1, ds_before: None }
        }

        fn times(&self) -> Vec<KeyTimes> {
            self.keys.iter().map(|key| key.times).collect()
        }

        /// Does all that is to be done.
        fn step(&mut self, timing: &Timing, now: u64) -> Outlook {
            for _ in 0..8 {
                let outlook = rollover::next(&self.times(), timing, now);
                if outlook.actions.is_empty() {
                    self.holds(timing, now);
                    return outlook;
                }
                self.act(&outlook.actions, now, timing);
            }
            panic!("there is no end to it: {:?}", self.keys);
        }

        fn act(&mut self, actions: &[Action], now: u64, timing: &Timing) {
            let mut removed = Vec::new();
            for action in actions {
                match *action {
                    Action::Make { is_entry, state } => {
                        self.made += 1;
                        let times = KeyTimes { is_entry, state, since: now, trusted: None };
                        self.keys.push(Seen { times, name: self.made, published: now });
                    }
                    Action::Become(nth, state) => {
                        let key = &mut self.keys[nth];
                        if key.times.is_entry && state == KeyState::Submitted {
                            assert!(now >= key.published + timing.dnskey_ttl + timing.propagation);
                        }
                        key.times = KeyTimes { state, since: now, trusted: None, ..key.times };
                    }
                    Action::Remove(nth) => {
                        let key = &self.keys[nth];
                        assert_eq!(key.times.state, KeyState::Retired);
                        assert!(now >= key.times.since + timing.ttl_max, "its signatures are remembered");
                        removed.push(nth);
                    }
                }
            }
            removed.sort_unstable();
            for nth in removed.into_iter().rev() {
                self.keys.remove(nth);
            }
        }

        /// Each DS that anybody remembers leads to a key that signs, and has done so for as long as keys are remembered.
        fn holds(&self, timing: &Timing, now: u64) {
            let before = self.ds_before.filter(|(_, until)| *until > now).map(|(name, _)| name);
            for name in std::iter::once(self.ds).chain(before) {
                let key = self.keys.iter().find(|key| key.name == name).expect("a DS leads to a key");
                assert_ne!(key.times.state, KeyState::Retired, "a DS leads to a key that signs");
                let is_known = key.published == START || now >= key.published + timing.dnskey_ttl;
                assert!(is_known, "whoever has the DS knows the key");
            }
            let entry =
                |state| self.keys.iter().filter(|key| key.times.is_entry && key.times.state == state).count();
            assert_eq!(entry(KeyState::Active), 1);
            assert!(entry(KeyState::Published) + entry(KeyState::Submitted) <= 1);
        }

        fn submitted(&self) -> Option<usize> {
            self.keys.iter().position(|key| key.times.state == KeyState::Submitted)
        }

        /// The zone above points to the key that CDS names.
        fn parent_follows(&mut self, ttl: u64, now: u64) {
            if let Some(nth) = self.submitted().filter(|nth| self.keys[*nth].name != self.ds) {
                self.ds_before = Some((self.ds, now + ttl));
                self.ds = self.keys[nth].name;
            }
        }

        /// It is seen that it does.
        fn parent_is_seen(&mut self, ttl: u64, now: u64) {
            if let Some(nth) = self.submitted().filter(|nth| self.keys[*nth].name == self.ds) {
                self.keys[nth].times.trusted.get_or_insert(now + ttl);
            }
        }
    }

    #[test]
    fn a_key_is_published_submitted_waited_for_and_retired() {
        for keys in [KeyLayout::Csk, KeyLayout::KskZsk] {
            let timing = timing(keys, Some(90 * DAY));
            let mut world = World::new();
            let mut now = START;
            let state = |world: &World| {
                world
                    .keys
                    .iter()
                    .filter(|key| key.times.is_entry)
                    .map(|key| key.times.state)
                    .collect::<Vec<_>>()
            };
            let outlook = world.step(&timing, now);
            assert!(
                outlook.later.iter().any(|later| (later.step, later.at) == (Step::Replace, now + 90 * DAY))
            );
            now += 90 * DAY;
            let outlook = world.step(&timing, now);
            assert_eq!(state(&world), [KeyState::Active, KeyState::Published]);
            assert!(
                outlook.later.iter().any(|later| (later.step, later.at) == (Step::Submit, now + 2 * HOUR))
            );
            now += 2 * HOUR;
            let outlook = world.step(&timing, now);
            assert_eq!(state(&world), [KeyState::Active, KeyState::Submitted]);
            assert_eq!(outlook.first(), None, "it is the zone above's turn");
            now += 400 * DAY;
            world.step(&timing, now);
            assert_eq!(state(&world), [KeyState::Active, KeyState::Submitted], "however long it takes");
            world.parent_follows(DAY, now);
            world.parent_is_seen(DAY, now);
            let outlook = world.step(&timing, now);
            assert_eq!(outlook.first(), Some(now + DAY));
            now += DAY;
            let outlook = world.step(&timing, now);
            assert_eq!(state(&world), [KeyState::Retired, KeyState::Active]);
            assert_eq!(outlook.first(), Some(now + 2 * DAY + HOUR));
            now += 2 * DAY + HOUR;
            let outlook = world.step(&timing, now);
            assert_eq!(state(&world), [KeyState::Active]);
            assert_eq!(outlook.first(), Some(now + 90 * DAY - 2 * DAY - HOUR));
        }
    }

    #[test]
    fn without_an_age_nothing_begins_and_what_began_is_finished() {
        let (rolling, never) = (timing(KeyLayout::Csk, Some(DAY)), timing(KeyLayout::Csk, None));
        let mut world = World::new();
        world.step(&never, START);
        assert_eq!(world.step(&never, START + 4000 * DAY).first(), None);
        let now = START + 4000 * DAY;
        world.step(&rolling, now);
        world.step(&never, now + DAY);
        assert!(world.submitted().is_some());
    }

    #[test]
    fn a_key_whose_forerunner_was_taken_away_takes_its_place() {
        let timing = timing(KeyLayout::Csk, Some(DAY));
        for after in [DAY, DAY + 3 * HOUR] {
            let mut world = World::new();
            world.step(&timing, START);
            world.step(&timing, START + DAY);
            world.step(&timing, START + after);
            world.keys.remove(0);
            let outlook = rollover::next(&world.times(), &timing, START + after);
            assert_eq!(outlook.actions, [Action::Become(0, KeyState::Active)]);
        }
    }

    proptest! {
        /// Whatever comes in whatever order: time, the zone above, who looks at it, restarts (which are all there is between two steps).
        #[test]
        fn no_order_of_events_leaves_a_ds_without_its_key(
            is_split in any::<bool>(),
            events in proptest::collection::vec((0u8..5, 0u64..3 * DAY), 1..200),
        ) {
            let keys = if is_split { KeyLayout::KskZsk } else { KeyLayout::Csk };
            let timing = timing(keys, Some(5 * DAY));
            let (mut world, mut now) = (World::new(), START);
            world.step(&timing, now);
            for (event, time) in events {
                match event {
                    0 => world.parent_follows(DAY, now),
                    1 => world.parent_is_seen(DAY, now),
                    2 => now += time,
                    3 => now += time / 1000,
                    // To the moment at which something is due.
                    _ => {
                        let due = rollover::next(&world.times(), &timing, now).first();
                        now = due.unwrap_or(now);
                    }
                }
                world.step(&timing, now);
            }
        }
    }
}
