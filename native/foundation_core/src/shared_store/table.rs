//! What a shard's entries lie in: buckets of a cache line, that grow and shrink in number by one at a
//! time (linear hashing), so that no call pays for all of them.
//!
//! A bucket has the hashes of its entries beside pointers to them, so a look costs one line here and
//! then the entry itself. What a bucket has no place for lies in a chain of others behind it.

use smallvec::SmallVec;

use super::chunked::Chunked;
use super::links::NONE;

/// Entries of a bucket: five hashes, five pointers and a link fill 64 bytes.
const PLACES: usize = 5;

/// Entries for which there is one bucket: one bucket in twelve has others behind it.
const LOAD: usize = 3;

#[repr(align(64))]
struct Bucket<E> {
    hashes: [u32; PLACES],
    /// The bucket behind this one, among those that are spilled to.
    next: u32,
    /// Those that are there come first.
    entries: [Option<E>; PLACES],
}

impl<E> Bucket<E> {
    fn new() -> Self {
        Bucket {
            hashes: [0; PLACES],
            next: NONE,
            entries: [const { None }; PLACES],
        }
    }

    fn len(&self) -> usize {
        self.entries
            .iter()
            .take_while(|entry| entry.is_some())
            .count()
    }
}

/// Where an entry lies, until the table changes.
#[derive(Clone, Copy)]
pub struct Place {
    link: Link,
    at: usize,
}

/// A bucket, or one behind one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Home(u32),
    Spill(u32),
}

/// Entries by their hashes.
pub struct Table<E> {
    buckets: Chunked<Bucket<E>>,
    spills: Chunked<Bucket<E>>,
    len: usize,
    compactions: u64,
}

impl<E> Table<E> {
    /// No entries.
    pub fn new() -> Self {
        Table {
            buckets: Chunked::new(),
            spills: Chunked::new(),
            len: 0,
            compactions: 0,
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes taken, without what entries hold.
    pub fn bytes(&self) -> u64 {
        (self.buckets.bytes() + self.spills.bytes()) as u64
    }

    /// Times that memory of buckets was given back.
    pub fn compactions(&self) -> u64 {
        self.compactions
    }

    /// Takes over what another counted.
    pub fn keep_figures(&mut self, other: &Self) {
        self.compactions = other.compactions;
    }

    /// The entry of this hash that is the one meant.
    #[inline]
    pub fn find(&self, hash: u32, is: impl Fn(&E) -> bool) -> Option<Place> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut link = Link::Home(bucket_of(hash, self.buckets.len()));
        loop {
            let bucket = self.bucket(link);
            for at in 0..PLACES {
                if bucket.hashes[at] == hash
                    && let Some(entry) = &bucket.entries[at]
                    && is(entry)
                {
                    return Some(Place { link, at });
                }
            }
            if bucket.next == NONE {
                return None;
            }
            link = Link::Spill(bucket.next);
        }
    }

    /// The entry at a place.
    #[inline]
    pub fn entry(&self, place: Place) -> Option<&E> {
        self.bucket(place.link).entries[place.at].as_ref()
    }

    /// The entry at a place, to be changed or replaced by another of the same key.
    #[inline]
    pub fn entry_mut(&mut self, place: Place) -> Option<&mut E> {
        self.bucket_mut(place.link).entries[place.at].as_mut()
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, hash: u32, entry: E) {
        self.grow();
        self.len += 1;
        self.add(bucket_of(hash, self.buckets.len()), hash, entry);
    }

    /// Takes the entry at a place out.
    pub fn remove(&mut self, place: Place) -> Option<E> {
        let hash = self.bucket(place.link).hashes[place.at];
        let home = bucket_of(hash, self.buckets.len());
        let (last_hash, last, at) = self.take_last(home)?;
        self.len -= 1;
        let removed = if at.link == place.link && at.at == place.at {
            last
        } else {
            let bucket = self.bucket_mut(place.link);
            bucket.hashes[place.at] = last_hash;
            bucket.entries[place.at].replace(last)?
        };
        if let Link::Spill(spill) = at.link
            && at.at == 0
        {
            self.give_back(spill);
        }
        self.shrink();
        Some(removed)
    }

    /// Takes the entries of one bucket, without keeping the way to the others: for a table that ends.
    pub fn drain(&mut self) -> Option<impl Iterator<Item = E>> {
        let bucket = self.spills.pop().or_else(|| self.buckets.pop())?;
        Some(bucket.entries.into_iter().flatten())
    }

    /// Calls `visit` with the entries of the bucket in which `from` lies that are not before it, and
    /// gives where to go on. Positions are hashes read from their lowest bit: in this order a bucket
    /// that is split or joined meanwhile stays in one piece, so every entry that stays is met once.
    pub fn scan(&self, from: u32, mut visit: impl FnMut(&E)) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let home = bucket_of(from.reverse_bits(), self.buckets.len());
        let mut bucket = self.bucket(Link::Home(home));
        loop {
            let entries = bucket.hashes.iter().zip(bucket.entries.iter().flatten());
            for (_, entry) in entries.filter(|(hash, _)| hash.reverse_bits() >= from) {
                visit(entry);
            }
            if bucket.next == NONE {
                break;
            }
            bucket = &self.spills[bucket.next];
        }
        match bits_of(home, self.buckets.len()) {
            0 => None,
            bits => {
                let size = 1u32 << (32 - bits);
                (from & !(size - 1)).checked_add(size)
            }
        }
    }

    #[inline]
    fn bucket(&self, link: Link) -> &Bucket<E> {
        match link {
            Link::Home(at) => &self.buckets[at],
            Link::Spill(at) => &self.spills[at],
        }
    }

