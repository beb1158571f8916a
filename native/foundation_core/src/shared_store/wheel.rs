//! A hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987)
//! over the slots of a table.
//!
//! A tick is a millisecond, so deadlines are kept as they are. A deadline lies in the list that its
//! highest bits that differ from the present tick name: level 0 has a list for each of the 64 ticks
//! around the present one, level 1 for each of the 64 times 64 ticks, and so on up to 48 bits, which is
//! 8,900 years: nothing lies beyond. When time comes to a list of a higher level, its slots go to
//! lower levels one by one (they cascade); a bitmap a level tells where the next one is, so time that
//! nothing is planned for costs nothing.

use super::chunked::Sparse;
use super::links::{Links, List};
use crate::reaper::{Millis, NEVER};

/// Bits of a tick that name a list within a level.
const BITS: u32 = 6;
const LISTS: usize = 1 << BITS;
const LEVELS: usize = 8;

/// The last tick.
const END: u64 = (1 << (BITS * LEVELS as u32)) - 1;

/// Names one of the lists.
type Tag = u16;

const fn tag(level: usize, list: u64) -> Tag {
    (level * LISTS) as Tag | (list % LISTS as u64) as Tag
}

/// The bits of a tick that count at a level.
const fn part(tick: u64, level: usize) -> u64 {
    (tick >> (BITS * level as u32)) % LISTS as u64
}

/// The lists. A level takes memory from its first use on, 768 bytes.
#[derive(Debug, Default)]
struct Levels {
    lists: [Option<Box<[List; LISTS]>>; LEVELS],
    /// Which lists are not empty.
    used: [u64; LEVELS],
}

impl Levels {
    fn list(&mut self, tag: Tag) -> &mut List {
        let (level, list) = (tag as usize / LISTS, tag as usize % LISTS);
        let lists =
            self.lists[level].get_or_insert_with(|| Box::new([const { List::new() }; LISTS]));
        &mut lists[list]
    }

    /// Notes whether a list is empty.
    fn note(&mut self, tag: Tag) {
        let bit = 1 << (tag as usize % LISTS);
        let empty = self.list(tag).is_empty();
        let used = &mut self.used[tag as usize / LISTS];
        *used = if empty { *used & !bit } else { *used | bit };
    }

    /// The list that time comes to first: all deadlines of a level are before those of the next.
    fn first(&self) -> Option<Tag> {
        let level = self.used.iter().position(|used| *used != 0)?;
        Some(tag(level, u64::from(self.used[level].trailing_zeros())))
    }
}

/// Where a slot is: its tick and the list it is in, in one word; 0 when it is not on the wheel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(u64);

impl Place {
    const fn new(tick: u64, tag: Tag) -> Self {
        Place((tick << 16) | (tag as u64 + 1))
    }

    const fn tag(self) -> Option<Tag> {
        match self.0 as u16 {
            0 => None,
            tag => Some(tag - 1),
        }
    }

    const fn tick(self) -> u64 {
        self.0 >> 16
    }
}

/// Deadlines of slots. A slot is on it once at most.
#[derive(Debug)]
pub struct Wheel {
    origin: Millis,
    /// Ticks since `origin` that time has come to. Stands still while there is something to do here.
    tick: u64,
    levels: Levels,
    /// A list whose slots are going to lower levels. It starts at `tick`.
    cascading: Option<Tag>,
    links: Links,
    places: Sparse<Place>,
    len: u32,
}

impl Wheel {
    /// An empty wheel.
    pub fn new(now: Millis) -> Self {
        Wheel {
            origin: now,
            tick: 0,
            levels: Levels::default(),
            cascading: None,
            links: Links::new(),
            places: Sparse::new(),
            len: 0,
        }
    }

    /// Slots on it.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no slot is on it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its own memory: 16 a slot, in chunks of 256 slots.
    pub fn bytes(&self) -> usize {
        let levels = self.levels.lists.iter().flatten().count();
        size_of::<Self>()
            + levels * size_of::<[List; LISTS]>()
            + self.links.bytes()
            + self.places.bytes()
    }

