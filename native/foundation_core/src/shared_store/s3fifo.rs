//! Which slot to evict: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache
//! eviction", SOSP 2023), over the slots of a table.
//!
//! What is new goes into a small queue of a tenth of the weight, and on to the main queue only when it
//! was read more than once meanwhile: what is read once leaves soon, so a scan passes by the main queue.
//! The hashes of what left the small queue are kept for a while, as *ghosts*: whoever comes back in that
//! time goes to the main queue at once. There, what was read since its last turn gets another.

use super::chunked::{Chunked, Sparse};
use super::links::{Links, List};
use crate::sync::{AtomicU8, Ordering};

/// The part of the weight that the small queue may hold before it is the one to evict from: one in ten.
const SMALL_PART: u64 = 10;

/// Reads while in the small queue above which a slot goes to the main queue.
const READ_ONCE: u8 = 1;

/// Slots looked at in one call. Where all of them were read of late, the next in turn goes all the same:
/// the others were given a turn more, so the bound changes which of many hot slots goes.
const LOOKS: u32 = 128;

/// How often a slot was read: 0 when it is added, raised by readers up to 3, lowered here.
pub trait Reads {
    /// The count.
    fn reads(&self) -> u8;

    /// Sets it, beside readers who may raise it.
    fn set_reads(&self, reads: u8);
}

impl Reads for AtomicU8 {
    fn reads(&self) -> u8 {
        self.load(Ordering::Relaxed)
    }

    fn set_reads(&self, reads: u8) {
        self.store(reads, Ordering::Relaxed);
    }
}

/// The queue that a slot is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

/// The slots of a queue and their weight.
#[derive(Debug, Default)]
struct Line {
    list: List,
    weight: u64,
}

/// What is known of a slot: hash, and weight and queue in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Item {
    hash: u32,
    /// Two bits of queue (0: in none) above 30 bits of weight.
    held: u32,
}

impl Item {
    const HEAVIEST: u32 = (1 << 30) - 1;

    fn new(hash: u32, weight: u64, queue: Queue) -> Self {
        let weight = u32::try_from(weight).map_or(Self::HEAVIEST, |w| w.min(Self::HEAVIEST));
        let queue = match queue {
            Queue::Small => 1 << 30,
            Queue::Main => 2 << 30,
        };
        Item {
            hash,
            held: queue | weight,
        }
    }

    const fn weight(self) -> u64 {
        (self.held & Self::HEAVIEST) as u64
    }

    const fn queue(self) -> Option<Queue> {
        match self.held >> 30 {
            0 => None,
            1 => Some(Queue::Small),
            _ => Some(Queue::Main),
        }
    }
}

/// The slots of a cache in the order of their eviction.
#[derive(Debug, Default)]
pub struct S3Fifo {
    small: Line,
    main: Line,
    links: Links,
    items: Sparse<Item>,
    ghosts: Ghosts,
}

impl S3Fifo {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Slots in it.
    pub const fn len(&self) -> u32 {
        self.small.list.len() + self.main.list.len()
    }

    /// Whether no slot is in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its own memory: 16 a slot, in chunks of 256 slots, and up to 13 a slot of ghosts.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.links.bytes() + self.items.bytes() + self.ghosts.bytes()
    }

    /// Adds a slot. A weight of 1 GiB or more counts as 2^30 - 1.
    pub fn insert(&mut self, slot: u32, hash: u32, weight: u64) {
        self.take(slot);
        let queue = if self.ghosts.take(hash, self.memory()) {
            Queue::Main
        } else {
            Queue::Small
        };
        self.add(slot, queue, hash, weight);
    }

    /// Takes a slot out, if it is in.
    pub fn remove(&mut self, slot: u32) {
        self.take(slot);
        self.ghosts.shrink(self.memory());
    }

    /// The slot `from` is now called `to`, which is no slot of the cache.
    pub fn moved(&mut self, from: u32, to: u32) {
        let item = self.items.set(from, Item::default());
        if let Some(queue) = item.queue() {
            self.items.set(to, item);
            self.edit(queue, |line, links| links.moved(&mut line.list, from, to));
        }
    }

    /// Gives a slot another weight; it keeps its turn.
    pub fn reweigh(&mut self, slot: u32, weight: u64) {
        let old = self.items.get(slot);
        if let Some(queue) = old.queue() {
            let new = Item::new(old.hash, weight, queue);
            self.items.set(slot, new);
            self.edit(queue, |line, _| {
                line.weight = line.weight - old.weight() + new.weight();
            });
        }
    }

    /// Takes out the slot to evict. `freq` gives the reads of a slot.
    pub fn evict<'a, R: Reads + 'a>(&mut self, freq: impl Fn(u32) -> Option<&'a R>) -> Option<u32> {
        for _ in 0..LOOKS {
            let slot = self.next()?;
            if !freq(slot).is_some_and(|reads| self.stays(slot, reads)) {
                break;
            }
        }
        let slot = self.next()?;
        let item = self.take(slot);
        if item.queue() == Some(Queue::Small) {
            self.ghosts.remember(item.hash, self.memory());
        }
        Some(slot)
    }

    /// The slot whose turn it is.
    fn next(&self) -> Option<u32> {
        let weight = self.small.weight + self.main.weight;
        let (first, second) = if self.small.weight >= weight.div_ceil(SMALL_PART) {
            (&self.small, &self.main)
        } else {
            (&self.main, &self.small)
        };
        let front = self.links.front(&first.list);
        front.or_else(|| self.links.front(&second.list))
    }

    /// Puts the slot whose turn it is at the end of the main queue, if its reads say so.
    fn stays(&mut self, slot: u32, reads: &impl Reads) -> bool {
        let count = reads.reads();
        let item = self.items.get(slot);
        let left = match item.queue() {
            Some(Queue::Small) if count > READ_ONCE => 0,
            Some(Queue::Main) if count > 0 => count - 1,
            _ => return false,
        };
        reads.set_reads(left);
        self.take(slot);
        self.add(slot, Queue::Main, item.hash, item.weight());
        true
    }

    /// Hashes to remember: as many as the main queue has slots once it has its share of the weight.
    /// Counted by the slots of both queues, so that they are as many while it fills.
    fn memory(&self) -> u32 {
        self.len() - self.len() / SMALL_PART as u32
    }

    fn edit(&mut self, queue: Queue, edit: impl FnOnce(&mut Line, &mut Links)) {
        let line = match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        };
        edit(line, &mut self.links);
    }

    fn add(&mut self, slot: u32, queue: Queue, hash: u32, weight: u64) {
        let item = Item::new(hash, weight, queue);
        self.items.set(slot, item);
        self.edit(queue, |line, links| {
            line.weight += item.weight();
            links.push_back(&mut line.list, slot);
        });
    }

    fn take(&mut self, slot: u32) -> Item {
        let item = self.items.set(slot, Item::default());
        if let Some(queue) = item.queue() {
            self.edit(queue, |line, links| {
                line.weight -= item.weight();
                links.remove(&mut line.list, slot);
            });
        }
        item
    }
}

