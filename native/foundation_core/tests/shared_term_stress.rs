//! Shared terms under real threads: what the models of `tests/loom.rs` say, on the real slot and
//! the real queue.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use common::witness::{Drops, Witness, keeper};
use foundation_core::reaper::{Mortal, NEVER};
use foundation_core::shared_term::{Fault, Keeper, SharedTerm, State};

type Term = SharedTerm<Witness>;

const ROUNDS: u64 = 2_000;

/// Calls every function with the same term at once, from a thread each, and returns what they say.
fn at_once<R: Send + 'static>(term: &Arc<Term>, calls: &[fn(&Term) -> R]) -> Vec<R> {
    let barrier = Arc::new(Barrier::new(calls.len()));
    let threads: Vec<_> = calls
        .iter()
        .map(|call| {
            let (term, barrier, call) = (term.clone(), barrier.clone(), *call);
            thread::spawn(move || {
                barrier.wait();
                call(&term)
            })
        })
        .collect();
    let joined = threads.into_iter().map(|thread| thread.join());
    joined.map(|result| result.expect("no panic")).collect()
}

fn rounds(deadline: u64, mut round: impl FnMut(Arc<Term>, &'static Keeper<Witness>, u64, Drops)) {
    let keeper = keeper();
    keeper.attend(true);
    for value in 0..ROUNDS {
        let drops = Drops::default();
        let make = if value % 2 == 0 {
            Witness::small
        } else {
            Witness::large
        };
        let term = SharedTerm::new(make(value, &drops), 0, deadline, keeper);
        round(term, keeper, value, drops);
    }
    assert_eq!(keeper.planned(), 0);
}

#[test]
fn of_several_takes_exactly_one_wins() {
    rounds(NEVER, |term, keeper, value, drops| {
        let take = |term: &Term| term.take(0, Witness::read);
        let mut results = at_once(&term, &[take, take, take]);
        results.sort_by_key(Result::is_err);
        let lost = Err(Fault::Released);
        assert_eq!(results, [Ok(value), lost, lost]);
        drop(term);
        keeper.step(0, || false);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn readers_beside_every_end_read_all_or_nothing_and_it_is_dropped_once() {
    let read = |term: &Term| loop {
        match term.read(0, Witness::read) {
            Ok(_) => thread::yield_now(),
            Err(fault) => break Err(fault),
        }
    };
    let take = |term: &Term| term.take(0, Witness::read);
    let release = |term: &Term| {
        term.release();
        Err(Fault::Released)
    };
    let expire = |term: &Term| {
        term.expire();
        Err(Fault::Expired)
    };
    rounds(10, |term, keeper, value, drops| {
        let results = at_once(&term, &[read, read, take, release, expire]);
        let State::Ended(end) = term.info(0).state else {
            panic!("it is still alive");
        };
        // Readers are told of the one end that came first; only a take that won has the value.
        assert_eq!(results[..2], [Err(end), Err(end)]);
        match results[2] {
            Ok(taken) => assert_eq!((taken, end), (value, Fault::Released)),
            Err(fault) => assert_eq!(fault, end),
        }
        drop(term);
        // The number of an end that came by itself is not asked for: a step passes over it.
        keeper.step(10, || false);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn many_threads_make_read_and_forget_while_one_steps() {
    let keeper = keeper();
    keeper.attend(true);
    let (stop, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let stepper = {
        let stop = stop.clone();
        thread::spawn(move || {
            while !stop.load(SeqCst) {
                keeper.step(100, || false);
            }
        })
    };
    let makers: Vec<_> = (0..3)
        .map(|maker| {
            let made = made.clone();
            thread::spawn(move || {
                (0..5_000u64).for_each(|n| {
                    let drops = Drops::default();
                    let make = if n % 3 == 0 {
                        Witness::large
                    } else {
                        Witness::small
                    };
                    // Some are due at once, for the step to end; some never come due.
                    let deadline = [50, 1_000, NEVER][(n as usize + maker) % 3];
                    let term = SharedTerm::new(make(n, &drops), 0, deadline, keeper);
                    match term.read(0, Witness::read) {
                        Ok(value) => assert_eq!(value, n),
                        Err(fault) => assert_eq!((fault, deadline), (Fault::Expired, 50)),
                    }
                    made.fetch_add(1, SeqCst);
                })
            })
        })
        .collect();
    for maker in makers {
        maker.join().expect("no panic");
    }
    stop.store(true, SeqCst);
    stepper.join().expect("no panic");
    assert_eq!((made.load(SeqCst), keeper.planned()), (15_000, 0));
}
