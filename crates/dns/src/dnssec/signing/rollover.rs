//! When keys come and go: a pure decision about keys and a time.
//!
//! A zone-signing key is published before it signs, so that whoever sees its signatures can know it (RFC 6781 §4.1.1.1), and stays
//! published after another one signs in its place, until nobody remembers its signatures. Of the key that the zone above points to,
//! see `entry`.

use super::config::KeyLayout;
use super::entry;
use serde::{Deserialize, Serialize};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyState {
    /// It is known, and does not sign yet; if the zone above is to point to it, just the keys.
    Published,
    /// The zone above is asked to point to it.
    Submitted,
    /// It signs.
    Active,
    /// It does not sign any more, and is known still.
    Retired,
}

impl KeyState {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Submitted => "submitted",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// A key, as far as its times are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    /// The zone above points to it.
    pub(crate) is_entry: bool,
    pub(crate) state: KeyState,
    /// Since when, in seconds since 1970.
    pub(crate) since: u64,
    /// If it is submitted, and the zone above points to it: from when on nobody remembers that it did not.
    pub(crate) trusted: Option<u64>,
}

/// What the times of keys depend on, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) keys: KeyLayout,
    /// How old a zone-signing key becomes.
    pub(crate) roll_over: Option<u64>,
    /// How old the key becomes that the zone above points to.
    pub(crate) entry_roll_over: Option<u64>,
    /// How long keys may be remembered.
    pub(crate) dnskey_ttl: u64,
    /// How long anything of the zone may be remembered.
    pub(crate) ttl_max: u64,
    /// What is allowed for secondaries to have the newest zone.
    pub(crate) propagation: u64,
}

/// What is to be done with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// One more key.
    Make { is_entry: bool, state: KeyState },
    /// The key of this number is in this state from now on.
    Become(usize, KeyState),
    /// The key of this number goes.
    Remove(usize),
}

/// What comes of a key by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another one is made to take its place.
    Replace,
    /// The zone above is asked to point to it.
    Submit,
    /// It takes another one's place.
    Activate,
    /// It goes.
    Remove,
}

impl Step {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replaced",
            Self::Submit => "submitted",
            Self::Activate => "active",
            Self::Remove => "removed",
        }
    }
}

/// Something that is to be done later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Later {
    /// The number of a key.
    pub(crate) key: usize,
    pub(crate) step: Step,
    /// When, in seconds since 1970.
    pub(crate) at: u64,
}

/// What is to be done now, and what there is next if nothing else happens.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    pub(crate) actions: Vec<Action>,
    pub(crate) later: Vec<Later>,
}

impl Outlook {
    /// When there is something next.
    pub(crate) fn first(&self) -> Option<u64> {
        self.later.iter().map(|later| later.at).min()
    }

    /// Does it if it is time.
    pub(super) fn at(&mut self, at: u64, now: u64, later: Later, actions: &[Action]) {
        if at <= now { self.actions.extend_from_slice(actions) } else { self.later.push(later) }
    }
}