    /// When a slot on the wheel is due.
    pub fn planned(&self, slot: u32) -> Option<Millis> {
        let place = self.places.get(slot);
        place.tag().map(|_| self.origin + place.tick())
    }

    /// Puts a slot on, in place of an earlier deadline of the same slot. One that is never due stays off.
    pub fn insert(&mut self, slot: u32, deadline: Millis) {
        self.remove(slot);
        if deadline != NEVER {
            let tick = self.ticks(deadline);
            self.put(slot, tick);
            self.len += 1;
        }
    }

    /// Takes a slot off, if it is on.
    pub fn remove(&mut self, slot: u32) {
        let place = self.places.set(slot, Place::default());
        if let Some(tag) = place.tag() {
            self.unlink(slot, tag);
            self.len -= 1;
        }
    }

    /// The slot `from` is now called `to`, which is no slot on the wheel.
    pub fn moved(&mut self, from: u32, to: u32) {
        let place = self.places.set(from, Place::default());
        if let Some(tag) = place.tag() {
            self.places.set(to, place);
            self.links.moved(self.levels.list(tag), from, to);
        }
    }

    /// Takes off a slot whose deadline has come. `None` when there is no other or when `work`, which
    /// each slot touched takes one from, is at its end: what is left goes on at the next call.
    pub fn due(&mut self, now: Millis, work: &mut u32) -> Option<u32> {
        let until = self.ticks(now);
        while let Some(tag) = self.come_to(until) {
            *work = work.checked_sub(1)?;
            let slot = self.links.front(self.levels.list(tag))?;
            let tick = self.places.get(slot).tick();
            if tick <= until {
                self.remove(slot);
                return Some(slot);
            }
            self.unlink(slot, tag);
            self.put(slot, tick);
        }
        None
    }

    /// When to call [`Wheel::due`] again: no later than the earliest deadline, or at once when slots
    /// whose deadlines passed before are left.
    pub fn next(&self) -> Option<Millis> {
        let first = self.levels.first()?;
        let tick = if self.cascading.is_some() {
            self.tick
        } else {
            self.start(first)
        };
        Some(self.origin + tick)
    }

    /// Lets time come to the next list with work to do by `until`.
    fn come_to(&mut self, until: u64) -> Option<Tag> {
        let first = self.levels.first();
        let start = first.map_or(u64::MAX, |tag| self.start(tag));
        // Slots that are due here come first: they end, the others only move.
        if self.cascading.is_some() && start > self.tick {
            return self.cascading.filter(|_| self.tick <= until);
        }
        if start > until {
            self.tick = self.tick.max(until);
            return None;
        }
        self.tick = start;
        self.cascading = self
            .cascading
            .or(first.filter(|tag| *tag as usize >= LISTS));
        first
    }

    /// The first tick of a list, which is not over.
    fn start(&self, tag: Tag) -> u64 {
        let (level, list) = (tag as usize / LISTS, tag as u64 % LISTS as u64);
        let low = BITS * level as u32;
        let above = self.tick >> low >> BITS << BITS;
        (above | list) << low
    }

    /// Ticks from the origin to a time.
    fn ticks(&self, time: Millis) -> u64 {
        time.saturating_sub(self.origin).min(END)
    }

    /// Puts a slot that is in no list where its tick belongs.
    fn put(&mut self, slot: u32, tick: u64) {
        let tick = tick.max(self.tick);
        let differ = (tick ^ self.tick) | 1;
        let level = (differ.ilog2() / BITS) as usize;
        let tag = tag(level, part(tick, level));
        self.places.set(slot, Place::new(tick, tag));
        self.links.push_back(self.levels.list(tag), slot);
        self.levels.note(tag);
    }

    /// Takes a slot out of its list.
    fn unlink(&mut self, slot: u32, tag: Tag) {
        self.links.remove(self.levels.list(tag), slot);
        self.levels.note(tag);
        if self.levels.list(tag).is_empty() && self.cascading == Some(tag) {
            self.cascading = None;
        }
    }
}
