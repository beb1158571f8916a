//! The reaper on a clock that the tests set, against a map of what is planned.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use foundation_core::reaper::{Millis, Mortal, NEVER, Next, Reaper};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// How late a step may be for a deadline, as in the reaper.
const SLACK: Millis = 20;

#[derive(Default)]
struct Value {
    ended: AtomicUsize,
}

impl Mortal for Value {
    fn expire(&self) {
        self.ended.fetch_add(1, Relaxed);
    }
}

impl Value {
    fn ended(&self) -> usize {
        self.ended.load(Relaxed)
    }
}

/// What lies in a grave: counts its own drop.
struct Body(Arc<AtomicUsize>);

impl Drop for Body {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn never() -> impl FnMut() -> bool {
    || false
}

#[test]
fn each_value_ends_at_its_deadline_and_once() {
    let reaper = Reaper::<Value, Body>::new();
    let values: Vec<_> = (0..300).map(|_| Arc::new(Value::default())).collect();
    for (at, value) in values.iter().enumerate() {
        reaper.plan(at as u64, Arc::downgrade(value));
    }
    let ended = || values.iter().map(|value| value.ended()).collect::<Vec<_>>();
    for now in [99, 99, 250] {
        assert_eq!(reaper.step(now, never()), Next::At(now + 1));
        let expected: Vec<_> = (0..300).map(|at| usize::from(at <= now)).collect();
        assert_eq!(ended(), expected);
        assert_eq!(reaper.planned() as u64, 299 - now);
    }
    assert_eq!(reaper.step(NEVER - 1, never()), Next::Idle);
    assert_eq!(ended(), vec![1; 300]);
}

#[test]
fn what_is_forgotten_or_gone_does_not_end() {
    let reaper = Reaper::<Value, Body>::new();
    let (kept, gone) = (Arc::new(Value::default()), Arc::new(Value::default()));
    let first = reaper.plan(5, Arc::downgrade(&kept));
    let second = reaper.plan(5, Arc::downgrade(&kept));
    reaper.plan(5, Arc::downgrade(&gone));
    reaper.forget(5, first);
    reaper.forget(5, first);
    reaper.forget(6, second);
    drop(gone);
    assert_eq!(reaper.planned(), 2);
    assert_eq!(reaper.step(5, never()), Next::Idle);
    assert_eq!((kept.ended(), reaper.planned()), (1, 0));
}

#[test]
fn unattended_a_grave_is_refused_and_attended_it_waits_for_a_step() {
    let reaper = Reaper::<Value, Body>::new();
    let freed = Arc::new(AtomicUsize::new(0));
    assert!(reaper.bury(Body(freed.clone())).is_some());
    assert_eq!(freed.load(Relaxed), 1);

    reaper.attend(true);
    assert!(reaper.take_wanted() && !reaper.take_wanted());
    assert!(reaper.bury(Body(freed.clone())).is_none());
    assert_eq!(freed.load(Relaxed), 1);
    assert!(reaper.take_wanted() && !reaper.take_wanted());
    assert_eq!(reaper.step(0, never()), Next::Idle);
    assert_eq!(freed.load(Relaxed), 2);

    reaper.attend(false);
    assert!(reaper.bury(Body(freed.clone())).is_some());
    assert!(!reaper.take_wanted());
}

#[test]
fn what_was_planned_while_nobody_attended_is_asked_for_on_attending() {
    let reaper = Reaper::<Value, Body>::new();
    let value = Arc::new(Value::default());
    reaper.attend(false);
    reaper.plan(5, Arc::downgrade(&value));
    reaper.attend(true);
    assert!(reaper.take_wanted());
    assert_eq!(reaper.step(0, never()), Next::At(5));
    // Nothing that comes later than what the attendant knows wakes it.
    reaper.plan(6, Arc::downgrade(&value));
    assert!(!reaper.take_wanted());
}

#[test]
fn a_wake_up_that_did_not_arrive_is_asked_for_again() {
    let reaper = Reaper::<Value, Body>::new();
    reaper.plan(5, Weak::new());
    assert!(reaper.take_wanted() && !reaper.take_wanted());
    reaper.want();
    assert!(reaper.take_wanted() && !reaper.take_wanted());
}

#[test]
fn steps_that_others_take_do_not_hide_when_the_attendant_looks() {
    let reaper = Reaper::<Value, Body>::new();
    reaper.plan(1000, Weak::new());
    assert_eq!(reaper.step(0, never()), Next::At(1000));
    reaper.take_wanted();
    // The attendant looks at 1000, and another takes a step after each plan.
    let woken = (900..1000).rev().find(|deadline| {
        reaper.plan(*deadline, Weak::new());
        reaper.step(0, never());
        reaper.take_wanted()
    });
    assert_eq!(woken, Some(1000 - SLACK - 1));
}

#[test]
fn an_earlier_deadline_wakes_and_one_within_the_slack_does_not() {
    let reaper = Reaper::<Value, Body>::new();
    reaper.plan(1000, Weak::new());
    assert!(reaper.take_wanted());
    assert_eq!(reaper.step(0, never()), Next::At(1000));
    reaper.plan(1000 - SLACK, Weak::new());
    assert!(!reaper.take_wanted());
    reaper.plan(1000 - SLACK - 1, Weak::new());
    assert!(reaper.take_wanted());
}

#[test]
fn a_step_ends_when_it_is_enough_and_the_next_goes_on() {
    let reaper = Reaper::<Value, Body>::new();
    let freed = Arc::new(AtomicUsize::new(0));
    reaper.attend(true);
    for _ in 0..1000 {
        assert!(reaper.bury(Body(freed.clone())).is_none());
    }
    let left = Cell::new(10);
    let enough = || left.replace(left.get() - 1) == 1;
    assert_eq!(reaper.step(0, enough), Next::Now);
    assert_eq!(freed.load(Relaxed), 10);
    assert_eq!(reaper.step(0, never()), Next::Idle);
    assert_eq!(freed.load(Relaxed), 1000);

    // Ends come in batches: a step that has enough at once ends one of them.
    let values: Vec<_> = (0..1000).map(|_| Arc::new(Value::default())).collect();
    for value in &values {
        reaper.plan(1, Arc::downgrade(value));
    }
    assert_eq!(reaper.step(1, || true), Next::Now);
    let ended = values.iter().filter(|value| value.ended() == 1).count();
    assert!((1..=100).contains(&ended), "{ended} ended in one batch");
    assert_eq!(reaper.step(1, never()), Next::Idle);
    assert!(values.iter().all(|value| value.ended() == 1));
}

#[test]
fn a_value_whose_end_buries_is_freed_in_the_same_step() {
    static REAPER: Reaper<Digger, Body> = Reaper::new();
    struct Digger(Arc<AtomicUsize>);
    impl Mortal for Digger {
        fn expire(&self) {
            assert!(REAPER.bury(Body(self.0.clone())).is_none());
        }
    }

    REAPER.attend(true);
    let freed = Arc::new(AtomicUsize::new(0));
    let diggers: Vec<_> = (0..200).map(|_| Arc::new(Digger(freed.clone()))).collect();
    for digger in &diggers {
        REAPER.plan(1, Arc::downgrade(digger));
    }
    assert_eq!(REAPER.step(1, never()), Next::Idle);
    assert_eq!(freed.load(Relaxed), 200);
}

/// The end of a value may plan, forget and ask: no lock is held meanwhile.
#[test]
fn an_end_may_use_the_reaper() {
    static REAPER: Reaper<Restless, ()> = Reaper::new();
    struct Restless(AtomicUsize);
    impl Mortal for Restless {
        fn expire(&self) {
            let number = REAPER.plan(10, Weak::new());
            REAPER.forget(10, number);
            self.0.store(1 + REAPER.planned(), Relaxed);
        }
    }
    impl Drop for Restless {
        fn drop(&mut self) {
            REAPER.forget(0, 0);
        }
    }

    let value = Arc::new(Restless(AtomicUsize::new(0)));
    REAPER.plan(1, Arc::downgrade(&value));
    assert_eq!(REAPER.step(1, never()), Next::Idle);
    assert_eq!(value.0.load(Relaxed), 1);
}

#[derive(Clone, Debug)]
enum Call {
    Plan(Millis),
    Forget(Index),
    Step(Millis),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => (0..200u64).prop_map(Call::Plan),
        1 => any::<Index>().prop_map(Call::Forget),
        2 => (0..30u64).prop_map(Call::Step),
    ];
    vec(call, 0..120)
}

