//! The operations of a store.

use std::sync::Arc;

use crossbeam::utils::CachePadded;
use smallvec::SmallVec;

use super::shapes::Shapes;
use super::shard::{Shard, Written, weight};
use super::stores::Stores;
use super::{Condition, Entry, Found, Key, Limits, Refusal, Stats};
use crate::reaper::{Millis, NEVER};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, RwLock};

/// Buckets that one call of a scan goes through, also where it meets nothing: entries whose end has
/// come, a million maybe.
const BUCKETS: u32 = 256;

/// A shard and what is known of it without its lock.
pub(super) struct Cell<E> {
    pub(super) shard: RwLock<Shard<E>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Entries, as the last writer left them.
    entries: AtomicU32,
    /// When the first of them ends, or earlier.
    pub(super) next: AtomicU64,
    /// Entries that made room, and entries whose end came.
    evictions: AtomicU64,
    expirations: AtomicU64,
}

/// What shards keep the limits by, each on a line of its own; untouched where there are none.
pub(super) struct Totals {
    pub(super) entries: CachePadded<AtomicU64>,
    pub(super) bytes: CachePadded<AtomicU64>,
}

/// A store. It is read and written by any thread.
pub struct Store<E: Entry> {
    pub(super) cells: Box<[CachePadded<Cell<E>>]>,
    pub(super) limits: Limits,
    pub(super) limited: bool,
    pub(super) totals: Totals,
    pub(super) closed: AtomicBool,
    shapes: Shapes,
    pub(super) clock: fn() -> Millis,
    /// Bytes of what was cleared and is not freed yet.
    pub(super) dead: Arc<AtomicU64>,
    pub(super) stores: &'static Stores<E>,
}

impl<E: Entry> Store<E> {
    /// An empty store, which `stores` knows of from now on.
    pub fn new(limits: Limits, clock: fn() -> Millis, stores: &'static Stores<E>) -> Arc<Self> {
        let cell = || {
            CachePadded::new(Cell {
                shard: RwLock::new(Shard::new(&limits)),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                entries: AtomicU32::new(0),
                next: AtomicU64::new(NEVER),
                evictions: AtomicU64::new(0),
                expirations: AtomicU64::new(0),
            })
        };
        let store = Arc::new(Store {
            cells: (0..limits.shards()).map(|_| cell()).collect(),
            limits,
            limited: limits.any(),
            totals: Totals {
                entries: CachePadded::new(AtomicU64::new(0)),
                bytes: CachePadded::new(AtomicU64::new(0)),
            },
            closed: AtomicBool::new(false),
            shapes: Shapes::new(),
            clock,
            dead: Arc::new(AtomicU64::new(0)),
            stores,
        });
        stores.add(Arc::downgrade(&store));
        store
    }

