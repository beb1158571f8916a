//! A table that many read and write at once: shards under locks of their own, entries that expire,
//! limits that evict.
//!
//! An entry is dropped after the shard's lock is gone, and what is cleared or closed is handed to
//! [`Stores`], whose steps free it. So a lock is held for the time of one lookup or of a bounded
//! number of removals, whatever is kept.

pub mod chunked;
pub mod links;
mod meta;
pub mod s3fifo;
pub mod shapes;
mod shard;
mod store;
mod stores;
mod table;
mod upkeep;
pub mod wheel;

use crate::reaper::Millis;
pub use meta::Meta;
pub use store::Store;
pub use stores::Stores;

/// Shards of a store without limits, or with large ones.
const MOST_SHARDS: usize = 64;

/// Limits are kept by all shards together, so a small store has few: each has room to choose in.
const ENTRIES_PER_SHARD: u64 = 256;
const BYTES_PER_SHARD: u64 = 1 << 20;

/// What a store keeps: key and value. The table keeps entries as they are, so they are best pointers.
pub trait Entry: Send + Sync + 'static {
    /// Bytes that it holds, those included that it refers to.
    fn bytes(&self) -> u64;

    /// What the store knows of it.
    fn meta(&self) -> &Meta;

    /// The same, for the store to write.
    fn meta_mut(&mut self) -> &mut Meta;
}

impl<E: Entry> Entry for Box<E> {
    fn bytes(&self) -> u64 {
        (**self).bytes()
    }

    fn meta(&self) -> &Meta {
        (**self).meta()
    }

    fn meta_mut(&mut self) -> &mut Meta {
        (**self).meta_mut()
    }
}

/// What a store may hold; [`u64::MAX`] for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of entries and of what leads to them.
    pub bytes: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Limits = Limits {
        entries: u64::MAX,
        bytes: u64::MAX,
    };

    fn any(&self) -> bool {
        *self != Self::NONE
    }

    fn shards(&self) -> usize {
        let shards = (self.entries / ENTRIES_PER_SHARD).min(self.bytes / BYTES_PER_SHARD);
        let shards = usize::try_from(shards).unwrap_or(MOST_SHARDS);
        (shards.clamp(1, MOST_SHARDS) + 1).next_power_of_two() / 2
    }
}

/// Which key is meant: its hash, and how it is told from others with the same.
pub struct Key<F> {
    /// The hash, of which all bits should be good.
    pub hash: u32,
    /// Whether an entry is of this key.
    pub is: F,
}

/// When a write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// Where nothing is there.
    Absent,
    /// Where this version is there (see [`Found::version`]).
    Version(u32),
}

/// Why an entry was not put.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The condition was not met.
    #[error("the condition is not met")]
    Conflict,
    /// It is larger than all that the store may hold.
    #[error("the entry takes {bytes} bytes, the store may hold {limit}")]
    TooLarge {
        /// What the entry takes.
        bytes: u64,
        /// What the store may hold.
        limit: u64,
    },
}

/// What a reader is shown. It stays while the reader looks.
pub struct Found<'a, E> {
    /// The entry.
    pub entry: &'a E,
    /// Which write it is of. A later write of the same key has another; numbers come again only
    /// after four billion writes of the shard.
    pub version: u32,
    /// When it ends.
    pub deadline: Millis,
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries, those included whose end has come and that are not freed yet.
    pub entries: u64,
    /// Bytes of these entries.
    pub live: u64,
    /// Bytes of entries that were removed and are not freed yet.
    pub dead: u64,
    /// Bytes of what leads to the entries.
    pub overhead: u64,
    /// Reads that found something.
    pub hits: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Entries that made room.
    pub evictions: u64,
    /// Entries whose end came.
    pub expirations: u64,
    /// Times that memory of the table was given back.
    pub compactions: u64,
}
