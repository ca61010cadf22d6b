//! When what is fresh is asked for anew.

use super::*;

/// Whether it is due after so many milliseconds.
fn is_due(stored: &Stored, request: &str, permille: u32, after_ms: u64) -> bool {
    let policy = Policy { refresh_permille: permille, ..Policy::default() };
    let request = lines(request, NOW);
    let asked = Asked::of(Method::Get, Lines::of(request.as_bytes()));
    refresh_due(stored, &asked, &policy, at(NOW) + Duration::from_millis(after_ms)).is_some()
}

#[test]
fn the_last_part_of_its_time_is_when_a_response_is_refreshed() {
    let (minute, five) = (stored(), Stored { lifetime: 5, ..stored() });
    for (stored, permille, after_ms, expected) in [
        (&minute, 100, 53_999, false),
        (&minute, 100, 54_000, true),
        (&minute, 100, 59_999, true),
        (&minute, 100, 60_000, false),
        (&minute, 500, 30_000, true),
        (&minute, 0, 59_999, false),
        (&five, 100, 4_499, false),
        (&five, 100, 4_500, true),
    ] {
        assert_eq!(
            is_due(stored, "", permille, after_ms),
            expected,
            "{} s, {permille}, {after_ms}",
            stored.lifetime
        );
    }
}

#[test]
fn what_came_old_is_not_refreshed_at_once() {
    let old = Stored { initial_age: 58, ..stored() };
    assert!(!is_due(&old, "", 500, 0) && !is_due(&old, "", 500, 999));
    assert!(is_due(&old, "", 500, 1000));
    assert!(!is_due(&Stored { initial_age: 59, ..stored() }, "", 500, 500), "it is here for half a second");
    assert!(!is_due(&Stored { initial_age: 70, ..stored() }, "", 500, 1500), "it is stale");
}

#[test]
fn parts_and_authorized_requests_refresh_nothing() {
    assert!(!is_due(&stored(), "Authorization: Basic eA==", 100, 59_000));
    assert!(!is_due(&Stored { range: Some((0, 5)), ..stored() }, "", 100, 59_000));
}

#[test]
fn what_is_refreshed_stands_in_for_a_failing_origin_for_all_of_its_time() {
    let policy = Policy::default();
    let asked = Asked::default();
    let until = |stored: &Stored| refresh_due(stored, &asked, &policy, at(NOW + 57));
    assert_eq!(until(&Stored { must_revalidate: true, ..stored() }), Some(at(NOW + 60)));
    assert_eq!(until(&Stored { stale_if_error: 100, ..stored() }), Some(at(NOW + 160)));
}
