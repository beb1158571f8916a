//! Which binaries are held by whom, and how much of them nobody uses.
//!
//! A search hands in what each process lists (an element for every reference that it has), and, where
//! it could look into a process, which bytes are reached from there. Each binary counts once over all
//! holders; what of it is wasted is shared out among them in equal parts, so that sums agree.
//!
//! Waste is only what is proven. A binary counts as used whole where a reference to it is held by
//! nobody who was asked (a table, a port), and a holder that was not looked into uses as much of it as
//! its visible bytes allow.

mod listing;
mod ranges;
mod weigh;

use std::collections::HashMap;

pub use listing::{Held, Listing};
pub use ranges::{Range, Ranges};

use crate::memory::{Charge, Owner};

/// Pairs of a binary and a holder in one search, of 40 bytes each: no search takes more than 640 MiB.
pub const MOST: usize = 1 << 24;

/// Ranges in one search, of 16 bytes each: no more than 64 MiB.
const MOST_RANGES: usize = 1 << 22;

/// Between the address of a binary and its first byte lie at most this many. The next binary's first
/// byte is farther from a binary's end than that: an allocator's header and its own lie between.
const FRONT: u64 = 32;

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no room for more.
    #[error(
        "a search holds at most {MOST} pairs of a binary and its holder, and {MOST_RANGES} ranges"
    )]
    Full,
    /// Nothing was listed for this holder.
    #[error("nothing is listed for this process")]
    Unknown,
}

/// How far a holder was looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Not at all, or not to the end.
    #[default]
    None,
    /// What it is known to refer to was seen, and it may refer to more.
    Partial,
    /// All that it refers to was seen.
    Whole,
}

/// What a holder has done between two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// Anything.
    Worked,
    /// It was looked into, which may have been when its next collection was due.
    Looked,
    /// It was collected.
    Collected,
}

/// Bytes that a holder's references show, of its young generation and its old one. A reference to a
/// part that came by message shows its own bytes there, in the list those of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    /// Of the young generation.
    pub young: u64,
    /// Of the old one.
    pub old: u64,
}

impl Visible {
    fn all(self) -> u64 {
        self.young.saturating_add(self.old)
    }
}

/// What a search says of one holder, in bytes where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Who.
    pub key: u64,
    /// References in its list: their number.
    pub references: u64,
    /// Different binaries in its list: their number.
    pub binaries: u64,
    /// Those binaries, each once.
    pub held: u64,
    /// Of those, the ones that only it refers to.
    pub sole: u64,
    /// Of those, the ones of which every reference was seen.
    pub seen: u64,
    /// Its shares of what is wasted of binaries of which it uses a part.
    pub parts: u64,
    /// Its shares of what is wasted of binaries that it does not reach any more.
    pub unreachable: u64,
    /// The same binaries' waste in full, whoever else holds them.
    pub involved: u64,
    /// What of its shares rests on somebody who was only looked into in part.
    pub doubtful: u64,
    /// What collecting it gave back.
    pub freed: u64,
    /// What its references show.
    pub visible: Visible,
    /// How far it was looked into.
    pub look: Look,
}

impl Summary {
    /// Its shares of all waste.
    pub fn wasted(&self) -> u64 {
        self.parts + self.unreachable
    }
}

/// What a search says of all holders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Different binaries.
    pub binaries: u64,
    /// Their bytes, each once.
    pub held: u64,
    /// Bytes wasted of them.
    pub wasted: u64,
    /// What of that is doubtful.
    pub doubtful: u64,
    /// Bytes that collecting gave back.
    pub freed: u64,
    /// Bytes that references show beyond what is listed: the lists lack at least so much.
    pub hidden: u64,
}

/// One holder.
#[derive(Debug, Default)]
struct Holder {
    key: u64,
    held: Vec<Held>,
    references: u64,
    referenced: u64,
    visible: Visible,
    look: Look,
    collected: bool,
    freed: u64,
    ranges: Vec<Range>,
}

