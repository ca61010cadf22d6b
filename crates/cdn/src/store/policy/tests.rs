use super::*;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

struct Item {
    id: u64,
    frequency: Frequency,
}

impl Kept for Arc<Item> {
    fn frequency(&self) -> &Frequency {
        &self.frequency
    }

    fn fingerprint(&self) -> u64 {
        self.id
    }
}

fn item(id: u64) -> Arc<Item> {
    Arc::new(Item { id, frequency: Frequency::default() })
}

/// Puts items of one byte, and says which had to go.
fn put(policy: &mut Policy<Arc<Item>>, ids: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut evicted = Vec::new();
    for id in ids {
        assert!(matches!(policy.admit(item(id), 1, &mut evicted), Admission::Kept(_)));
    }
    evicted.iter().map(|item| item.id).collect()
}

fn kept(policy: &Policy<Arc<Item>>) -> HashSet<u64> {
    policy.items().map(|item| item.id).collect()
}

#[test]
fn what_is_asked_for_once_goes_in_the_order_in_which_it_came() {
    let mut policy = Policy::new(100);
    assert!(put(&mut policy, 0..100).is_empty());
    assert_eq!(put(&mut policy, 100..105), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_asked_for_again_outlives_a_scan() {
    let mut policy = Policy::new(100);
    put(&mut policy, 0..50);
    for item in policy.items() {
        item.frequency.mark();
        item.frequency.mark();
    }
    put(&mut policy, 1000..5000);
    let kept = kept(&policy);
    assert!((0..50).all(|id| kept.contains(&id)), "{kept:?}");
}

#[test]
fn what_comes_back_soon_after_it_went_is_not_new() {
    let mut policy = Policy::new(100);
    put(&mut policy, 0..110);
    // 0 to 9 are ghosts; the next scan takes only what is in the small queue.
    put(&mut policy, [3]);
    put(&mut policy, 1000..1200);
    assert!(kept(&policy).contains(&3));
    assert!(!kept(&policy).contains(&4));
}

#[test]
fn a_large_one_comes_in_at_its_second_request() {
    let mut policy = Policy::new(1000);
    put(&mut policy, 0..1000);
    let mut evicted = Vec::new();
    assert_eq!(policy.admit(item(5000), 300, &mut evicted), Admission::Later);
    assert!(evicted.is_empty());
    assert!(matches!(policy.admit(item(5000), 300, &mut evicted), Admission::Kept(_)));
    assert_eq!(evicted.len(), 300);
    assert_eq!(policy.admit(item(5001), 1001, &mut evicted), Admission::Never);
}

#[test]
fn one_that_is_replaced_keeps_its_queue_and_its_marks() {
    let mut policy = Policy::new(100);
    let Admission::Kept(place) = policy.admit(item(1), 1, &mut Vec::new()) else { panic!("there is room") };
    policy.items().for_each(|item| item.frequency.set(2));
    let (old, admission) = policy.replace(place, item(1), 40, &mut Vec::new());
    assert_eq!(old.id, 1);
    assert!(matches!(admission, Admission::Kept(_)), "large, but known");
    assert_eq!(policy.items().map(|item| item.frequency.get()).collect::<Vec<_>>(), [2]);
    assert_eq!(policy.bytes(), 40);
}

#[test]
fn a_smaller_bound_holds_at_once() {
    let mut policy = Policy::new(100);
    put(&mut policy, 0..100);
    let mut evicted = Vec::new();
    policy.resize(30, &mut evicted);
    assert_eq!((policy.bytes(), policy.len(), evicted.len()), (30, 30, 70));
}

proptest! {
    /// Any work: the bound holds, nothing is lost, and nothing is kept twice.
    #[test]
    fn the_bound_holds_and_all_is_accounted_for(
        steps in proptest::collection::vec((0u64..60, 1u64..40, 0u8..4), 1..400)
    ) {
        let mut policy: Policy<Arc<Item>> = Policy::new(200);
        let mut places: HashMap<u64, (Place, u64)> = HashMap::new();
        for (id, weight, action) in steps {
            let mut evicted = Vec::new();
            match (places.get(&id).copied(), action) {
                (Some((place, _)), 0) => {
                    prop_assert_eq!(policy.remove(place).id, id);
                    places.remove(&id);
                }
                (Some((place, _)), 1) => {
                    places.remove(&id);
                    if let (_, Admission::Kept(place)) = policy.replace(place, item(id), weight, &mut evicted) {
                        places.insert(id, (place, weight));
                    }
                }
                (Some(_), _) => policy.items().filter(|item| item.id == id).for_each(|item| item.frequency.mark()),
                (None, _) => if let Admission::Kept(place) = policy.admit(item(id), weight, &mut evicted) {
                    places.insert(id, (place, weight));
                },
            }
            for item in evicted {
                prop_assert!(places.remove(&item.id).is_some(), "evicted, but not there");
            }
            prop_assert!(policy.bytes() <= 200);
            prop_assert_eq!(policy.bytes(), places.values().map(|(_, weight)| weight).sum::<u64>());
            prop_assert_eq!(policy.len(), places.len());
            prop_assert_eq!(kept(&policy), places.keys().copied().collect());
        }
    }
}

#[test]
fn one_that_grows_large_is_let_in_as_what_is_new() {
    let mut policy = Policy::new(100);
    put(&mut policy, 0..99);
    let mut evicted = Vec::new();
    let Admission::Kept(place) = policy.admit(item(100), 1, &mut evicted) else { panic!("there is room") };
    let (_, admission) = policy.replace(place, item(100), 30, &mut evicted);
    assert_eq!((admission, evicted.len(), policy.bytes()), (Admission::Later, 0, 99));
    assert!(
        matches!(policy.admit(item(100), 30, &mut evicted), Admission::Kept(_)),
        "it was asked for again"
    );
}
