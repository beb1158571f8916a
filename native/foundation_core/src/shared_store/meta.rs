//! What the store knows of an entry, kept in it.

use crate::reaper::{Millis, NEVER};
use crate::sync::{AtomicU64, Ordering};

use super::links::NONE;
use super::s3fifo::Reads;

/// Bits of a deadline: over two million years, so the clock's zero must not be farther away.
const BITS: u32 = 56;
const LAST: u64 = (1 << BITS) - 1;

/// Reads of an entry are counted up to here.
const MOST_READS: u64 = 3;

/// Kept at the front of an entry, so that whoever reads the entry has it at hand.
#[repr(C)]
#[derive(Debug)]
pub struct Meta {
    /// When it ends, and above that its reads: whoever reads counts, under the shared lock.
    life: AtomicU64,
    /// Which write of the shard it is of.
    pub(super) version: u32,
    /// The number by which lists know it.
    pub(super) slot: u32,
}

impl Meta {
    /// Of an entry that is in no store yet.
    pub fn new() -> Self {
        Meta {
            life: AtomicU64::new(LAST),
            version: 0,
            slot: NONE,
        }
    }

    /// When the entry ends.
    #[inline]
    pub(super) fn deadline(&self) -> Millis {
        match self.life.load(Ordering::Relaxed) & LAST {
            LAST => NEVER,
            deadline => deadline,
        }
    }

    pub(super) fn set_deadline(&mut self, deadline: Millis) {
        let reads = self.life.load(Ordering::Relaxed) & !LAST;
        let deadline = match deadline {
            NEVER => LAST,
            deadline => deadline.min(LAST - 1),
        };
        self.life.store(reads | deadline, Ordering::Relaxed);
    }

    /// Counts a read, for whoever chooses what to evict.
    #[inline]
    pub(super) fn count_read(&self) {
        // Two at once may count as one: it is a hint. The deadline is theirs both: only who holds
        // the lock alone changes it.
        let life = self.life.load(Ordering::Relaxed);
        if life >> BITS < MOST_READS {
            self.life.store(life + (1 << BITS), Ordering::Relaxed);
        }
    }
}

impl Reads for Meta {
    fn reads(&self) -> u8 {
        (self.life.load(Ordering::Relaxed) >> BITS) as u8
    }

    fn set_reads(&self, reads: u8) {
        let deadline = self.life.load(Ordering::Relaxed) & LAST;
        self.life
            .store(u64::from(reads) << BITS | deadline, Ordering::Relaxed);
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self::new()
    }
}
