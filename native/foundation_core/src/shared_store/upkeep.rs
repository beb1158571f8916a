//! What keeps a store within its limits and frees what has ended.

use smallvec::SmallVec;

use super::Entry;
use super::shard::{OWN_WEIGHT, Shard};
use super::store::{Cell, Store};
use super::stores::Remains;
use crate::reaper::{Millis, NEVER};
use crate::sync::Ordering;

/// Entries that one hold of a lock takes out.
const BATCH: usize = 32;

/// Entries that one hold of a lock evicts: each may cost a hundred looks.
pub(super) const EVICTED: usize = 8;

/// Entries that one put evicts. What is large may want the room of thousands of small ones.
const MADE: usize = 16;

/// Steps that one hold of a lock makes to find expired entries.
const WORK: u32 = 256;

impl<E: Entry> Store<E> {
    /// Takes everything out.
    pub fn clear(&self) {
        for cell in &self.cells {
            let old = {
                let mut shard = cell.shard.write();
                let mut old = Shard::new(&self.limits);
                std::mem::swap(&mut *shard, &mut old);
                shard.keep_figures(&old);
                if self.limited {
                    let (entries, bytes) = (old.len() as u64, old.live);
                    self.count(entries.wrapping_neg(), bytes.wrapping_neg());
                }
                cell.next.store(NEVER, Ordering::Relaxed);
                cell.note(&shard, NEVER);
                old
            };
            if old.len() > 0 {
                let dead = self.dead.clone();
                self.stores.bury(Remains::new(old, dead));
            }
        }
    }

    /// Ends the store: nothing is found in it or put into it any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.clear();
    }

    /// Frees what has expired until `enough` says so, and tells when to come again; `None` for now.
    pub(super) fn expire(&self, enough: &mut impl FnMut() -> bool) -> Option<Millis> {
        let now = (self.clock)();
        let mut next = NEVER;
        for cell in &self.cells {
            // A deadline that has just passed may come off the wheel a tick later.
            while cell.next.load(Ordering::Relaxed) <= now && self.expire_some(cell, now) {
                if enough() {
                    return None;
                }
            }
            next = next.min(cell.next.load(Ordering::Relaxed).max(now + 1));
        }
        Some(next)
    }

    /// Frees some of what has expired; whether there was anything to do.
    fn expire_some(&self, cell: &Cell<E>, now: Millis) -> bool {
        // Dropped after the lock.
        let mut expired = SmallVec::<[E; BATCH]>::new();
        let mut shard = cell.shard.write();
        let mut work = WORK;
        while expired.len() < BATCH {
            match shard.expire(now, &mut work) {
                Some(entry) => expired.push(entry),
                None => break,
            }
        }
        cell.next.store(shard.next(), Ordering::Relaxed);
        let bytes = expired.iter().map(Entry::bytes).sum::<u64>();
        self.uncount_many(cell, &shard, expired.len(), bytes);
        drop(shard);
        work == 0 || !expired.is_empty()
    }

    /// Whether a limit is passed still after a put of this hash: then the number that [`Self::make_room`]
    /// wants.
    #[inline]
    pub fn over(&self, hash: u32) -> Option<usize> {
        (self.limited && self.is_over()).then(|| self.index(hash))
    }

    /// Evicts from a shard for an entry that is to come into it: before it is there, so that it does
    /// not go itself where all others have been read of late.
    pub(super) fn evict_for(
        &self,
        cell: &Cell<E>,
        shard: &mut Shard<E>,
        bytes: u64,
    ) -> SmallVec<[E; EVICTED]> {
        self.evict_while(cell, shard, EVICTED, |_| self.is_over_with(1, bytes))
    }

    /// Evicts some entries where a limit is passed: from the shards after the one that was written,
    /// then from that one while it has others than the newest, and that at last. Whether there is
    /// more to evict.
    pub fn make_room(&self, written: usize) -> bool {
        let last = self.cells.len();
        let mut left = MADE;
        let others = (1..=last).map(|step| (step, usize::from(step == last)));
        for (step, least) in others.chain([(last, 0)]) {
            let cell = &self.cells[(written % last + step) % last];
            while self.is_over() {
                let evicted = self.evict_some(cell, least, left.min(EVICTED));
                left -= evicted;
                if left == 0 {
                    return self.is_over();
                }
                if evicted == 0 {
                    break;
                }
            }
        }
        false
    }

    /// Evicts up to so many from one shard, and at `least` keeps that many; how many there were.
    fn evict_some(&self, cell: &Cell<E>, least: usize, most: usize) -> usize {
        // Dropped after the lock.
        let evicted = {
            let mut shard = cell.shard.write();
            self.evict_while(cell, &mut shard, most, |shard| {
                shard.len() > least && self.is_over()
            })
        };
        evicted.len()
    }

    /// Evicts up to so many from a shard, as long as they are wanted.
    fn evict_while(
        &self,
        cell: &Cell<E>,
        shard: &mut Shard<E>,
        most: usize,
        wanted: impl Fn(&Shard<E>) -> bool,
    ) -> SmallVec<[E; EVICTED]> {
        let mut evicted = SmallVec::new();
        while evicted.len() < most && wanted(shard) {
            let Some(entry) = shard.evict() else { break };
            self.uncount(cell, shard, &entry);
            evicted.push(entry);
        }
        evicted
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over_with(0, 0)
    }

    /// The same with what is to come.
    fn is_over_with(&self, entries: u64, bytes: u64) -> bool {
        let totals = &self.totals;
        totals.entries.load(Ordering::Relaxed) + entries > self.limits.entries
            || totals.bytes.load(Ordering::Relaxed) + bytes > self.limits.bytes
    }

    /// Adds to the totals; wrapped for what is taken.
    pub(super) fn count(&self, entries: u64, bytes: u64) {
        let weight = bytes.wrapping_add(entries.wrapping_mul(OWN_WEIGHT));
        self.totals.entries.fetch_add(entries, Ordering::Relaxed);
        self.totals.bytes.fetch_add(weight, Ordering::Relaxed);
    }

    pub(super) fn uncount(&self, cell: &Cell<E>, shard: &Shard<E>, entry: &E) {
        self.uncount_many(cell, shard, 1, entry.bytes());
    }

    fn uncount_many(&self, cell: &Cell<E>, shard: &Shard<E>, entries: usize, bytes: u64) {
        cell.note(shard, NEVER);
        if self.limited {
            self.count((entries as u64).wrapping_neg(), bytes.wrapping_neg());
        }
    }
}

impl<E: Entry> Drop for Store<E> {
    fn drop(&mut self) {
        self.close();
    }
}
