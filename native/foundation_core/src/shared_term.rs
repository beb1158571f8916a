//! One frozen copy of a value, read by many at once, freed by the first of three ends: released,
//! expired, or forgotten by its last holder.
//!
//! Reading takes no lock and no shared counter but the one that counts reads: `arc-swap` protects
//! a reader from whoever ends the value meanwhile, and the value is dropped after the last reader.

use std::sync::Arc;

use crate::memory::{Charge, Owner};
use crate::reaper::{Millis, Mortal, NEVER, Reaper};
use crate::sync::{AtomicU8, AtomicU64, Ordering, Slot};

/// Arenas of at most this many bytes are freed where they are dropped: about ten microseconds.
pub const SMALL: u64 = 64 * 1024;

/// A value that was copied in, and is never written again.
pub trait Arena: Send + Sync + 'static {
    /// Bytes that it holds, and that freeing it gives back.
    fn bytes(&self) -> u64;

    /// Work that freeing it is, in bytes: references to other memory count too.
    fn weight(&self) -> u64 {
        self.bytes()
    }
}

/// Where the ends of shared terms are planned and their memory is freed.
pub type Keeper<A> = Reaper<SharedTerm<A>, Held<A>>;

/// Why a shared term cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its time is over.
    #[error("the shared term has expired")]
    Expired,
    /// Somebody released or took it.
    #[error("the shared term was released")]
    Released,
}

/// Whether a shared term can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Live,
    /// No longer.
    Ended(Fault),
}

const LIVE: u8 = 0;
const EXPIRED: u8 = 1;
const RELEASED: u8 = 2;

/// An arena and its entry in the books, freed together.
pub struct Held<A: Arena> {
    arena: A,
    _charge: Charge,
}

/// What a reader holds on to. Its drop decides where the arena is freed.
struct Frozen<A: Arena> {
    held: Option<Held<A>>,
    keeper: &'static Keeper<A>,
}

impl<A: Arena> Held<A> {
    /// Enters an arena into the books.
    pub fn new(arena: A, owner: Owner) -> Self {
        let bytes = arena.bytes();
        Held {
            arena,
            _charge: Charge::new(owner, bytes),
        }
    }

    /// The arena.
    pub fn arena(&self) -> &A {
        &self.arena
    }

    /// Frees it here where it is small, and otherwise where the keeper takes its steps.
    pub fn free(self, keeper: &Keeper<A>) {
        if self.arena.weight() > SMALL {
            // Handed back where nobody takes steps: freed here then.
            drop(keeper.bury(self));
        }
    }
}

impl<A: Arena> Drop for Frozen<A> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.free(self.keeper);
        }
    }
}

/// A handle's own part: state, figures, and the frozen copy while there is one.
pub struct SharedTerm<A: Arena> {
    frozen: Slot<Frozen<A>>,
    state: AtomicU8,
    reads: AtomicU64,
    born: Millis,
    deadline: Millis,
    number: AtomicU64,
    bytes: u64,
    keeper: &'static Keeper<A>,
    _charge: Charge,
}

/// Figures of a shared term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Whether it can be read.
    pub state: State,
    /// Bytes of the frozen copy, also after its end.
    pub bytes: u64,
    /// Milliseconds since it was made.
    pub age: Millis,
    /// Milliseconds left, where it has a deadline.
    pub remaining: Option<Millis>,
    /// Successful reads.
    pub reads: u64,
}

impl<A: Arena> SharedTerm<A> {
    /// Freezes an arena until `deadline` ([`NEVER`] for no deadline).
    pub fn new(arena: A, now: Millis, deadline: Millis, keeper: &'static Keeper<A>) -> Arc<Self> {
        let bytes = arena.bytes();
        let held = Held::new(arena, Owner::SharedTerms);
        let own = std::mem::size_of::<Self>() as u64;
        let term = Arc::new(SharedTerm {
            frozen: Slot::from_pointee(Frozen {
                held: Some(held),
                keeper,
            }),
            state: AtomicU8::new(LIVE),
            reads: AtomicU64::new(0),
            born: now,
            deadline,
            number: AtomicU64::new(0),
            bytes,
            keeper,
            _charge: Charge::new(Owner::SharedTerms, own),
        });
        if deadline != NEVER {
            // Nobody else has the term yet, so the number is there before it is asked for.
            let number = keeper.plan(deadline, Arc::downgrade(&term));
            term.number.store(number, Ordering::Relaxed);
        }
        term
    }

    /// Bytes of the frozen copy.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Calls `read` with the arena, which stays until it returns.
    pub fn read<R>(&self, now: Millis, read: impl FnOnce(&A) -> R) -> Result<R, Fault> {
        self.check(now)?;
        let frozen = self.frozen.load();
        match frozen.as_ref().and_then(|frozen| frozen.held.as_ref()) {
            Some(held) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Ok(read(&held.arena))
            }
            None => Err(self.fault()),
        }
    }

    /// As [`Self::read`], and releases: of several callers one succeeds.
    pub fn take<R>(&self, now: Millis, read: impl FnOnce(&A) -> R) -> Result<R, Fault> {
        self.check(now)?;
        // Held before the state changes: who ends a live term next to us cannot take it from us.
        let frozen = self.frozen.load_full();
        self.state
            .compare_exchange(LIVE, RELEASED, Ordering::AcqRel, Ordering::Acquire)
            .map_err(|_| self.fault())?;
        self.frozen.store(None);
        self.forget();
        match frozen.as_ref().and_then(|frozen| frozen.held.as_ref()) {
            Some(held) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Ok(read(&held.arena))
            }
            None => Err(self.fault()),
        }
    }

    /// Ends it. Readers that have begun finish; when this returns nobody begins.
    pub fn release(&self) {
        if self.end(RELEASED) {
            self.forget();
        }
    }

    /// Figures, without counting as a read.
    pub fn info(&self, now: Millis) -> Info {
        let state = match self.check(now) {
            Ok(()) => State::Live,
            Err(fault) => State::Ended(fault),
        };
        let remaining = (self.deadline != NEVER).then(|| self.deadline.saturating_sub(now));
        Info {
            state,
            bytes: self.bytes,
            age: now.saturating_sub(self.born),
            remaining,
            reads: self.reads.load(Ordering::Relaxed),
        }
    }

    fn check(&self, now: Millis) -> Result<(), Fault> {
        match self.state.load(Ordering::Acquire) {
            LIVE if now < self.deadline => Ok(()),
            LIVE => {
                self.end(EXPIRED);
                self.forget();
                Err(self.fault())
            }
            _ => Err(self.fault()),
        }
    }

    fn fault(&self) -> Fault {
        match self.state.load(Ordering::Acquire) {
            EXPIRED => Fault::Expired,
            _ => Fault::Released,
        }
    }

    /// Whether this call was the one that ended it. The copy is gone from the handle either way.
    fn end(&self, state: u8) -> bool {
        let won = self
            .state
            .compare_exchange(LIVE, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        drop(self.frozen.swap(None));
        won
    }

    fn forget(&self) {
        if self.deadline != NEVER {
            self.keeper
                .forget(self.deadline, self.number.load(Ordering::Relaxed));
        }
    }
}

impl<A: Arena> Mortal for SharedTerm<A> {
    fn expire(&self) {
        self.end(EXPIRED);
    }
}

impl<A: Arena> Drop for SharedTerm<A> {
    fn drop(&mut self) {
        if self.state.load(Ordering::Relaxed) == LIVE {
            self.forget();
        }
    }
}
