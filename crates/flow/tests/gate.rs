//! The gate as its users see it, one event after the other.

use flow::{Gate, Permit, Refused};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);

type Entering<'a> = Pin<Box<dyn Future<Output = Result<Permit, Refused>> + 'a>>;

fn poll(entering: &mut Entering<'_>) -> Poll<Result<Permit, Refused>> {
    entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Somebody who stands in line.
fn waiter(gate: &Gate) -> Entering<'_> {
    let mut entering: Entering<'_> = Box::pin(gate.enter());
    assert!(poll(&mut entering).is_pending(), "there was a permit");
    entering
}

fn is_served(entering: &mut Entering<'_>) -> bool {
    matches!(poll(entering), Poll::Ready(Ok(_)))
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_permits_as_the_limit_says() {
    let gate = Gate::new(2, 0, WAIT);
    let (first, second) = (gate.try_enter(), gate.try_enter());
    assert!(first.is_some() && second.is_some());
    assert!(gate.try_enter().is_none());
    assert_eq!((gate.inflight(), gate.waiting()), (2, 0));
    drop(first);
    assert_eq!(gate.inflight(), 1);
    assert!(gate.try_enter().is_some());
}

#[tokio::test(start_paused = true)]
async fn permits_go_to_those_who_wait_in_the_order_they_came() {
    let gate = Gate::new(1, 3, WAIT);
    let held = gate.try_enter().unwrap();
    let (mut first, mut second, mut third) = (waiter(&gate), waiter(&gate), waiter(&gate));
    drop(held);
    assert!(poll(&mut third).is_pending() && poll(&mut second).is_pending());
    let Poll::Ready(Ok(held)) = poll(&mut first) else { panic!("the first in line has no permit") };
    drop(held);
    assert!(poll(&mut third).is_pending());
    assert!(is_served(&mut second));
    assert!(is_served(&mut third));
    assert_eq!((gate.inflight(), gate.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_the_line() {
    let gate = Gate::new(1, 1, WAIT);
    let held = gate.try_enter().unwrap();
    let mut first = waiter(&gate);
    drop(held);
    // The permit belongs to the waiter from now on, although it has not run yet.
    assert!(gate.try_enter().is_none());
    assert_eq!((gate.inflight(), gate.waiting()), (1, 0));
    assert!(is_served(&mut first));
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once_and_says_how_full_it_is() {
    let gate = Gate::new(1, 1, WAIT);
    let _held = gate.try_enter().unwrap();
    let _first = waiter(&gate);
    let refused = gate.enter().await.unwrap_err();
    assert_eq!(refused, Refused::Full { inflight: 1, inflight_max: 1, waiting: 1, queue_max: 1 });
    assert_eq!(refused.to_string(), "full: 1 in flight of 1, 1 waiting of 1");
}

#[tokio::test(start_paused = true)]
async fn with_no_line_or_no_time_to_wait_nobody_waits() {
    for gate in [Gate::new(1, 0, WAIT), Gate::new(1, 5, Duration::ZERO)] {
        let _held = gate.try_enter().unwrap();
        assert!(matches!(gate.enter().await, Err(Refused::Full { waiting: 0, .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_too_long_leaves_the_line_and_costs_no_permit() {
    let gate = Gate::new(1, 2, WAIT);
    let held = gate.try_enter().unwrap();
    let refused = gate.enter().await.unwrap_err();
    assert_eq!(refused, Refused::TimedOut { waited: WAIT, inflight_max: 1 });
    assert_eq!((gate.inflight(), gate.waiting()), (1, 0));
    drop(held);
    assert_eq!(gate.inflight(), 0);
    assert!(gate.try_enter().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_time_out_in_the_middle_of_the_line_keeps_the_order_of_the_others() {
    let gate = Gate::new(1, 9, Duration::from_secs(9));
    let held = gate.try_enter().unwrap();
    let mut first = waiter(&gate);
    gate.set(1, 9, WAIT);
    let mut hasty = waiter(&gate);
    gate.set(1, 9, Duration::from_secs(9));
    let mut last = waiter(&gate);
    tokio::time::advance(WAIT).await;
    assert!(matches!(poll(&mut hasty), Poll::Ready(Err(Refused::TimedOut { .. }))));
    assert_eq!(gate.waiting(), 2);
    drop(held);
    assert!(poll(&mut last).is_pending());
    assert!(is_served(&mut first));
    assert!(is_served(&mut last));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_with_the_deadline_is_not_refused() {
    let gate = Gate::new(1, 1, WAIT);
    let held = gate.try_enter().unwrap();
    let mut first = waiter(&gate);
    tokio::time::advance(WAIT * 2).await;
    drop(held);
    assert!(is_served(&mut first));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_the_line() {
    let gate = Gate::new(1, 2, WAIT);
    let held = gate.try_enter().unwrap();
    let (first, mut second) = (waiter(&gate), waiter(&gate));
    drop(first);
    assert_eq!(gate.waiting(), 1);
    drop(held);
    assert!(is_served(&mut second));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_after_being_called_passes_the_permit_on() {
    let gate = Gate::new(1, 2, WAIT);
    let held = gate.try_enter().unwrap();
    let (first, mut second) = (waiter(&gate), waiter(&gate));
    drop(held);
    assert_eq!((gate.inflight(), gate.waiting()), (1, 1));
    drop(first);
    assert!(is_served(&mut second));
    assert_eq!((gate.inflight(), gate.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_lets_waiters_in_at_once() {
    let gate = Gate::new(1, 3, WAIT);
    let _held = gate.try_enter().unwrap();
    let (mut first, mut second, mut third) = (waiter(&gate), waiter(&gate), waiter(&gate));
    gate.set(3, 3, WAIT);
    assert_eq!((gate.inflight(), gate.waiting()), (3, 1));
    assert!(poll(&mut third).is_pending());
    assert!(is_served(&mut first));
    assert!(is_served(&mut second));
    assert!(is_served(&mut third));
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_is_reached_as_permits_come_back() {
    let gate = Gate::new(3, 3, WAIT);
    let mut held: Vec<_> = (0..3).map(|_| gate.try_enter().unwrap()).collect();
    let mut first = waiter(&gate);
    gate.set(1, 0, WAIT);
    assert_eq!((gate.inflight(), gate.waiting()), (3, 1), "nobody is sent away");
    held.pop();
    held.pop();
    assert!(poll(&mut first).is_pending(), "one is still in flight, and the limit is one");
    held.pop();
    assert!(is_served(&mut first));
}

#[tokio::test(start_paused = true)]
async fn a_permit_works_on_any_thread() {
    let gate = Gate::new(1, 1, WAIT);
    let held = gate.try_enter().unwrap();
    let mut first = waiter(&gate);
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert!(is_served(&mut first));
}
