//! One part of a store: what lies behind one lock.

use super::Limits;
use super::s3fifo::S3Fifo;
use super::table::{Removed, Slot, Table};
use super::wheel::Wheel;
use super::{Condition, Entry};
use crate::reaper::{Millis, NEVER};

/// What is kept in a shard of a store, with what says which entry goes when.
pub struct Shard<E> {
    table: Table<E>,
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

impl<E: Entry> Shard<E> {
    /// An empty shard.
    pub fn new(limits: &Limits) -> Self {
        Shard {
            table: Table::new(),
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
        let wheel = self.wheel.as_ref().map_or(0, |wheel| wheel.bytes()) as u64;
        let queue = self.queue.as_ref().map_or(0, |queue| queue.bytes()) as u64;
        self.table.bytes() + wheel + queue
    }

    /// Times that slots were given back.
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

    /// The table alone, for what ends a shard.
    pub fn into_table(self) -> Table<E> {
        self.table
    }

    /// The live slot of a key.
    #[inline]
    pub fn find(
        &self,
        hash: u32,
        is: impl Fn(&E) -> bool,
        now: impl FnOnce() -> Millis,
    ) -> Option<(u32, &Slot<E>)> {
        let at = self.table.find(hash, is)?;
        let slot = self.table.slot(at);
        (slot.deadline == NEVER || now() < slot.deadline).then_some((at, slot))
    }

    /// Counts a read of a slot where that decides anything.
    #[inline]
    pub fn count_read(&self, slot: &Slot<E>) {
        if self.queue.is_some() {
            slot.count_read();
        }
    }

    /// Calls `visit` with the live slots of one bucket; see [`Table::scan`].
    pub fn scan(&self, from: u32, now: Millis, mut visit: impl FnMut(&Slot<E>)) -> Option<u32> {
        self.table.scan(from, |slot| {
            if now < slot.deadline {
                visit(slot);
            }
        })
    }

    /// Puts an entry where the condition is met.
    pub fn put(
        &mut self,
        hash: u32,
        is: impl Fn(&E) -> bool,
        entry: E,
        (now, deadline): (Millis, Millis),
        condition: Condition,
    ) -> Written<E> {
        let found = self.table.find(hash, is);
        let live = found.filter(|at| now < self.table.slot(*at).deadline);
        let met = match condition {
            Condition::Always => true,
            Condition::Absent => live.is_none(),
            Condition::Version(version) => {
                live.is_some_and(|at| self.table.slot(at).version == version)
            }
        };
        if !met {
            return Written::Refused(entry);
        }
        self.version = self.version.wrapping_add(1);
        self.live += entry.bytes();
        let weight = weight(&entry);
        let Some(at) = found else {
            let at = self.table.insert(hash, entry, deadline, self.version);
            if let Some(queue) = &mut self.queue {
                queue.insert(at, hash, weight);
            }
            self.plan(at, now, deadline, false);
            return Written::Added;
        };
        let slot = self.table.slot_mut(at);
        let planned = slot.deadline != NEVER;
        let old = std::mem::replace(&mut slot.entry, entry);
        slot.deadline = deadline;
        slot.version = self.version;
        if live.is_some() {
            slot.count_read();
        } else {
            slot.forget_reads();
            self.expirations += 1;
        }
        if let Some(queue) = &mut self.queue {
            queue.reweigh(at, weight);
        }
        self.live -= old.bytes();
        self.plan(at, now, deadline, planned);
        Written::Replaced(old)
    }

    /// Sets a new end.
    pub fn touch(&mut self, at: u32, now: Millis, deadline: Millis) {
        let slot = self.table.slot_mut(at);
        let planned = slot.deadline != NEVER;
        slot.deadline = deadline;
        self.plan(at, now, deadline, planned);
    }

    /// Changes an entry in its place; its bytes stay as they are.
    pub fn modify<R>(&mut self, at: u32, change: impl FnOnce(&mut E) -> R) -> R {
        self.version = self.version.wrapping_add(1);
        let slot = self.table.slot_mut(at);
        slot.version = self.version;
        change(&mut slot.entry)
    }

    /// Takes a slot out.
    pub fn remove(&mut self, at: u32) -> Option<E> {
        let planned = self.table.slot(at).deadline != NEVER;
        if let Some(wheel) = self.wheel.as_mut().filter(|_| planned) {
            wheel.remove(at);
        }
        if let Some(queue) = &mut self.queue {
            queue.remove(at);
        }
        self.take_out(at)
    }

    /// Takes out an entry whose end has come, if `work` suffices to find one.
    pub fn expire(&mut self, now: Millis, work: &mut u32) -> Option<E> {
        let at = self.wheel.as_mut()?.due(now, work)?;
        if let Some(queue) = &mut self.queue {
            queue.remove(at);
        }
        self.expirations += 1;
        self.take_out(at)
    }

    /// Takes out what can best be missed.
    pub fn evict(&mut self) -> Option<E> {
        let table = &self.table;
        let at = self.queue.as_mut()?.evict(|at| table.slot(at).reads())?;
        if let Some(wheel) = &mut self.wheel {
            wheel.remove(at);
        }
        self.evictions += 1;
        self.take_out(at)
    }

    /// When to look for expired entries again.
    pub fn next(&self) -> Millis {
        let wheel = self.wheel.as_ref();
        wheel.and_then(|wheel| wheel.next()).unwrap_or(NEVER)
    }

    /// Takes a slot out that is in no list any more.
    fn take_out(&mut self, at: u32) -> Option<E> {
        let Removed { entry, moved } = self.table.remove(at)?;
        if let Some(from) = moved {
            if let Some(wheel) = &mut self.wheel {
                wheel.moved(from, at);
            }
            if let Some(queue) = &mut self.queue {
                queue.moved(from, at);
            }
        }
        self.live -= entry.bytes();
        Some(entry)
    }

    fn plan(&mut self, at: u32, now: Millis, deadline: Millis, planned: bool) {
        if deadline == NEVER && !planned {
            return;
        }
        let wheel = self.wheel.get_or_insert_with(|| Box::new(Wheel::new(now)));
        if planned {
            wheel.remove(at);
        }
        if deadline != NEVER {
            wheel.insert(at, deadline);
        }
    }
}

/// What an entry counts for a limit in bytes: itself, its slot and the way to it.
pub fn weight<E: Entry>(entry: &E) -> u64 {
    entry.bytes() + own_weight::<E>()
}

/// A slot, its buckets and its places in lists.
pub const fn own_weight<E>() -> u64 {
    size_of::<Slot<E>>() as u64 + 32
}