/// What is to be done now, and later.
pub(crate) fn next(keys: &[KeyTimes], timing: &Timing, now: u64) -> Outlook {
    let mut outlook = Outlook::default();
    entry::next(keys, timing, now, &mut outlook);
    let zone_keys =
        |state| keys.iter().enumerate().filter(move |(_, key)| !key.is_entry && key.state == state);
    for (key, times) in zone_keys(KeyState::Retired) {
        let at = times.since + timing.ttl_max + timing.propagation;
        outlook.at(at, now, Later { key, step: Step::Remove, at }, &[Action::Remove(key)]);
    }
    if timing.keys == KeyLayout::Csk {
        // The key that the zone above points to is known already, and signs in their place.
        outlook.actions.extend(zone_keys(KeyState::Published).map(|(nth, _)| Action::Remove(nth)));
        let retired = zone_keys(KeyState::Active).map(|(nth, _)| Action::Become(nth, KeyState::Retired));
        outlook.actions.extend(retired);
        return outlook;
    }
    let known_after = timing.dnskey_ttl + timing.propagation;
    let oldest = zone_keys(KeyState::Active).min_by_key(|(_, key)| key.since);
    let due = oldest.map(|(nth, key)| (nth, timing.roll_over.map(|age| key.since + age)));
    match (due, zone_keys(KeyState::Published).next()) {
        (None, None) => {
            // Of a zone that was not signed before nobody remembers keys.
            let state = if keys.is_empty() { KeyState::Active } else { KeyState::Published };
            outlook.actions.push(Action::Make { is_entry: false, state });
        }
        (Some((_, None)), _) => {}
        (Some((key, Some(due))), None) => {
            let at = due.saturating_sub(known_after);
            let actions = [Action::Make { is_entry: false, state: KeyState::Published }];
            outlook.at(at, now, Later { key, step: Step::Replace, at }, &actions);
        }
        (due, Some((key, times))) => {
            let at = due.and_then(|(_, due)| due).unwrap_or(0).max(times.since + known_after);
            let mut actions = vec![Action::Become(key, KeyState::Active)];
            actions
                .extend(zone_keys(KeyState::Active).map(|(nth, _)| Action::Become(nth, KeyState::Retired)));
            outlook.at(at, now, Later { key, step: Step::Activate, at }, &actions);
        }
    }
    outlook
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const PROPAGATION: u64 = 3600;

    fn timing(keys: KeyLayout, roll_over: Option<u64>) -> Timing {
        Timing {
            keys,
            roll_over,
            entry_roll_over: None,
            dnskey_ttl: 3600,
            ttl_max: 2 * DAY,
            propagation: PROPAGATION,
        }
    }

    /// A zone's keys over time, with the rules that validators depend on checked at each step.
    struct World {
        keys: Vec<KeyTimes>,
        /// When each zone key was first and last known, and when it signed.
        made: usize,
    }

    impl World {
        fn step(&mut self, timing: &Timing, now: u64) -> Option<u64> {
            let Outlook { actions, later } = next(&self.keys, timing, now);
            let mut removed = Vec::new();
            for action in &actions {
                match *action {
                    Action::Make { is_entry, state } => {
                        self.made += 1;
                        self.keys.push(KeyTimes { is_entry, state, since: now, trusted: None });
                    }
                    Action::Become(nth, state) => {
                        let key = &mut self.keys[nth];
                        if state == KeyState::Active {
                            assert!(
                                now >= key.since + timing.dnskey_ttl,
                                "it signs, and is not known everywhere"
                            );
                        }
                        (key.state, key.since) = (state, now);
                    }
                    Action::Remove(nth) => {
                        let key = self.keys[nth];
                        assert!(!key.is_entry);
                        assert_ne!(key.state, KeyState::Active);
                        if key.state == KeyState::Retired {
                            assert!(now >= key.since + timing.ttl_max, "its signatures are remembered");
                        }
                        removed.push(nth);
                    }
                }
            }
            removed.sort_unstable();
            for nth in removed.into_iter().rev() {
                self.keys.remove(nth);
            }
            assert!(self.keys.iter().any(|key| key.is_entry && key.state == KeyState::Active));
            assert!(
                self.keys.iter().filter(|key| key.state == KeyState::Active && !key.is_entry).count() <= 1
            );
            if !actions.is_empty() {
                // All that is to be done is done at once.
                let outlook = next(&self.keys, timing, now);
                assert_eq!(outlook.actions, [], "{:?}", self.keys);
                return outlook.first();
            }
            later.iter().map(|later| later.at).min()
        }
    }

    #[test]
    fn zone_keys_roll_over_for_years() {
        let timing = timing(KeyLayout::KskZsk, Some(90 * DAY));
        let mut world = World { keys: Vec::new(), made: 0 };
        let mut now = 1_800_000_000;
        let end = now + 10 * 365 * DAY;
        let mut steps = 0;
        while now < end {
            let next = world.step(&timing, now).expect("there is always another roll-over");
            assert!(next > now);
            assert!(world.keys.len() <= 4);
            now = next;
            steps += 1;
        }
        // 40 keys in ten years, and the one that the zone above points to.
        assert_eq!(world.made, 42);
        assert!(steps < 200);
    }

    #[test]
    fn a_process_that_was_away_catches_up_without_breaking_what_others_remember() {
        let timing = timing(KeyLayout::KskZsk, Some(30 * DAY));
        for away in [DAY, 29 * DAY, 31 * DAY, 400 * DAY] {
            let mut world = World { keys: Vec::new(), made: 0 };
            let mut now = 1_800_000_000;
            for _ in 0..50 {
                world.step(&timing, now);
                now += away;
            }
        }
    }

    #[test]
    fn one_key_for_all_never_goes() {
        let timing = timing(KeyLayout::Csk, None);
        let mut world = World { keys: Vec::new(), made: 0 };
        assert_eq!(world.step(&timing, 1_800_000_000), None);
        assert_eq!(world.step(&timing, 4_000_000_000), None);
        assert_eq!(world.made, 1);
    }

    #[test]
    fn from_one_key_to_two_and_back() {
        let mut world = World { keys: Vec::new(), made: 0 };
        let mut now = 1_800_000_000;
        world.step(&timing(KeyLayout::Csk, None), now);
        let two = timing(KeyLayout::KskZsk, None);
        let next = world.step(&two, now).expect("the new key is to sign");
        assert_eq!(world.keys[1].state, KeyState::Published);
        assert_eq!(next, now + 3600 + PROPAGATION);
        now = next;
        assert_eq!(world.step(&two, now), None);
        assert_eq!(world.keys[1].state, KeyState::Active);
        let one = timing(KeyLayout::Csk, None);
        now = world.step(&one, now + DAY).expect("the old key is to go");
        assert_eq!(world.keys[1].state, KeyState::Retired);
        assert_eq!(world.step(&one, now), None);
        assert_eq!(world.keys.len(), 1);
    }
}