/// A hash and the time at which it was remembered.
#[derive(Clone, Copy, Debug, Default)]
struct Ghost {
    hash: u32,
    time: u32,
}

/// The ghosts whose hashes name the same bucket: a cache line.
type Bucket = [Ghost; 8];

/// Buckets have room for eight ghosts and get five on average.
const LOAD: u32 = 5;

/// The last hashes remembered, in a hash table that forgets: a bucket that is full of ghosts loses its
/// oldest, which happens to one ghost in forty, and to one in fifteen while half of the buckets are
/// split and the others have twice their share. Time is counted in hashes remembered, so what is older
/// than the memory is no ghost any more, wherever it still lies. 12.8 bytes a ghost.
///
/// The table grows by linear hashing, one bucket a call.
#[derive(Debug)]
pub struct Ghosts {
    buckets: Chunked<Bucket>,
    clock: u32,
}

impl Default for Ghosts {
    fn default() -> Self {
        Ghosts {
            buckets: Chunked::new(),
            // What was never written has time 0, and is too old.
            clock: 1 << 31,
        }
    }
}

impl Ghosts {
    /// Bytes of its own memory.
    pub fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    /// Remembers a hash; the last `memory` hashes are ghosts.
    pub fn remember(&mut self, hash: u32, memory: u32) {
        if self.buckets.len() < memory.div_ceil(LOAD) {
            self.split();
        }
        self.shrink(memory);
        self.clock = self.clock.wrapping_add(1);
        self.keep(Ghost {
            hash: mix(hash),
            time: self.clock,
        });
    }

    /// Whether a hash is a ghost; from then on it is none.
    pub fn take(&mut self, hash: u32, memory: u32) -> bool {
        let (hash, clock) = (mix(hash), self.clock);
        let home = home(hash, self.buckets.len());
        let Some(bucket) = self.buckets.get_mut(home) else {
            return false;
        };
        let is = |ghost: &&mut Ghost| ghost.hash == hash && clock.wrapping_sub(ghost.time) < memory;
        let found = bucket.iter_mut().find(is);
        found.map(|ghost| *ghost = Ghost::default()).is_some()
    }

    /// Gives one bucket back if there are more than `memory` needs.
    pub fn shrink(&mut self, memory: u32) {
        if self.buckets.len() > memory.div_ceil(LOAD)
            && let Some(bucket) = self.buckets.pop()
        {
            bucket.into_iter().for_each(|ghost| self.keep(ghost));
        }
    }

    /// Adds a bucket, and moves there what now belongs there.
    fn split(&mut self) {
        let new = self.buckets.push(Bucket::default());
        if new == 0 {
            return;
        }
        let old = std::mem::take(&mut self.buckets[new - (1 << new.ilog2())]);
        old.into_iter().for_each(|ghost| self.keep(ghost));
    }

    /// Puts a ghost into its bucket in place of the oldest there, unless it is older.
    fn keep(&mut self, ghost: Ghost) {
        let age = |ghost: &Ghost| self.clock.wrapping_sub(ghost.time);
        let (new, home) = (age(&ghost), home(ghost.hash, self.buckets.len()));
        let clock = self.clock;
        let Some(bucket) = self.buckets.get_mut(home) else {
            return;
        };
        let oldest = bucket
            .iter_mut()
            .max_by_key(|old| clock.wrapping_sub(old.time));
        if let Some(oldest) = oldest
            && clock.wrapping_sub(oldest.time) > new
        {
            *oldest = ghost;
        }
    }
}

/// The bucket of a hash among so many: by its low bits, one fewer where those name none yet.
const fn home(hash: u32, buckets: u32) -> u32 {
    if buckets == 0 {
        return 0;
    }
    let half: u32 = 1 << buckets.ilog2();
    let wide = hash & (half | (half - 1));
    if wide < buckets { wide } else { wide - half }
}

/// Spreads a hash over all bits, each to another: the murmur3 finalizer. The slots of one store may
/// have some bits of their hashes in common.
const fn mix(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
