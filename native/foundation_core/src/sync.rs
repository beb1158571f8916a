//! What threads meet at: the standard atomics, parking_lot's lock, crossbeam's queue and arc-swap's
//! slot; under `cfg(loom)` stand-ins with the same interface, which loom can run through every
//! order of events (`tests/loom.rs`).
//!
//! The stand-ins are locks, so loom checks the order of the steps of a protocol and what its own
//! atomics promise, not the inside of the queue and the slot.

#[cfg(not(loom))]
mod real {
    pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

    pub use crossbeam::queue::SegQueue as Queue;
    pub use parking_lot::{Mutex, RwLock};

    /// Holds one shared pointer or none, read without a lock.
    pub type Slot<T> = arc_swap::ArcSwapOption<T>;
}

#[cfg(loom)]
mod model {
    use std::collections::VecDeque;

    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    pub use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    /// A lock that no panic poisons, as parking_lot's.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// An open lock.
        pub fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// The same for many readers.
    pub struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// An open lock.
        pub fn new(value: T) -> Self {
            RwLock(loom::sync::RwLock::new(value))
        }

        /// Waits for the lock, beside other readers.
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        /// Waits for the lock alone.
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// Stands in for the queue.
    pub struct Queue<T>(Mutex<VecDeque<T>>);

    impl<T> Queue<T> {
        /// An empty queue.
        pub fn new() -> Self {
            Queue(Mutex::new(VecDeque::new()))
        }

        /// Adds to the end.
        pub fn push(&self, value: T) {
            self.0.lock().push_back(value);
        }

        /// Whether nothing is in it.
        pub fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }

        /// Takes from the front.
        pub fn pop(&self) -> Option<T> {
            self.0.lock().pop_front()
        }
    }

    impl<T> Default for Queue<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    /// Stands in for the slot.
    pub struct Slot<T>(Mutex<Option<Arc<T>>>);

    impl<T> Slot<T> {
        /// A slot that holds a value.
        pub fn from_pointee(value: T) -> Self {
            Slot(Mutex::new(Some(Arc::new(value))))
        }

        /// What the slot holds now.
        pub fn load(&self) -> Option<Arc<T>> {
            self.0.lock().clone()
        }

        /// What the slot holds now.
        pub fn load_full(&self) -> Option<Arc<T>> {
            self.load()
        }

        /// Puts another pointer in. What was there is dropped outside the lock.
        pub fn store(&self, value: Option<Arc<T>>) {
            drop(self.swap(value));
        }

        /// Puts another pointer in and gives back what was there.
        pub fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
            std::mem::replace(&mut *self.0.lock(), value)
        }
    }
}

#[cfg(loom)]
pub use model::*;
#[cfg(not(loom))]
pub use real::*;

/// A constructor that is `const`, for statics; not under loom, whose types have none.
macro_rules! constructor {
    ($(#[$doc:meta])* pub fn $name:ident() -> $made:ty $body:block) => {
        $(#[$doc])*
        #[cfg(not(loom))]
        pub const fn $name() -> $made $body

        $(#[$doc])*
        #[cfg(loom)]
        pub fn $name() -> $made $body
    };
}
pub(crate) use constructor;