impl Holder {
    /// No more than this of any of its binaries is in sight. The VM counts words, each reference
    /// rounded down.
    fn most_used(&self) -> u64 {
        let rounded = self.references.saturating_mul(7);
        self.visible.all().saturating_add(rounded)
    }

    fn bytes(&self) -> u64 {
        let (held, ranges) = (self.held.capacity(), self.ranges.capacity());
        (held * size_of::<Held>() + ranges * size_of::<Range>()) as u64
    }
}

/// Where a pair of a binary and a holder is. Sorted by address, all holders of a binary lie together.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: u64,
    holder: u32,
    at: u32,
}

/// A search.
#[derive(Debug)]
pub struct Tally {
    holders: Vec<Holder>,
    index: HashMap<u64, u32>,
    pairs: usize,
    /// All pairs in order, once that is asked for.
    order: Vec<Place>,
    /// All holders' ranges: their number.
    ranges: usize,
    /// Bytes of all holders' lists.
    lists: u64,
    charge: Charge,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            holders: Vec::new(),
            index: HashMap::new(),
            pairs: 0,
            order: Vec::new(),
            ranges: 0,
            lists: 0,
            charge: Charge::new(Owner::LeakSearches, 0),
        }
    }
}

impl Tally {
    /// Takes a holder's list in place of what was known of it.
    pub fn list(&mut self, key: u64, listing: Listing, visible: Visible) -> Result<(), Fault> {
        let known = self.index.get(&key).copied();
        let before = known.map_or(0, |at| self.holders[at as usize].held.len());
        let (references, referenced) = (listing.references(), listing.referenced());
        let held = listing.into_held();
        let pairs = self.pairs - before + held.len();
        if pairs > MOST {
            return Err(Fault::Full);
        }
        let holder = Holder {
            key,
            held,
            references,
            referenced,
            visible,
            ..Holder::default()
        };
        self.lists += holder.bytes();
        match known {
            Some(at) => {
                let replaced = std::mem::replace(&mut self.holders[at as usize], holder);
                self.lists -= replaced.bytes();
                self.ranges -= replaced.ranges.len();
            }
            None => {
                self.index.insert(key, self.holders.len() as u32);
                self.holders.push(holder);
            }
        }
        (self.pairs, self.order) = (pairs, Vec::new());
        self.recharge();
        Ok(())
    }

    /// Adds bytes that are reached from a holder. They count once it was [`looked`](Self::looked) into.
    pub fn reached(&mut self, key: u64, ranges: Ranges) -> Result<(), Fault> {
        let at = *self.index.get(&key).ok_or(Fault::Unknown)? as usize;
        let holder = &mut self.holders[at];
        let before = (holder.bytes(), holder.ranges.len());
        let mut all = Ranges::from(std::mem::take(&mut holder.ranges));
        let fits = ranges
            .into_merged()
            .into_iter()
            .all(|range| all.push(range));
        let all = all.into_merged();
        let room = MOST_RANGES - (self.ranges - before.1);
        let fits = fits && all.len() <= room;
        if fits {
            holder.ranges = all;
        }
        self.ranges = self.ranges - before.1 + holder.ranges.len();
        self.lists = self.lists - before.0 + holder.bytes();
        self.recharge();
        if fits { Ok(()) } else { Err(Fault::Full) }
    }

    /// Says how far a holder was looked into.
    pub fn looked(&mut self, key: u64, look: Look) -> Result<(), Fault> {
        self.holder(key)?.look = look;
        Ok(())
    }

    /// Takes what a holder lists by now: what it has let go of counts no more, what is new does not
    /// count. Gives the bytes that went: binaries that it let go of and that nobody else held, less
    /// those that are new. They were garbage if the holder has done nothing in between but
    /// [`Meanwhile::Looked`] or [`Meanwhile::Collected`].
    ///
    /// A binary that has more references by now than were known is held by somebody who got it since.
    pub fn again(
        &mut self,
        key: u64,
        listing: Listing,
        meanwhile: Meanwhile,
    ) -> Result<u64, Fault> {
        let freed = self.drop_all_but(key, listing)?;
        let holder = self.holder(key)?;
        if meanwhile == Meanwhile::Worked {
            return Ok(0);
        }
        holder.collected |= meanwhile == Meanwhile::Collected;
        holder.freed += freed;
        Ok(freed)
    }

