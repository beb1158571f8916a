//! Readers, takers and the three ends of a shared term, in every order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foundation_core::reaper::{Mortal, NEVER};
use foundation_core::shared_term::{Arena, Fault, Keeper, SMALL, SharedTerm, State};
use foundation_core::sync::{AtomicU8, Ordering, Slot};
use loom::cell::UnsafeCell;
use loom::thread;

/// An arena that loom watches: a drop beside a read is a race that it reports.
struct Witness {
    cell: UnsafeCell<()>,
    drops: Arc<AtomicUsize>,
    weight: u64,
}

// SAFETY: the cell is there to be watched by loom; nothing is written to it.
unsafe impl Sync for Witness {}

impl Witness {
    fn new(weight: u64) -> (Witness, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let witness = Witness {
            cell: UnsafeCell::new(()),
            drops: drops.clone(),
            weight,
        };
        (witness, drops)
    }

    fn read(&self) {
        self.cell.with(|_| assert_eq!(self.drops.load(Relaxed), 0));
    }
}

impl Arena for Witness {
    fn bytes(&self) -> u64 {
        8
    }

    fn weight(&self) -> u64 {
        self.weight
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.cell.with_mut(|_| self.drops.fetch_add(1, Relaxed));
    }
}

/// Terms live as long as their keeper, which each run of a model needs anew.
fn keeper() -> &'static Keeper<Witness> {
    Box::leak(Box::new(Keeper::new()))
}

#[test]
fn of_two_takes_and_a_release_one_ends_it() {
    loom::model(|| {
        let (witness, drops) = Witness::new(8);
        let term = SharedTerm::new(witness, 0, NEVER, keeper());
        let takers = [0, 1].map(|_| {
            let term = term.clone();
            thread::spawn(move || term.take(0, Witness::read))
        });
        term.release();
        assert_eq!(term.read(0, Witness::read), Err(Fault::Released));
        let taken = takers.map(|taker| taker.join().unwrap());
        assert_ne!(taken, [Ok(()), Ok(())]);
        assert_eq!(drops.load(Relaxed), 1);
        assert_eq!(term.info(0).state, State::Ended(Fault::Released));
    });
}

#[test]
fn a_reader_beside_a_release_reads_all_of_it_or_nothing() {
    loom::model(|| {
        let (witness, drops) = Witness::new(8);
        let term = SharedTerm::new(witness, 0, NEVER, keeper());
        let reader = {
            let term = term.clone();
            thread::spawn(move || term.read(0, Witness::read))
        };
        term.release();
        assert_eq!(term.read(0, Witness::read), Err(Fault::Released));
        assert!(matches!(
            reader.join().unwrap(),
            Ok(()) | Err(Fault::Released)
        ));
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn what_is_large_is_freed_by_a_step_after_its_reader() {
    loom::model(|| {
        let keeper = keeper();
        keeper.attend(true);
        keeper.take_wanted();
        let (witness, drops) = Witness::new(SMALL + 1);
        let term = SharedTerm::new(witness, 0, NEVER, keeper);
        let reader = {
            let term = term.clone();
            thread::spawn(move || term.read(0, Witness::read).is_ok())
        };
        term.release();
        keeper.step(0, || false);
        reader.join().unwrap();
        // Let go of by the release: freed in the step. By the reader: it asks for another.
        assert!(drops.load(Relaxed) == 1 || keeper.take_wanted());
        keeper.step(0, || false);
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn it_expires_once_for_its_reader_and_the_step() {
    loom::model(|| {
        let (keeper, (witness, drops)) = (keeper(), Witness::new(8));
        let term = SharedTerm::new(witness, 0, 10, keeper);
        let reader = {
            let term = term.clone();
            thread::spawn(move || term.read(10, Witness::read))
        };
        keeper.step(10, || false);
        assert_eq!(reader.join().unwrap(), Err(Fault::Expired));
        assert_eq!((drops.load(Relaxed), keeper.planned()), (1, 0));
    });
}

/// The part of a shared term that one take and one expiry need.
trait Ends: Send + Sync + 'static {
    fn new(witness: Witness) -> Arc<Self>;
    fn take(&self) -> bool;
    fn expire(&self);
    fn is_expired(&self) -> bool;
}

impl Ends for SharedTerm<Witness> {
    fn new(witness: Witness) -> Arc<Self> {
        SharedTerm::new(witness, 0, 10, keeper())
    }

    fn take(&self) -> bool {
        SharedTerm::take(self, 0, Witness::read).is_ok()
    }

    fn expire(&self) {
        Mortal::expire(self);
    }

    fn is_expired(&self) -> bool {
        self.info(0).state == State::Ended(Fault::Expired)
    }
}

/// A twin whose take changes the state first and fetches the value after it.
struct Hasty {
    state: AtomicU8,
    slot: Slot<Witness>,
}

impl Hasty {
    fn end(&self, state: u8) -> bool {
        self.state
            .compare_exchange(0, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Ends for Hasty {
    fn new(witness: Witness) -> Arc<Self> {
        Arc::new(Hasty {
            state: AtomicU8::new(0),
            slot: Slot::from_pointee(witness),
        })
    }

    fn take(&self) -> bool {
        self.end(2) && self.slot.swap(None).map(|witness| witness.read()).is_some()
    }

    fn expire(&self) {
        self.end(1);
        drop(self.slot.swap(None));
    }

    fn is_expired(&self) -> bool {
        self.state.load(Ordering::Acquire) == 1
    }
}

fn who_wins_a_take_gets_the_value<E: Ends>() {
    loom::model(|| {
        let (witness, drops) = Witness::new(8);
        let term = E::new(witness);
        let taker = {
            let term = term.clone();
            thread::spawn(move || term.take())
        };
        term.expire();
        let taken = taker.join().unwrap();
        assert!(taken != term.is_expired(), "lost");
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn of_a_take_and_an_expiry_one_wins_and_a_taker_that_wins_has_the_value() {
    who_wins_a_take_gets_the_value::<SharedTerm<Witness>>();
}

#[test]
#[should_panic(expected = "lost")]
fn a_take_that_holds_nothing_first_loses_the_value() {
    who_wins_a_take_gets_the_value::<Hasty>();
}