proptest! {
    #[test]
    fn plans_forgets_and_steps_behave_like_a_map(calls in calls()) {
        let reaper = Reaper::<Value, Body>::new();
        reaper.attend(true);
        let (mut values, mut model) = (Vec::new(), BTreeMap::new());
        let mut expected = BTreeSet::new();
        // The attendant: when it will step by itself, and whether it has been woken.
        let (mut now, mut known, mut woken) = (0, NEVER, true);
        for call in calls {
            match call {
                Call::Plan(ahead) => {
                    let value = Arc::new(Value::default());
                    let number = reaper.plan(now + ahead, Arc::downgrade(&value));
                    model.insert((now + ahead, number), values.len());
                    values.push(value);
                }
                Call::Forget(pick) if !model.is_empty() => {
                    let key = *model.keys().nth(pick.index(model.len())).unwrap();
                    reaper.forget(key.0, key.1);
                    model.remove(&key);
                }
                Call::Forget(_) => reaper.forget(now, u64::MAX),
                Call::Step(ahead) => {
                    now += ahead;
                    let due = model.extract_if(..=(now, u64::MAX), |_, _| true);
                    expected.extend(due.map(|(_, at)| at));
                    let next = model.keys().next().map_or(Next::Idle, |key| Next::At(key.0));
                    prop_assert_eq!(reaper.step(now, never()), next);
                    known = if let Next::At(time) = next { time } else { NEVER };
                    woken = false;
                }
            }
            prop_assert_eq!(reaper.planned(), model.len());
            for (at, value) in values.iter().enumerate() {
                prop_assert_eq!(value.ended(), usize::from(expected.contains(&at)));
            }
            let earliest = model.keys().next().map_or(NEVER, |key| key.0);
            woken |= reaper.take_wanted();
            prop_assert!(woken || known <= earliest.saturating_add(SLACK));
        }
    }
}