    fn drop_all_but(&mut self, key: u64, listing: Listing) -> Result<u64, Fault> {
        self.sort()?;
        let at = *self.index.get(&key).ok_or(Fault::Unknown)? as usize;
        let after = listing.into_held();
        let (mut freed, mut known) = (0, 0);
        for position in 0..self.holders[at].held.len() {
            let before = self.holders[at].held[position];
            let found = after.binary_search_by_key(&before.id, |held| held.id);
            let now = found.ok().map(|found| after[found]);
            let left = now.map_or(0, |now| now.references.min(before.references));
            if left < before.references {
                freed += self.let_go(before.id, at, left);
            }
            if let Some(now) = now {
                known += now.size;
                if self.holders[at].held[position].count < now.count {
                    self.raise(now.id, now.count);
                }
            }
        }
        let new = after.iter().map(|held| held.size).sum::<u64>() - known;
        Ok(freed.saturating_sub(new))
    }

    fn holder(&mut self, key: u64) -> Result<&mut Holder, Fault> {
        let at = *self.index.get(&key).ok_or(Fault::Unknown)?;
        Ok(&mut self.holders[at as usize])
    }

    /// Where all holders of a binary are in the order.
    fn places(&self, id: u64) -> std::ops::Range<usize> {
        let first = self.order.partition_point(|place| place.id < id);
        let places = self.order[first..].iter();
        first..first + places.take_while(|place| place.id == id).count()
    }

    /// Has every holder know of that many references to a binary at least.
    fn raise(&mut self, id: u64, count: u32) {
        for place in &self.order[self.places(id)] {
            let held = &mut self.holders[place.holder as usize].held[place.at as usize];
            held.count = held.count.max(count);
        }
    }

    /// Lowers a holder's references to a binary, and with them everybody's count of all. The
    /// binary's bytes where that was the last.
    fn let_go(&mut self, id: u64, holder: usize, left: u32) -> u64 {
        let places = &self.order[self.places(id)];
        let held = |place: &Place| &self.holders[place.holder as usize].held[place.at as usize];
        let Some(own) = places.iter().find(|place| place.holder as usize == holder) else {
            return 0;
        };
        let gone = held(own).references - left;
        let all = places.iter().map(|place| held(place).count).max();
        let size = places.iter().map(|place| held(place).size).max();
        for place in places {
            let held = &mut self.holders[place.holder as usize].held[place.at as usize];
            held.count = held.count.saturating_sub(gone);
            if place.holder as usize == holder {
                held.references = left;
            }
        }
        if gone > 0 && all.is_some_and(|all| all <= gone) {
            size.unwrap_or(0)
        } else {
            0
        }
    }

    /// Puts all pairs in order.
    fn sort(&mut self) -> Result<(), Fault> {
        if self.order.len() == self.pairs {
            return Ok(());
        }
        let mut order: Vec<Place> = Vec::new();
        order
            .try_reserve_exact(self.pairs)
            .map_err(|_| Fault::Full)?;
        for (holder, listed) in self.holders.iter().enumerate() {
            order.extend(listed.held.iter().enumerate().map(|(at, held)| Place {
                id: held.id,
                holder: holder as u32,
                at: at as u32,
            }));
        }
        // One holder's are in order.
        if self.holders.len() > 1 {
            order.sort_unstable_by_key(|place| place.id);
        }
        self.order = order;
        self.recharge();
        Ok(())
    }

    /// Enters what is held into the books.
    fn recharge(&mut self) {
        // A place in the index has a byte of its own beside key and position.
        let place = size_of::<(u64, u32)>() + 1;
        let fixed = self.holders.capacity() * size_of::<Holder>()
            + self.index.capacity() * place
            + self.order.capacity() * size_of::<Place>();
        self.charge.set(fixed as u64 + self.lists);
    }
}