    #[inline]
    fn bucket_mut(&mut self, link: Link) -> &mut Bucket<E> {
        match link {
            Link::Home(at) => &mut self.buckets[at],
            Link::Spill(at) => &mut self.spills[at],
        }
    }

    /// Puts an entry at the end of a bucket's chain.
    fn add(&mut self, home: u32, hash: u32, entry: E) {
        let mut link = self.end(home);
        let mut at = self.bucket(link).len();
        if at == PLACES {
            let spill = self.spills.push(Bucket::new());
            self.bucket_mut(link).next = spill;
            (link, at) = (Link::Spill(spill), 0);
        }
        let bucket = self.bucket_mut(link);
        bucket.hashes[at] = hash;
        bucket.entries[at] = Some(entry);
    }

    /// The last bucket of a chain: the only one that has room.
    fn end(&self, home: u32) -> Link {
        let mut link = Link::Home(home);
        while self.bucket(link).next != NONE {
            link = Link::Spill(self.bucket(link).next);
        }
        link
    }

    /// Takes the last entry of a chain, and leaves the bucket that it was in where it is.
    fn take_last(&mut self, home: u32) -> Option<(u32, E, Place)> {
        let link = self.end(home);
        let bucket = self.bucket_mut(link);
        let at = bucket.len().checked_sub(1)?;
        let entry = bucket.entries[at].take()?;
        Some((bucket.hashes[at], entry, Place { link, at }))
    }

    /// Gives an empty bucket back that is the last of its chain. The last of all comes in its place.
    fn give_back(&mut self, spill: u32) {
        self.lead(spill, NONE);
        let last = self.spills.len() - 1;
        if spill != last {
            self.lead(last, spill);
        }
        self.spills.swap_remove(spill);
    }

    /// Lets whatever leads to a spilled bucket lead elsewhere.
    fn lead(&mut self, from: u32, to: u32) {
        // Its first hash stays when its entry has gone.
        let home = bucket_of(self.spills[from].hashes[0], self.buckets.len());
        let mut link = Link::Home(home);
        while self.bucket(link).next != from {
            debug_assert!(self.bucket(link).next != NONE);
            link = Link::Spill(self.bucket(link).next);
        }
        self.bucket_mut(link).next = to;
    }

    /// Takes all entries of a chain out.
    fn take_all(&mut self, home: u32) -> SmallVec<[(u32, E); 2 * PLACES]> {
        let mut taken = SmallVec::new();
        while let Some((hash, entry, place)) = self.take_last(home) {
            taken.push((hash, entry));
            if let Link::Spill(spill) = place.link
                && place.at == 0
            {
                self.give_back(spill);
            }
        }
        taken
    }

    /// Adds a bucket for what is one entry more than there are buckets for.
    fn grow(&mut self) {
        if self.len < self.buckets.len() as usize * LOAD {
            return;
        }
        let new = self.buckets.len();
        if new == 0 {
            self.buckets.push(Bucket::new());
            return;
        }
        // Taken out before the new bucket is there: until then their chain is found by their hashes.
        let entries = self.take_all(source_of(new));
        self.buckets.push(Bucket::new());
        for (hash, entry) in entries {
            self.add(bucket_of(hash, new + 1), hash, entry);
        }
    }

    /// Joins two buckets where there are many more than entries want: half as many suffice then, so
    /// taking and adding by turns does neither.
    fn shrink(&mut self) {
        let count = self.buckets.len();
        let wanted = if self.len == 0 {
            0
        } else {
            1 + self.len / LOAD * 2
        };
        for last in (1..=count).rev().take(2).map(|count| count - 1) {
            if (last as usize) < wanted {
                return;
            }
            let entries = self.take_all(last);
            let before = self.buckets.bytes();
            self.buckets.pop();
            self.compactions += u64::from(self.buckets.bytes() < before);
            for (hash, entry) in entries {
                self.add(bucket_of(hash, last), hash, entry);
            }
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
fn bucket_of(hash: u32, count: u32) -> u32 {
    let mask = u32::MAX
        .checked_shr((count - 1).leading_zeros())
        .unwrap_or(0);
    let bucket = hash & mask;
    if bucket < count {
        bucket
    } else {
        bucket & (mask >> 1)
    }
}

/// The bucket that `bucket` was split off from: the same without its highest bit.
fn source_of(bucket: u32) -> u32 {
    bucket & !(1 << bucket.ilog2())
}

/// Low bits that the hashes of a bucket have in common.
fn bits_of(bucket: u32, count: u32) -> u32 {
    let bits = count.ilog2();
    let whole = 1 << bits;
    // Those that are split off, and those that they were split off from.
    let split = bucket >= whole || bucket < count - whole;
    if split { bits + 1 } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_pointers_is_a_cache_line() {
        assert_eq!(size_of::<Bucket<Box<u8>>>(), 64);
    }

    #[test]
    fn every_hash_of_a_bucket_shares_the_bits_that_it_has_in_common() {
        for count in 1..70 {
            for hash in 0..512 {
                let bucket = bucket_of(hash, count);
                let mask = (1 << bits_of(bucket, count)) - 1;
                assert!(bucket < count);
                assert_eq!(hash & mask, bucket & mask);
            }
        }
    }

    #[test]
    fn a_new_bucket_takes_only_from_its_source() {
        for new in 1..70 {
            for hash in 0..512 {
                let (before, after) = (bucket_of(hash, new), bucket_of(hash, new + 1));
                assert!(before == after || (before == source_of(new) && after == new));
            }
        }
    }
}
