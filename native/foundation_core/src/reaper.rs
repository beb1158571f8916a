//! What ends what has expired, and frees what is large, away from the schedulers that serve users.
//!
//! A value is dropped by whoever lets go of it last, often the VM's garbage collector on a normal
//! scheduler. Large ones go to a queue that one process of the VM drains in short steps
//! ([`Reaper::step`]). While nobody drains it, everything is freed where it is dropped.

use std::collections::BTreeMap;
use std::sync::Weak;

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, Queue, constructor};

/// Milliseconds on the VM's monotonic clock, counted from any point.
pub type Millis = u64;

/// A deadline that never comes.
pub const NEVER: Millis = Millis::MAX;

/// Expired entries taken at a time under the lock.
const BATCH: usize = 64;

/// A later wake-up serves deadlines that are this much earlier: reads check deadlines themselves,
/// so lateness costs memory for this long and nothing else.
const SLACK: Millis = 20;

/// What can end at a deadline.
pub trait Mortal: Send + Sync {
    /// Ends it; what it held is dropped.
    fn expire(&self);
}

/// Deadlines and the queue of what waits to be freed.
pub struct Reaper<M, G> {
    /// By deadline, then by an own number, so that an entry can be taken out again.
    deadlines: Mutex<BTreeMap<(Millis, u64), Weak<M>>>,
    numbers: AtomicU64,
    graves: Queue<G>,
    attended: AtomicBool,
    /// The attendant steps by then, or has been asked for since; [`NEVER`] where it need not.
    next: AtomicU64,
    wanted: AtomicBool,
}

/// The end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do now.
    Now,
    /// Nothing to do before this time.
    At(Millis),
    /// Nothing to do until woken.
    Idle,
}

impl<M: Mortal, G> Reaper<M, G> {
    constructor! {
        /// A reaper with nothing to do.
        pub fn new() -> Self {
            Reaper {
                deadlines: Mutex::new(BTreeMap::new()),
                numbers: AtomicU64::new(0),
                graves: Queue::new(),
                attended: AtomicBool::new(false),
                next: AtomicU64::new(NEVER),
                wanted: AtomicBool::new(false),
            }
        }
    }

    /// Says whether somebody takes steps.
    pub fn attend(&self, attended: bool) {
        self.attended.store(attended, Ordering::SeqCst);
        let _deadlines = self.deadlines.lock();
        self.next.store(NEVER, Ordering::Relaxed);
        // What came in unattended waits for the first step.
        self.wanted.store(attended, Ordering::SeqCst);
    }

    /// Whether the attendant should be woken. True once for each time that it should.
    #[inline]
    pub fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::AcqRel)
    }

    /// Asks for the wake-up again, where it did not arrive.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// Plans the end of a value; the number takes it out again.
    pub fn plan(&self, deadline: Millis, value: Weak<M>) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut deadlines = self.deadlines.lock();
        deadlines.insert((deadline, number), value);
        // Under the lock, as the end of a step is: neither misses what the other does.
        let next = self.next.load(Ordering::Relaxed);
        if next == NEVER || deadline.saturating_add(SLACK) < next {
            self.next.store(deadline.min(next), Ordering::Relaxed);
            self.wanted.store(true, Ordering::Release);
        }
        number
    }

    /// Takes a planned end out.
    pub fn forget(&self, deadline: Millis, number: u64) {
        // Dropped after the lock is gone: it may be the last pointer to the value's memory.
        let _taken = self.deadlines.lock().remove(&(deadline, number));
    }

    /// Ends planned and not yet come.
    pub fn planned(&self) -> usize {
        self.deadlines.lock().len()
    }

    /// Takes what is large, to be freed in a step; hands it back where nobody takes steps.
    pub fn bury(&self, value: G) -> Option<G> {
        if !self.attended.load(Ordering::SeqCst) {
            return Some(value);
        }
        self.graves.push(value);
        self.wanted.store(true, Ordering::Release);
        None
    }

    /// Ends what is due and frees what waits, until `enough` says so. Others than the attendant may
    /// step beside it.
    pub fn step(&self, now: Millis, mut enough: impl FnMut() -> bool) -> Next {
        loop {
            let due = self.take_due(now);
            let ended = due.len();
            for value in due.iter().filter_map(Weak::upgrade) {
                value.expire();
            }
            let freed = self.graves.pop().is_some();
            if !freed && ended < BATCH {
                break;
            }
            if enough() {
                return Next::Now;
            }
        }
        let deadlines = self.deadlines.lock();
        let earliest = deadlines.keys().next().map_or(NEVER, |key| key.0);
        // Not lowered: what another's step learns, the attendant does not, and it comes by then.
        let next = match self.next.load(Ordering::Relaxed) {
            NEVER => earliest,
            next => next.max(earliest),
        };
        self.next.store(next, Ordering::Relaxed);
        if earliest == NEVER {
            Next::Idle
        } else {
            Next::At(earliest)
        }
    }

    fn take_due(&self, now: Millis) -> Vec<Weak<M>> {
        let mut due = Vec::new();
        let mut deadlines = self.deadlines.lock();
        while due.len() < BATCH {
            match deadlines.first_entry() {
                Some(entry) if entry.key().0 <= now => due.push(entry.remove()),
                _ => break,
            }
        }
        due
    }
}

impl<M: Mortal, G> Default for Reaper<M, G> {
    fn default() -> Self {
        Self::new()
    }
}
