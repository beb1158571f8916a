//! What Rust holds outside the VM's own books, counted by who holds it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;

/// Who holds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Frozen terms and their handles.
    SharedTerms,
    /// Entries of stores, without what leads to them (`shared_store::Stores::overhead`).
    SharedStores,
    /// The tables of compressions that run.
    Codecs,
    /// Searches for leaked binaries that are under way.
    LeakSearches,
    /// What kernels copy, collect and return.
    Kernels,
}

/// Every owner, in the order of the books.
pub const OWNERS: [(Owner, &str); 5] = [
    (Owner::SharedTerms, "shared_terms"),
    (Owner::SharedStores, "shared_stores"),
    (Owner::Codecs, "codecs"),
    (Owner::LeakSearches, "leak_searches"),
    (Owner::Kernels, "kernels"),
];

/// Threads write to different lines: the books are written at every put of a store.
const STRIPES: usize = 16;

/// Bytes held, by owner. What one stripe counts another may take out: only the sum means anything.
static HELD: [[CachePadded<AtomicU64>; STRIPES]; OWNERS.len()] =
    [const { [const { CachePadded::new(AtomicU64::new(0)) }; STRIPES] }; OWNERS.len()];

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// What a thread keeps for itself.
struct Own {
    stripe: usize,
    /// Bytes that it has taken out of the books since it last looked at what is held.
    left: Cell<u64>,
}

thread_local! {
    static OWN: Own = Own {
        stripe: THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES,
        left: const { Cell::new(0) },
    };
}

/// How far what is held has gone down.
pub static TIDE: Tide = Tide::new();

/// Bytes that an owner holds.
pub fn held(owner: Owner) -> u64 {
    let stripes = HELD[owner as usize].iter();
    let sum = stripes.fold(0u64, |sum, stripe| {
        sum.wrapping_add(stripe.load(Ordering::Relaxed))
    });
    // The stripes are read one after the other: what moves meanwhile may be missing.
    if sum > u64::MAX / 2 { 0 } else { sum }
}

/// Bytes that all hold.
pub fn held_by_all() -> u64 {
    OWNERS.iter().map(|(owner, _)| held(*owner)).sum()
}

/// Enters bytes into the books.
#[inline]
pub fn enter(owner: Owner, bytes: u64) {
    stripe(owner).fetch_add(bytes, Ordering::Relaxed);
}

/// Takes bytes out again.
#[inline]
pub fn leave(owner: Owner, bytes: u64) {
    stripe(owner).fetch_sub(bytes, Ordering::Relaxed);
    let due = OWN.try_with(|own| {
        let left = own.left.get() + bytes;
        let due = left >= LOOK;
        own.left.set(if due { 0 } else { left });
        due
    });
    if due == Ok(true) {
        TIDE.rise(held_by_all() + LOOK);
    }
}

/// What a thread takes out before it looks at what is held: as near as that is the highest that is seen.
const LOOK: u64 = 1 << 20;

#[inline]
fn stripe(owner: Owner) -> &'static AtomicU64 {
    // A thread that ends has no stripe of its own any more.
    let at = OWN.try_with(|own| own.stripe).unwrap_or(0);
    &HELD[owner as usize][at]
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
        enter(owner, bytes);
        Charge { owner, bytes }
    }

    /// Changes the bytes entered.
    pub fn set(&mut self, bytes: u64) {
        enter(self.owner, bytes);
        leave(self.owner, self.bytes);
        self.bytes = bytes;
    }

    /// The bytes entered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        leave(self.owner, self.bytes);
    }
}

/// Where an allocator keeps what was freed for reuse: tells when it should give that back.
#[derive(Debug, Default)]
pub struct Tide {
    high: AtomicU64,
}

/// What is freed in smaller portions is soon used again, or not worth a walk over all there is.
const EBB: u64 = 16 << 20;

impl Tide {
    /// Nothing held so far.
    pub const fn new() -> Self {
        Tide {
            high: AtomicU64::new(0),
        }
    }

    /// To be told how much is held, when that may be the most.
    pub fn rise(&self, held: u64) {
        self.high.fetch_max(held, Ordering::Relaxed);
    }

    /// Whether a quarter of the most that was held since the last time, and 16 MiB at least, has
    /// been freed.
    pub fn has_ebbed(&self, held: u64) -> bool {
        let high = self.high.load(Ordering::Relaxed);
        let freed = high.saturating_sub(held);
        let ebbed = freed >= EBB && freed >= high / 4;
        if ebbed {
            self.high.store(held, Ordering::Relaxed);
        }
        ebbed
    }
}
