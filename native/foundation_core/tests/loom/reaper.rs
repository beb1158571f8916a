//! Whoever plans or buries while the attendant steps: the attendant learns of it, by what its step
//! returns or by a wake-up.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use foundation_core::reaper::{Millis, Mortal, NEVER, Next, Reaper};
use foundation_core::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use loom::thread;

/// How late a step may be for a deadline, as in the reaper.
const SLACK: Millis = 20;

struct Nobody;

impl Mortal for Nobody {
    fn expire(&self) {}
}

trait Planner: Send + Sync + 'static {
    fn plan(&self, deadline: Millis);
    fn step(&self, now: Millis) -> Next;
    fn take_wanted(&self) -> bool;
}

impl Planner for Reaper<Nobody, u8> {
    fn plan(&self, deadline: Millis) {
        Reaper::plan(self, deadline, Weak::new());
    }

    fn step(&self, now: Millis) -> Next {
        Reaper::step(self, now, || false)
    }

    fn take_wanted(&self) -> bool {
        Reaper::take_wanted(self)
    }
}

/// A twin that asks when the next step is due before it has the lock.
struct Hasty {
    deadlines: Mutex<BTreeSet<Millis>>,
    next: AtomicU64,
    wanted: AtomicBool,
}

impl Planner for Hasty {
    fn plan(&self, deadline: Millis) {
        let next = self.next.load(Ordering::Relaxed);
        self.deadlines.lock().insert(deadline);
        if next == NEVER || deadline + SLACK < next {
            self.next.store(deadline.min(next), Ordering::Relaxed);
            self.wanted.store(true, Ordering::Release);
        }
    }

    fn step(&self, now: Millis) -> Next {
        let mut deadlines = self.deadlines.lock();
        deadlines.retain(|deadline| *deadline > now);
        let earliest = deadlines.first().copied();
        self.next
            .store(earliest.unwrap_or(NEVER), Ordering::Relaxed);
        earliest.map_or(Next::Idle, Next::At)
    }

    fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::AcqRel)
    }
}

/// Two threads plan and wake, as every NIF does, while the attendant steps.
fn nobody_sleeps_too_long<P: Planner>(make: impl Fn() -> P + Send + Sync + 'static) {
    loom::model(move || {
        let reaper = Arc::new(make());
        reaper.plan(5);
        reaper.step(0);
        reaper.take_wanted();

        let planners = [40, 10].map(|deadline| {
            let reaper = reaper.clone();
            thread::spawn(move || {
                reaper.plan(deadline);
                reaper.take_wanted()
            })
        });
        let next = reaper.step(5);
        let woken = planners.map(|planner| planner.join().unwrap());
        let in_time = matches!(next, Next::At(time) if time <= 10 + SLACK);
        assert!(
            in_time || woken.contains(&true) || reaper.take_wanted(),
            "lost"
        );
    });
}

#[test]
fn a_plan_beside_a_step_is_in_its_result_or_wakes() {
    nobody_sleeps_too_long(Reaper::<Nobody, u8>::new);
}

#[test]
#[should_panic(expected = "lost")]
fn a_look_before_the_lock_loses_a_wake_up() {
    nobody_sleeps_too_long(|| Hasty {
        deadlines: Mutex::new(BTreeSet::new()),
        next: AtomicU64::new(NEVER),
        wanted: AtomicBool::new(false),
    });
}

#[test]
fn what_is_buried_beside_a_step_is_freed_or_wakes() {
    loom::model(|| {
        let reaper = Arc::new(Reaper::<Nobody, Arc<()>>::new());
        reaper.attend(true);
        reaper.take_wanted();
        let grave = Arc::new(());

        let digger = {
            let (reaper, grave) = (reaper.clone(), grave.clone());
            thread::spawn(move || {
                assert!(reaper.bury(grave).is_none());
                reaper.take_wanted()
            })
        };
        reaper.step(0, || false);
        let woken = digger.join().unwrap();
        let freed = Arc::strong_count(&grave) == 1;
        assert!(freed || woken || reaper.take_wanted());
    });
}

/// Another process may step too: what it learns, the attendant does not.
#[test]
fn a_plan_beside_a_step_of_another_is_in_time_for_the_attendant_or_wakes() {
    loom::model(|| {
        let reaper = Arc::new(Reaper::<Nobody, u8>::new());
        Planner::plan(&*reaper, 100);
        let Next::At(attendant) = reaper.step(0, || false) else {
            panic!("nothing planned")
        };
        reaper.take_wanted();

        let other = {
            let reaper = reaper.clone();
            thread::spawn(move || reaper.step(0, || false))
        };
        let woken = [85, 70].map(|deadline| {
            Planner::plan(&*reaper, deadline);
            reaper.take_wanted()
        });
        other.join().unwrap();
        assert!(attendant <= 70 + SLACK || woken.contains(&true), "lost");
    });
}
