//! Every store there is, and what is left of those that ended: what the janitor's steps work on.

use std::sync::{Arc, Weak};

use super::shard::{Lists, Shard};
use super::table::Table;
use super::{Entry, Store};
use crate::reaper::{Millis, NEVER, Next};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, Queue, constructor};

/// Buckets freed between two looks at the clock.
const BATCH: usize = 16;

/// The entries of a shard that was cleared.
pub struct Remains<E: Entry> {
    table: Table<E>,
    dead: Arc<AtomicU64>,
    _lists: Lists,
}

impl<E: Entry> Remains<E> {
    /// Counts as dead until it is freed.
    pub fn new(shard: Shard<E>, dead: Arc<AtomicU64>) -> Self {
        dead.fetch_add(shard.live, Ordering::Relaxed);
        let (table, lists) = shard.into_parts();
        Remains {
            table,
            dead,
            _lists: lists,
        }
    }

    /// Frees some; whether there are more.
    fn free(&mut self) -> bool {
        let mut freed = 0;
        let mut more = true;
        for _ in 0..BATCH {
            match self.table.drain() {
                Some(entries) => freed += entries.map(|entry| entry.bytes()).sum::<u64>(),
                None => {
                    more = false;
                    break;
                }
            }
        }
        self.dead.fetch_sub(freed, Ordering::Relaxed);
        more
    }
}

/// How far a round through all stores has come.
struct Round {
    /// Stores that it has been to.
    at: usize,
    /// The earliest that any of them wants to be come to again.
    next: Millis,
}

/// All stores of a program.
pub struct Stores<E: Entry> {
    all: Mutex<Vec<Weak<Store<E>>>>,
    round: Mutex<Round>,
    remains: Queue<Remains<E>>,
    attended: AtomicBool,
    wanted: AtomicBool,
}

impl<E: Entry> Stores<E> {
    constructor! {
        /// None.
        pub fn new() -> Self {
            Stores {
                all: Mutex::new(Vec::new()),
                round: Mutex::new(Round { at: 0, next: NEVER }),
                remains: Queue::new(),
                attended: AtomicBool::new(false),
                wanted: AtomicBool::new(false),
            }
        }
    }

    /// Says whether somebody takes steps.
    pub fn attend(&self, attended: bool) {
        self.attended.store(attended, Ordering::SeqCst);
        self.wanted.store(attended, Ordering::SeqCst);
    }

    /// Whether the attendant should be woken. True once for each time that it should.
    #[inline]
    pub fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::AcqRel)
    }

    /// Bytes of the stores themselves, without their entries.
    pub fn overhead(&self) -> u64 {
        self.each().iter().map(|store| store.overhead()).sum()
    }

    /// The stores that live.
    pub fn each(&self) -> Vec<Arc<Store<E>>> {
        self.all.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Frees what was cleared until `enough` says so; whether there is more. Takes no lock.
    pub fn free(&self, mut enough: impl FnMut() -> bool) -> bool {
        while let Some(mut remains) = self.remains.pop() {
            if remains.free() {
                self.remains.push(remains);
            }
            if enough() {
                return !self.remains.is_empty();
            }
        }
        false
    }

    /// Frees what has expired until `enough` says so, and goes on from there the next time. Takes the
    /// locks that readers and writers take, each for a few microseconds: by a thread that is not
    /// kept from going on meanwhile.
    pub fn expire(&self, mut enough: impl FnMut() -> bool) -> Next {
        let mut round = self.round.lock();
        // Where stores have come or gone since, one may be passed over: the next round is soon.
        while let Some(store) = self.at(&mut round.at) {
            match store.expire(&mut enough) {
                Some(time) => round.next = round.next.min(time),
                None => return Next::Now,
            }
            round.at += 1;
            if enough() {
                return Next::Now;
            }
        }
        round.at = 0;
        match std::mem::replace(&mut round.next, NEVER) {
            NEVER => Next::Idle,
            time => Next::At(time),
        }
    }

    /// The store in that place, or the next that lives.
    fn at(&self, place: &mut usize) -> Option<Arc<Store<E>>> {
        let all = self.all.lock();
        let rest = all.get(*place..)?;
        let (skipped, store) = rest
            .iter()
            .enumerate()
            .find_map(|(skipped, store)| Some((skipped, store.upgrade()?)))?;
        *place += skipped;
        Some(store)
    }

    pub(super) fn add(&self, store: Weak<Store<E>>) {
        let mut all = self.all.lock();
        // Those that are gone go with the next that comes.
        all.retain(|store| store.strong_count() > 0);
        all.push(store);
    }

    /// Takes what is to be freed in steps; frees it here where nobody takes them.
    pub(super) fn bury(&self, mut remains: Remains<E>) {
        if self.attended.load(Ordering::SeqCst) {
            self.remains.push(remains);
            self.wanted.store(true, Ordering::Release);
        } else {
            while remains.free() {}
        }
    }
}

impl<E: Entry> Default for Stores<E> {
    fn default() -> Self {
        Self::new()
    }
}
