//! An arena that tells on whoever drops it twice, or while somebody reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use foundation_core::shared_term::{Arena, Keeper, SMALL};

/// How often the arenas that share this were dropped.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// Drops so far.
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// The arena: a value, and how large it claims to be.
pub struct Witness {
    value: u64,
    weight: u64,
    drops: Drops,
}

impl Witness {
    /// An arena that is freed where it is dropped.
    pub fn small(value: u64, drops: &Drops) -> Self {
        Self::weighing(100, value, drops)
    }

    /// An arena that is buried where somebody takes steps.
    pub fn large(value: u64, drops: &Drops) -> Self {
        Self::weighing(SMALL + 1, value, drops)
    }

    fn weighing(weight: u64, value: u64, drops: &Drops) -> Self {
        let drops = drops.clone();
        Witness {
            value,
            weight,
            drops,
        }
    }

    /// The value. Each witness has its own [`Drops`] where this is called.
    pub fn read(&self) -> u64 {
        assert_eq!(self.drops.count(), 0, "read after its drop");
        std::hint::spin_loop();
        let value = self.value;
        assert_eq!(self.drops.count(), 0, "dropped while it is read");
        value
    }
}

impl Arena for Witness {
    fn bytes(&self) -> u64 {
        self.weight
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.drops.0.fetch_add(1, SeqCst);
    }
}

/// A keeper for the rest of the program, as terms want it.
pub fn keeper() -> &'static Keeper<Witness> {
    Box::leak(Box::new(Keeper::new()))
}
