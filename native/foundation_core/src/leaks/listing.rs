//! What one process lists: a binary comes as often as there are references to it.

use super::{Fault, MOST};

/// Larger binaries count as of this size, so that no sum of them overflows.
const LARGEST: u64 = 1 << 38;

/// One binary in the list of one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its address.
    pub id: u64,
    /// Its bytes.
    pub size: u64,
    /// References to it of this holder: their number.
    pub references: u32,
    /// References to it of anybody, as this holder's list says.
    pub count: u32,
}

/// A list that is being read.
#[derive(Debug, Default)]
pub struct Listing {
    held: Vec<Held>,
    references: u64,
    referenced: u64,
}

impl Listing {
    /// Makes room for so many elements at once.
    pub fn reserve(&mut self, elements: usize) -> Result<(), Fault> {
        let room = elements.min(MOST);
        self.held.try_reserve_exact(room).map_err(|_| Fault::Full)
    }

    /// Takes the next element.
    #[inline]
    pub fn push(&mut self, id: u64, size: u64, count: u64) -> Result<(), Fault> {
        let size = size.min(LARGEST);
        self.references += 1;
        self.referenced = self.referenced.saturating_add(size);
        let count = count.min(u64::from(u32::MAX)) as u32;
        // References to one binary often follow each other.
        if let Some(last) = self.held.last_mut()
            && last.id == id
        {
            last.join(size, 1, count);
            return Ok(());
        }
        if self.held.len() == self.held.capacity() {
            self.grow()?;
        }
        self.held.push(Held {
            id,
            size,
            references: 1,
            count,
        });
        Ok(())
    }

    /// References so far.
    pub fn references(&self) -> u64 {
        self.references
    }

    /// Bytes so far, of every reference.
    pub(super) fn referenced(&self) -> u64 {
        self.referenced
    }

    /// Every binary once, by address.
    pub(super) fn into_held(self) -> Vec<Held> {
        let mut held = self.held;
        held.sort_unstable_by_key(|held| held.id);
        held.dedup_by(|next, kept| {
            let same = next.id == kept.id;
            if same {
                kept.join(next.size, next.references, next.count);
            }
            same
        });
        // Giving a little back would copy all of it.
        if held.len() < held.capacity() / 8 * 7 {
            held.shrink_to_fit();
        }
        held
    }

    #[cold]
    fn grow(&mut self) -> Result<(), Fault> {
        let more = self.held.len().max(16);
        if self.held.len() + more > 2 * MOST {
            return Err(Fault::Full);
        }
        self.held.try_reserve_exact(more).map_err(|_| Fault::Full)
    }
}

impl Held {
    fn join(&mut self, size: u64, references: u32, count: u32) {
        self.size = self.size.max(size);
        self.references = self.references.saturating_add(references);
        self.count = self.count.max(count);
    }
}
