//! What a shard's entries lie in: slots in a dense slab, found through a hash table that grows and
//! shrinks by one bucket at a time (linear hashing), so that no call pays for all of it.
//!
//! A slot that is removed is filled by the last one. Whoever else knows slots by their index is
//! told which one moved ([`Removed::moved`]).

use crate::sync::{AtomicU8, Ordering};

use super::chunked::Chunked;
use super::links::NONE;
use crate::reaper::Millis;

/// Buckets for each slot: chains stay short, at four bytes a bucket.
const BUCKETS_PER_SLOT: usize = 2;

/// Reads of a slot are counted up to here.
const MOST_READS: u8 = 3;

/// One entry and what the store knows of it.
pub struct Slot<E> {
    /// The entry.
    pub entry: E,
    /// When it ends.
    pub deadline: Millis,
    /// Which write of the shard it is of.
    pub version: u32,
    hash: u32,
    next: u32,
    reads: AtomicU8,
}

impl<E> Slot<E> {
    /// Counts a read, for whoever chooses what to evict.
    #[inline]
    pub fn count_read(&self) {
        // Two at once may count as one: it is a hint.
        let reads = self.reads.load(Ordering::Relaxed);
        if reads < MOST_READS {
            self.reads.store(reads + 1, Ordering::Relaxed);
        }
    }

    /// Forgets its reads: it holds another entry now.
    pub fn forget_reads(&self) {
        self.reads.store(0, Ordering::Relaxed);
    }

    /// Reads counted, at most three.
    pub fn reads(&self) -> &AtomicU8 {
        &self.reads
    }
}

/// A slot that was taken out.
pub struct Removed<E> {
    /// What it held.
    pub entry: E,
    /// The index whose slot lies where the removed one was, if another one was the last.
    pub moved: Option<u32>,
}

/// The slots and the way to them.
pub struct Table<E> {
    slots: Chunked<Slot<E>>,
    /// The first slot of each bucket's chain.
    buckets: Vec<u32>,
    compactions: u64,
}

