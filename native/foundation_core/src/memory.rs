//! What Rust holds outside the VM's own books, counted by who holds it.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Who holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Frozen terms and their handles.
    SharedTerms,
}

/// Every owner, in the order of the books.
pub const OWNERS: [(Owner, &str); 1] = [(Owner::SharedTerms, "shared_terms")];

/// Bytes held, by owner. Each on its own cache line: they are written by every scheduler.
static HELD: [CachePadded<AtomicU64>; OWNERS.len()] =
    [const { CachePadded::new(AtomicU64::new(0)) }; OWNERS.len()];

/// Bytes that an owner holds.
pub fn held(owner: Owner) -> u64 {
    HELD[owner as usize].load(Ordering::Relaxed)
}

/// Bytes in the books, taken out again when this is dropped: it lives beside what it counts.
#[derive(Debug)]
pub struct Charge {
    owner: Owner,
    bytes: u64,
}

impl Charge {
    /// Enters bytes into the books.
    pub fn new(owner: Owner, bytes: u64) -> Self {
        HELD[owner as usize].fetch_add(bytes, Ordering::Relaxed);
        Charge { owner, bytes }
    }

    /// The bytes entered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        HELD[self.owner as usize].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
