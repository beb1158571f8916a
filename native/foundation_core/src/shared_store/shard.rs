//! One part of a store: what lies behind one lock.

use super::chunked::Chunked;
use super::links::NONE;
use super::s3fifo::{Reads, S3Fifo};
use super::table::{Place, Table};
use super::wheel::Wheel;
use super::{Condition, Entry, Limits};
use crate::reaper::{Millis, NEVER};

/// What is kept in a shard of a store, with what says which entry goes when.
pub struct Shard<E> {
    table: Table<E>,
    /// The hashes of entries that lists know, by the number they know them by. Dense: the last
    /// number goes to the entry whose own is free. Entries without an end, in a store without
    /// limits, are in no list and have none.
    slots: Chunked<u32>,
    /// Ends of entries, once one has an end.
    wheel: Option<Box<Wheel>>,
    /// The order of eviction, where there are limits.
    queue: Option<Box<S3Fifo>>,
    /// Counts writes.
    version: u32,
    /// Bytes of the entries.
    pub live: u64,
    /// Entries whose end came.
    pub expirations: u64,
    /// Entries that made room.
    pub evictions: u64,
}

/// What a write did.
pub enum Written<E> {
    /// There was no entry.
    Added,
    /// There was one, which is the caller's to drop.
    Replaced(E),
    /// The condition was not met: the caller's own entry.
    Refused(E),
}

/// What knows entries that are gone: kept to be freed with them.
pub struct Lists {
    _slots: Chunked<u32>,
    _wheel: Option<Box<Wheel>>,
    _queue: Option<Box<S3Fifo>>,
}

impl<E: Entry> Shard<E> {
    /// An empty shard.
    pub fn new(limits: &Limits) -> Self {
        Shard {
            table: Table::new(),
            slots: Chunked::new(),
            wheel: None,
            queue: limits.any().then(|| Box::new(S3Fifo::new())),
            version: 0,
            live: 0,
            expirations: 0,
            evictions: 0,
        }
    }

    /// Entries, those included whose end has come and that are not freed yet.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of the way to the entries.
    pub fn overhead(&self) -> u64 {
        let wheel = self.wheel.as_ref().map_or(0, |wheel| wheel.bytes());
        let queue = self.queue.as_ref().map_or(0, |queue| queue.bytes());
        self.table.bytes() + (self.slots.bytes() + wheel + queue) as u64
    }

    /// Times that memory of the table was given back.
    pub fn compactions(&self) -> u64 {
        self.table.compactions()
    }

    /// Takes over what another counted.
    pub fn keep_figures(&mut self, other: &Self) {
        self.version = other.version;
        self.expirations = other.expirations;
        self.evictions = other.evictions;
        self.table.keep_figures(&other.table);
    }

    /// The table, and the lists that know its entries: for what ends a shard.
    pub fn into_parts(self) -> (Table<E>, Lists) {
        let lists = Lists {
            _slots: self.slots,
            _wheel: self.wheel,
            _queue: self.queue,
        };
        (self.table, lists)
    }

    /// Whether a key has an entry, also one whose end has come.
    pub fn has(&self, hash: u32, is: impl Fn(&E) -> bool) -> bool {
        self.table.find(hash, is).is_some()
    }

    /// The live entry of a key.
    #[inline]
    pub fn find(
        &self,
        hash: u32,
        is: impl Fn(&E) -> bool,
        now: impl FnOnce() -> Millis,
    ) -> Option<(Place, &E)> {
        let place = self.table.find(hash, is)?;
        let entry = self.table.entry(place)?;
        let deadline = entry.meta().deadline();
        (deadline == NEVER || now() < deadline).then_some((place, entry))
    }

    /// Counts a read of an entry where that decides anything.
    #[inline]
    pub fn count_read(&self, entry: &E) {
        if self.queue.is_some() {
            entry.meta().count_read();
        }
    }

    /// Calls `visit` with the live entries of one bucket; see [`Table::scan`].
    pub fn scan(&self, from: u32, now: Millis, mut visit: impl FnMut(&E)) -> Option<u32> {
        self.table.scan(from, |entry| {
            if now < entry.meta().deadline() {
                visit(entry);
            }
        })
    }

    /// Puts an entry where the condition is met.
    pub fn put(
        &mut self,
        hash: u32,
        is: impl Fn(&E) -> bool,
        mut entry: E,
        (now, deadline): (Millis, Millis),
        condition: Condition,
    ) -> Written<E> {
        let place = self.table.find(hash, is);
        let there = place.and_then(|place| self.table.entry(place));
        let there = there.map(Entry::meta);
        let live = there.filter(|meta| now < meta.deadline());
        let met = match condition {
            Condition::Always => true,
            Condition::Absent => live.is_none(),
            Condition::Version(version) => live.is_some_and(|meta| meta.version == version),
        };
        if !met {
            return Written::Refused(entry);
        }
        self.version = self.version.wrapping_add(1);
        let meta = entry.meta_mut();
        meta.version = self.version;
        meta.set_deadline(deadline);
        meta.slot = there.map_or(NONE, |meta| meta.slot);
        if let Some(live) = live {
            meta.set_reads(live.reads());
            meta.count_read();
        }
        self.expirations += u64::from(there.is_some() && live.is_none());
        self.list(hash, &mut entry, now, deadline);
        self.live += entry.bytes();
        match place.and_then(|place| self.table.entry_mut(place)) {
            Some(there) => {
                let old = std::mem::replace(there, entry);
                self.live -= old.bytes();
                Written::Replaced(old)
            }
            None => {
                self.table.insert(hash, entry);
                Written::Added
            }
        }
    }

