//! Shared terms with one thread: what each call does, one by one and in any sequence.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::witness::{Drops, Witness, keeper};
use foundation_core::reaper::{Millis, Mortal, NEVER, Next};
use foundation_core::shared_term::{Fault, Info, SMALL, SharedTerm, State};
use proptest::collection::vec;
use proptest::prelude::*;

type Term = SharedTerm<Witness>;

fn small(deadline: Millis) -> (Arc<Term>, Drops) {
    let drops = Drops::default();
    let term = SharedTerm::new(Witness::small(7, &drops), 0, deadline, keeper());
    (term, drops)
}

fn read(term: &Term, now: Millis) -> Result<u64, Fault> {
    term.read(now, Witness::read)
}

fn take(term: &Term, now: Millis) -> Result<u64, Fault> {
    term.take(now, Witness::read)
}

#[test]
fn it_is_read_any_number_of_times_and_taken_once() {
    let (term, drops) = small(NEVER);
    assert_eq!([read(&term, 0), read(&term, 1 << 60)], [Ok(7), Ok(7)]);
    assert_eq!((take(&term, 0), drops.count()), (Ok(7), 1));
    assert_eq!(take(&term, 0), Err(Fault::Released));
    assert_eq!(read(&term, 0), Err(Fault::Released));
    assert_eq!(term.info(0).reads, 3);
}

#[test]
fn released_it_is_gone_though_the_handle_stays() {
    let (term, drops) = small(NEVER);
    for _ in 0..2 {
        term.release();
        assert_eq!(drops.count(), 1);
        assert_eq!(read(&term, 0), Err(Fault::Released));
    }
}

#[test]
fn at_its_deadline_it_is_gone_whoever_looks_first() {
    type Look = fn(&Arc<Term>);
    let looks: [Look; 4] = [
        |term| assert_eq!(read(term, 10), Err(Fault::Expired)),
        |term| assert_eq!(take(term, 11), Err(Fault::Expired)),
        |term| assert_eq!(term.info(10).state, State::Ended(Fault::Expired)),
        |term| term.expire(),
    ];
    for look in looks {
        let (term, drops) = small(10);
        assert_eq!((read(&term, 9), drops.count()), (Ok(7), 0));
        look(&term);
        assert_eq!(drops.count(), 1);
        // The first end is the one that is told.
        term.release();
        assert_eq!(read(&term, 0), Err(Fault::Expired));
        assert_eq!(term.info(0).state, State::Ended(Fault::Expired));
    }
}

#[test]
fn forgotten_by_its_last_holder_it_is_gone_and_no_longer_planned() {
    let (keeper, drops) = (keeper(), Drops::default());
    let term = SharedTerm::new(Witness::small(7, &drops), 0, 10, keeper);
    assert_eq!(keeper.planned(), 1);
    let other = term.clone();
    drop(term);
    assert_eq!((drops.count(), keeper.planned()), (0, 1));
    drop(other);
    assert_eq!((drops.count(), keeper.planned()), (1, 0));
}

#[test]
fn every_end_takes_the_deadline_out() {
    type End = fn(Arc<Term>);
    let ends: [End; 4] = [
        |term| term.release(),
        |term| assert_eq!(take(&term, 0), Ok(7)),
        |term| assert_eq!(read(&term, 10), Err(Fault::Expired)),
        drop,
    ];
    for end in ends {
        let (keeper, drops) = (keeper(), Drops::default());
        let term = SharedTerm::new(Witness::small(7, &drops), 0, 10, keeper);
        let kept = term.clone();
        end(term);
        drop(kept);
        assert_eq!((drops.count(), keeper.planned()), (1, 0));
        assert_eq!(keeper.step(10, || false), Next::Idle);
    }
}

#[test]
fn a_reader_keeps_what_is_released_under_its_hands() {
    for large in [false, true] {
        let (keeper, drops) = (keeper(), Drops::default());
        keeper.attend(true);
        let make = if large {
            Witness::large
        } else {
            Witness::small
        };
        let term = SharedTerm::new(make(7, &drops), 0, NEVER, keeper);
        let value = term.read(0, |witness| {
            term.release();
            assert_eq!(read(&term, 0), Err(Fault::Released));
            keeper.step(0, || false);
            witness.read()
        });
        assert_eq!(value, Ok(7));
        assert_eq!(drops.count(), usize::from(!large));
        keeper.step(0, || false);
        assert_eq!(drops.count(), 1);
    }
}