impl<E> Table<E> {
    /// No slots.
    pub fn new() -> Self {
        Table {
            slots: Chunked::new(),
            buckets: Vec::new(),
            compactions: 0,
        }
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes taken, without what entries hold.
    pub fn bytes(&self) -> u64 {
        (self.slots.bytes() + self.buckets.capacity() * size_of::<u32>()) as u64
    }

    /// Times that the memory of slots was given back.
    pub fn compactions(&self) -> u64 {
        self.compactions
    }

    /// Takes over what another counted.
    pub fn keep_figures(&mut self, other: &Self) {
        self.compactions = other.compactions;
    }

    /// A slot.
    #[inline]
    pub fn slot(&self, at: u32) -> &Slot<E> {
        &self.slots[at]
    }

    /// A slot, to be changed.
    #[inline]
    pub fn slot_mut(&mut self, at: u32) -> &mut Slot<E> {
        &mut self.slots[at]
    }

    /// The slot of this hash whose entry is the one meant.
    #[inline]
    pub fn find(&self, hash: u32, is: impl Fn(&E) -> bool) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.buckets[bucket_of(hash, self.buckets.len())];
        while at != NONE {
            let slot = &self.slots[at];
            if slot.hash == hash && is(&slot.entry) {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    /// Adds a slot for an entry that is in none.
    pub fn insert(&mut self, hash: u32, entry: E, deadline: Millis, version: u32) -> u32 {
        self.grow();
        let bucket = bucket_of(hash, self.buckets.len());
        let at = self.slots.push(Slot {
            entry,
            deadline,
            version,
            hash,
            next: self.buckets[bucket],
            reads: AtomicU8::new(0),
        });
        self.buckets[bucket] = at;
        at
    }

    /// Takes a slot out.
    pub fn remove(&mut self, at: u32) -> Option<Removed<E>> {
        let next = self.slots[at].next;
        self.point(at, next);
        let last = self.slots.len() - 1;
        if at != last {
            self.point(last, at);
        }
        let before = self.slots.bytes();
        let removed = self.slots.swap_remove(at)?;
        self.compactions += u64::from(self.slots.bytes() < before);
        self.shrink();
        Some(Removed {
            entry: removed.entry,
            moved: (at != last).then_some(last),
        })
    }

    /// Takes the last slot out, without keeping the way to the others: for a table that ends.
    pub fn pop(&mut self) -> Option<E> {
        self.buckets = Vec::new();
        self.slots.pop().map(|slot| slot.entry)
    }

    /// Calls `visit` with the slots of the bucket in which `from` lies that are not before it, and
    /// gives where to go on. Positions are hashes read from their lowest bit: in this order a bucket
    /// that is split or joined meanwhile stays in one piece, so every slot that stays is met once.
    pub fn scan(&self, from: u32, mut visit: impl FnMut(&Slot<E>)) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let bucket = bucket_of(from.reverse_bits(), self.buckets.len());
        let mut at = self.buckets[bucket];
        while at != NONE {
            let slot = &self.slots[at];
            if slot.hash.reverse_bits() >= from {
                visit(slot);
            }
            at = slot.next;
        }
        match bits_of(bucket, self.buckets.len()) {
            0 => None,
            bits => {
                let size = 1u32 << (32 - bits);
                (from & !(size - 1)).checked_add(size)
            }
        }
    }

    /// Sets what leads to a slot.
    fn point(&mut self, at: u32, to: u32) {
        let bucket = bucket_of(self.slots[at].hash, self.buckets.len());
        let mut before = self.buckets[bucket];
        if before == at {
            self.buckets[bucket] = to;
            return;
        }
        while self.slots[before].next != at {
            before = self.slots[before].next;
        }
        self.slots[before].next = to;
    }

    /// Adds buckets for one more slot, each with what it takes from the one it splits.
    fn grow(&mut self) {
        let wanted = (self.len() + 1) * BUCKETS_PER_SLOT;
        // Never more than this at a time: the table is as far behind as it was at most.
        for _ in 0..BUCKETS_PER_SLOT {
            if self.buckets.len() >= wanted {
                return;
            }
            let new = self.buckets.len();
            if new == self.buckets.capacity() {
                // By a quarter: what a vector doubles would be half empty for long.
                self.buckets.reserve_exact(new / 4 + 4);
            }
            self.buckets.push(NONE);
            if new > 0 {
                self.split(source_of(new), new);
            }
        }
    }

    fn split(&mut self, from: usize, new: usize) {
        let count = self.buckets.len();
        let mut at = std::mem::replace(&mut self.buckets[from], NONE);
        while at != NONE {
            let slot = &mut self.slots[at];
            let bucket = bucket_of(slot.hash, count);
            debug_assert!(bucket == from || bucket == new);
            let next = std::mem::replace(&mut slot.next, self.buckets[bucket]);
            self.buckets[bucket] = at;
            at = next;
        }
    }

    /// Joins buckets where there are many more than slots.
    fn shrink(&mut self) {
        // As many as one slot less wants.
        for _ in 0..BUCKETS_PER_SLOT * 2 {
            // Half of what `grow` wants, so that taking and adding by turns does neither.
            if self.buckets.len() <= (self.len() * BUCKETS_PER_SLOT * 2).max(BUCKETS_PER_SLOT) {
                break;
            }
            self.join();
        }
        if self.buckets.capacity() > 64 && self.buckets.len() * 4 < self.buckets.capacity() {
            self.buckets.shrink_to(self.buckets.len() * 2);
        }
    }

    fn join(&mut self) {
        let Some(mut at) = self.buckets.pop() else {
            return;
        };
        let into = source_of(self.buckets.len());
        while at != NONE {
            let next = std::mem::replace(&mut self.slots[at].next, self.buckets[into]);
            self.buckets[into] = at;
            at = next;
        }
    }
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of a hash among `count`: as many low bits as tell them apart, one less where the
/// bucket with that bit set is not split off yet.
#[inline]
fn bucket_of(hash: u32, count: usize) -> usize {
    let mask = count.next_power_of_two() - 1;
    let bucket = hash as usize & mask;
    if bucket < count {
        bucket
    } else {
        bucket & (mask >> 1)
    }
}

/// The bucket that `bucket` was split off from: the same without its highest bit.
fn source_of(bucket: usize) -> usize {
    bucket & !(1 << bucket.ilog2())
}

/// Low bits that the hashes of a bucket have in common.
fn bits_of(bucket: usize, count: usize) -> u32 {
    let bits = count.ilog2();
    let whole = 1usize << bits;
    // Those that are split off, and those that they were split off from.
    let split = bucket >= whole || bucket < count - whole;
    if split { bits + 1 } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_of_a_bucket_shares_the_bits_that_it_has_in_common() {
        for count in 1..70usize {
            for hash in 0..512u32 {
                let bucket = bucket_of(hash, count);
                let mask = (1u64 << bits_of(bucket, count)) - 1;
                assert!(bucket < count);
                assert_eq!(u64::from(hash) & mask, bucket as u64 & mask);
            }
        }
    }

    #[test]
    fn a_new_bucket_takes_only_from_its_source() {
        for new in 1..70usize {
            for hash in 0..512u32 {
                let (before, after) = (bucket_of(hash, new), bucket_of(hash, new + 1));
                assert!(before == after || (before == source_of(new) && after == new));
            }
        }
    }
}