    /// Sets a new end.
    pub fn touch(&mut self, hash: u32, place: Place, now: Millis, deadline: Millis) {
        // A new version: whoever puts on condition of the one before may have read the end with it.
        self.version = self.version.wrapping_add(1);
        let Some(entry) = self.table.entry_mut(place) else {
            return;
        };
        let meta = entry.meta_mut();
        meta.version = self.version;
        meta.set_deadline(deadline);
        if meta.slot == NONE && deadline != NEVER {
            meta.slot = self.slots.push(hash);
        }
        let slot = meta.slot;
        self.plan(slot, now, deadline);
    }

    /// Changes an entry in its place; its bytes stay as they are. Where `change` gives nothing it has
    /// changed nothing, and the version stays: else those who then put by version, for want of another
    /// way, would be in each other's.
    pub fn modify<R>(
        &mut self,
        place: Place,
        change: impl FnOnce(&mut E) -> Option<R>,
    ) -> Option<R> {
        let entry = self.table.entry_mut(place)?;
        let changed = change(entry)?;
        self.version = self.version.wrapping_add(1);
        entry.meta_mut().version = self.version;
        Some(changed)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, place: Place) -> Option<E> {
        let entry = self.table.remove(place)?;
        self.live -= entry.bytes();
        let slot = entry.meta().slot;
        if slot != NONE {
            if let Some(wheel) = &mut self.wheel {
                wheel.remove(slot);
            }
            if let Some(queue) = &mut self.queue {
                queue.remove(slot);
            }
            self.free_slot(slot);
        }
        Some(entry)
    }

    /// Takes out an entry whose end has come, if `work` suffices to find one.
    pub fn expire(&mut self, now: Millis, work: &mut u32) -> Option<E> {
        loop {
            let slot = self.wheel.as_mut()?.due(now, work)?;
            let place = self.place_of(slot)?;
            let deadline = self.table.entry(place)?.meta().deadline();
            if deadline <= now {
                self.expirations += 1;
                return self.remove(place);
            }
            self.plan(slot, now, deadline);
        }
    }

    /// Takes out what can best be missed.
    pub fn evict(&mut self) -> Option<E> {
        let (table, slots) = (&self.table, &self.slots);
        let meta = |slot| Some(table.entry(place_of(table, slots, slot)?)?.meta());
        let slot = self.queue.as_mut()?.evict(meta)?;
        self.evictions += 1;
        self.remove(self.place_of(slot)?)
    }

    /// When to look for expired entries again.
    pub fn next(&self) -> Millis {
        let wheel = self.wheel.as_ref();
        wheel.and_then(|wheel| wheel.next()).unwrap_or(NEVER)
    }

    /// Puts an entry on the lists that it belongs to.
    fn list(&mut self, hash: u32, entry: &mut E, now: Millis, deadline: Millis) {
        let weight = weight(entry);
        let slot = &mut entry.meta_mut().slot;
        let is_new = *slot == NONE;
        if is_new && (self.queue.is_some() || deadline != NEVER) {
            *slot = self.slots.push(hash);
        }
        match &mut self.queue {
            Some(queue) if is_new => queue.insert(*slot, hash, weight),
            Some(queue) => queue.reweigh(*slot, weight),
            None => (),
        }
        self.plan(*slot, now, deadline);
    }

    fn plan(&mut self, slot: u32, now: Millis, deadline: Millis) {
        if deadline != NEVER {
            let wheel = self.wheel.get_or_insert_with(|| Box::new(Wheel::new(now)));
            // An end that moves away, as it does with each overwriting, is looked up when the first
            // one comes: that is one step for all that came between.
            if wheel.planned(slot).is_none_or(|planned| deadline < planned) {
                wheel.insert(slot, deadline);
            }
        } else if let Some(wheel) = &mut self.wheel
            && slot != NONE
        {
            wheel.remove(slot);
        }
    }

    fn place_of(&self, slot: u32) -> Option<Place> {
        place_of(&self.table, &self.slots, slot)
    }

    /// Gives a number that is in no list any more to the entry that has the last one.
    fn free_slot(&mut self, slot: u32) {
        let last = self.slots.len() - 1;
        if slot != last {
            if let Some(place) = self.place_of(last)
                && let Some(entry) = self.table.entry_mut(place)
            {
                entry.meta_mut().slot = slot;
            }
            if let Some(wheel) = &mut self.wheel {
                wheel.moved(last, slot);
            }
            if let Some(queue) = &mut self.queue {
                queue.moved(last, slot);
            }
        }
        self.slots.swap_remove(slot);
    }
}

/// Where the entry lies that lists know by this number.
fn place_of<E: Entry>(table: &Table<E>, slots: &Chunked<u32>, slot: u32) -> Option<Place> {
    table.find(*slots.get(slot)?, |entry| entry.meta().slot == slot)
}

/// What an entry counts for a limit in bytes: itself and the way to it.
pub fn weight<E: Entry>(entry: &E) -> u64 {
    entry.bytes() + OWN_WEIGHT
}

/// An entry's part of buckets, and its places in lists.
pub const OWN_WEIGHT: u64 = 64;