#[test]
fn what_is_large_waits_for_a_step_and_is_freed_at_once_where_nobody_steps() {
    let (keeper, drops) = (keeper(), Drops::default());
    let large = |value| SharedTerm::new(Witness::large(value, &drops), 0, NEVER, keeper);
    large(1).release();
    assert_eq!(drops.count(), 1);

    keeper.attend(true);
    keeper.take_wanted();
    large(2).release();
    drop(large(3));
    assert_eq!(drops.count(), 1);
    assert!(keeper.take_wanted());
    assert_eq!(keeper.step(0, || false), Next::Idle);
    assert_eq!(drops.count(), 3);
}

#[test]
fn info_tells_age_bytes_and_what_remains_and_counts_nothing() {
    let drops = Drops::default();
    let term = SharedTerm::new(Witness::large(7, &drops), 100, 150, keeper());
    let info = |now, state, age, remaining| {
        let bytes = SMALL + 1;
        let expected = Info {
            state,
            bytes,
            age,
            remaining,
            reads: 0,
        };
        assert_eq!(term.info(now), expected);
    };
    info(100, State::Live, 0, Some(50));
    // A clock read before the term was made.
    info(90, State::Live, 0, Some(60));
    info(149, State::Live, 49, Some(1));
    info(150, State::Ended(Fault::Expired), 50, Some(0));
    info(1000, State::Ended(Fault::Expired), 900, Some(0));
    let (endless, _) = small(NEVER);
    assert_eq!(endless.info(5).remaining, None);
}

#[test]
fn faults_say_what_happened() {
    assert_eq!(Fault::Expired.to_string(), "the shared term has expired");
    assert_eq!(Fault::Released.to_string(), "the shared term was released");
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Read,
    Take,
    Release,
    Info,
    /// A step of the keeper, this much later.
    Step(Millis),
    /// Time that passes without one.
    Wait(Millis),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => Just(Call::Read),
        1 => Just(Call::Take),
        1 => Just(Call::Release),
        3 => Just(Call::Info),
        2 => (0..6u64).prop_map(Call::Step),
        2 => (0..6u64).prop_map(Call::Wait),
    ];
    vec(call, 0..20)
}

/// A shared term as one would describe it.
struct Model {
    ended: Option<Fault>,
    deadline: Millis,
    reads: u64,
}

impl Model {
    fn read(&mut self, now: Millis) -> Result<u64, Fault> {
        self.look(now);
        match self.ended {
            None => {
                self.reads += 1;
                Ok(7)
            }
            Some(fault) => Err(fault),
        }
    }

    fn look(&mut self, now: Millis) {
        if self.ended.is_none() && now >= self.deadline {
            self.ended = Some(Fault::Expired);
        }
    }

    fn end(&mut self) {
        self.ended = self.ended.or(Some(Fault::Released));
    }
}

proptest! {
    #[test]
    fn any_sequence_of_calls_behaves_like_the_model(
        calls in calls(),
        ttl in proptest::option::of(0..30u64),
        large: bool,
    ) {
        let (keeper, drops) = (keeper(), Drops::default());
        keeper.attend(true);
        let make = if large { Witness::large } else { Witness::small };
        let deadline = ttl.unwrap_or(NEVER);
        let term = SharedTerm::new(make(7, &drops), 0, deadline, keeper);
        let (mut now, mut model) = (0, Model { ended: None, deadline, reads: 0 });
        for call in calls {
            match call {
                Call::Read => prop_assert_eq!(read(&term, now), model.read(now)),
                Call::Take => {
                    prop_assert_eq!(take(&term, now), model.read(now));
                    model.end();
                }
                Call::Release => {
                    // It looks at no clock: what nobody saw expire can still be released.
                    term.release();
                    model.end();
                }
                Call::Info => {
                    model.look(now);
                    let info = term.info(now);
                    let state = model.ended.map_or(State::Live, State::Ended);
                    prop_assert_eq!((info.state, info.reads), (state, model.reads));
                    prop_assert_eq!((info.age, info.bytes), (now, term.bytes()));
                }
                Call::Step(later) => {
                    now += later;
                    keeper.step(now, || false);
                    model.look(now);
                }
                Call::Wait(later) => now += later,
            }
            if !large {
                prop_assert_eq!(drops.count(), usize::from(model.ended.is_some()));
            }
            let planned = model.ended.is_none() && deadline != NEVER;
            prop_assert_eq!(keeper.planned(), usize::from(planned));
        }
        drop(term);
        keeper.step(now, || false);
        prop_assert_eq!((drops.count(), keeper.planned()), (1, 0));
    }
}