    /// Whether the store is closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What its entries have in common. They refer to it, so they are read while the store is
    /// there; to be dropped they need it not.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// What the store may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Calls `read` with a key's entry, and counts.
    #[inline]
    pub fn read<R>(
        &self,
        key: &Key<impl Fn(&E) -> bool>,
        read: impl FnOnce(Found<'_, E>) -> R,
    ) -> Option<R> {
        let cell = self.cell(key.hash);
        let shard = cell.shard.read();
        let Some((_, entry)) = shard.find(key.hash, &key.is, self.clock) else {
            cell.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        shard.count_read(entry);
        cell.hits.fetch_add(1, Ordering::Relaxed);
        Some(read(found(entry)))
    }

    /// As [`Self::read`], without counting.
    pub fn peek<R>(
        &self,
        key: &Key<impl Fn(&E) -> bool>,
        read: impl FnOnce(Found<'_, E>) -> R,
    ) -> Option<R> {
        let shard = self.cell(key.hash).shard.read();
        let (_, entry) = shard.find(key.hash, &key.is, self.clock)?;
        Some(read(found(entry)))
    }

    /// Puts an entry, and evicts some others where that takes it over a limit; see [`Self::over`].
    pub fn put(
        &self,
        key: &Key<impl Fn(&E) -> bool>,
        entry: E,
        deadline: Millis,
        condition: Condition,
    ) -> Result<(), Refusal> {
        let bytes = weight(&entry);
        if bytes > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(Refusal::TooLarge { bytes, limit });
        }
        let at = self.index(key.hash);
        let cell = &self.cells[at];
        let now = if deadline == NEVER && cell.next.load(Ordering::Relaxed) == NEVER {
            0
        } else {
            (self.clock)()
        };
        // What it replaces, and what goes for it, is dropped after the lock.
        let _gone = {
            let mut shard = cell.shard.write();
            // Under the lock, as closing empties each shard under its lock.
            if self.is_closed() {
                return Err(Refusal::Closed);
            }
            let may_add = !matches!(condition, Condition::Version(_));
            let evicted = match self.limited && may_add && !shard.has(key.hash, &key.is) {
                true => self.evict_for(cell, &mut shard, bytes),
                false => SmallVec::new(),
            };
            let before = shard.live;
            let written = shard.put(key.hash, &key.is, entry, (now, deadline), condition);
            let (old, added) = match written {
                Written::Added => (None, 1),
                Written::Replaced(old) => (Some(old), 0),
                Written::Refused(_entry) => return Err(Refusal::Conflict),
            };
            cell.note(&shard, deadline);
            if self.limited {
                let grown = shard.live.wrapping_sub(before);
                self.count(added, grown);
            }
            (old, evicted)
        };
        if self.limited && self.is_over() {
            self.make_room(at);
        }
        Ok(())
    }

    /// Takes a key's entry out.
    pub fn take(&self, key: &Key<impl Fn(&E) -> bool>) -> Option<E> {
        self.take_where(key, |_| true)
    }

    /// Takes a key's entry out where it is the one of this version.
    pub fn take_version(&self, key: &Key<impl Fn(&E) -> bool>, version: u32) -> Option<E> {
        self.take_where(key, |there| there == version)
    }

    fn take_where(
        &self,
        key: &Key<impl Fn(&E) -> bool>,
        wanted: impl FnOnce(u32) -> bool,
    ) -> Option<E> {
        let cell = self.cell(key.hash);
        let mut shard = cell.shard.write();
        let (place, entry) = shard.find(key.hash, &key.is, self.clock)?;
        if !wanted(entry.meta().version) {
            return None;
        }
        let entry = shard.remove(place)?;
        self.uncount(cell, &shard, &entry);
        Some(entry)
    }

    /// Sets a new end for a key's entry. Whether there is one.
    pub fn touch(&self, key: &Key<impl Fn(&E) -> bool>, deadline: Millis) -> bool {
        let cell = self.cell(key.hash);
        let now = (self.clock)();
        let mut shard = cell.shard.write();
        let Some((place, _)) = shard.find(key.hash, &key.is, || now) else {
            return false;
        };
        shard.touch(key.hash, place, now, deadline);
        cell.note(&shard, deadline);
        true
    }

    /// Changes a key's entry in its place; its bytes stay as they are, and all of it where `change`
    /// gives nothing.
    pub fn modify<R>(
        &self,
        key: &Key<impl Fn(&E) -> bool>,
        change: impl FnOnce(&mut E) -> Option<R>,
    ) -> Option<R> {
        let mut shard = self.cell(key.hash).shard.write();
        let (place, entry) = shard.find(key.hash, &key.is, self.clock)?;
        shard.count_read(entry);
        shard.modify(place, change)
    }

    /// Entries, those included whose end has come and that are not freed yet.
    pub fn len(&self) -> u64 {
        let counts = self.cells.iter().map(|cell| &cell.entries);
        counts
            .map(|entries| u64::from(entries.load(Ordering::Relaxed)))
            .sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` with entries until it has seen `enough`, or for a bounded time, and gives where to go on.
    /// Every entry that stays from the first call (with 0) to the last is seen once; one that is put meanwhile
    /// may be.
    pub fn scan(
        &self,
        cursor: u64,
        mut visit: impl FnMut(Found<'_, E>),
        mut enough: impl FnMut() -> bool,
    ) -> Option<u64> {
        let now = (self.clock)();
        let (mut at, mut from) = ((cursor >> 32) as usize, cursor as u32);
        let mut buckets = 0;
        while let Some(cell) = self.cells.get(at) {
            let shard = cell.shard.read();
            while let Some(next) = shard.scan(from, now, |entry| visit(found(entry))) {
                (from, buckets) = (next, buckets + 1);
                if enough() || buckets == BUCKETS {
                    return Some((at as u64) << 32 | u64::from(from));
                }
            }
            (at, from) = (at + 1, 0);
            if enough() {
                break;
            }
        }
        (at < self.cells.len()).then_some((at as u64) << 32)
    }

    /// Entries that made room, and entries whose end came. Takes no lock, so it may be asked for by
    /// a thread that may lose its core meanwhile.
    pub fn losses(&self) -> (u64, u64) {
        self.cells.iter().fold((0, 0), |(evicted, expired), cell| {
            let evictions = cell.evictions.load(Ordering::Relaxed);
            let expirations = cell.expirations.load(Ordering::Relaxed);
            (evicted + evictions, expired + expirations)
        })
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            dead: self.dead.load(Ordering::Relaxed),
            overhead: self.overhead(),
            ..Stats::default()
        };
        for cell in &self.cells {
            let shard = cell.shard.read();
            stats.entries += shard.len() as u64;
            stats.live += shard.live;
            stats.hits += cell.hits.load(Ordering::Relaxed);
            stats.misses += cell.misses.load(Ordering::Relaxed);
            stats.evictions += cell.evictions.load(Ordering::Relaxed);
            stats.expirations += cell.expirations.load(Ordering::Relaxed);
            stats.compactions += shard.compactions();
        }
        stats
    }

    /// Bytes of the store itself and of the ways to its entries.
    pub fn overhead(&self) -> u64 {
        let own = size_of::<Self>() + size_of_val::<[CachePadded<Cell<E>>]>(&self.cells);
        let ways = self.cells.iter().map(|cell| cell.shard.read().overhead());
        own as u64 + self.shapes.bytes() + ways.sum::<u64>()
    }

    #[inline]
    pub(super) fn index(&self, hash: u32) -> usize {
        // The bits that tables use last.
        ((u64::from(hash) * self.cells.len() as u64) >> 32) as usize
    }

    #[inline]
    fn cell(&self, hash: u32) -> &Cell<E> {
        &self.cells[self.index(hash)]
    }
}

impl<E: Entry> Cell<E> {
    /// Leaves word of what is under the lock, before it is let go.
    #[inline]
    pub(super) fn note(&self, shard: &Shard<E>, deadline: Millis) {
        self.entries.store(shard.len() as u32, Ordering::Relaxed);
        self.evictions.store(shard.evictions, Ordering::Relaxed);
        self.expirations.store(shard.expirations, Ordering::Relaxed);
        if deadline < self.next.load(Ordering::Relaxed) {
            self.next.store(deadline, Ordering::Relaxed);
        }
    }
}

#[inline]
fn found<E: Entry>(entry: &E) -> Found<'_, E> {
    let meta = entry.meta();
    Found {
        entry,
        version: meta.version,
        deadline: meta.deadline(),
    }
}
