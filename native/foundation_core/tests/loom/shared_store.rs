//! What is put while a store is closed is refused or freed, and the limits hold for writers at once.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};

use foundation_core::shared_store::{Condition, Entry, Key, Limits, Meta, Refusal, Store, Stores};
use foundation_core::sync::{Arc, AtomicBool, Ordering, RwLock};
use loom::thread;

/// Counts those of its kind that are alive. No atomic of loom's: it only counts.
struct Counted(u32, StdArc<AtomicUsize>, Meta);

impl Counted {
    fn new(key: u32, alive: &StdArc<AtomicUsize>) -> Self {
        alive.fetch_add(1, StdOrdering::SeqCst);
        Counted(key, alive.clone(), Meta::new())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, StdOrdering::SeqCst);
    }
}

impl Entry for Counted {
    fn bytes(&self) -> u64 {
        8
    }

    fn meta(&self) -> &Meta {
        &self.2
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.2
    }
}

fn key(key: u32) -> Key<impl Fn(&Counted) -> bool> {
    Key {
        hash: key,
        is: move |entry: &Counted| entry.0 == key,
    }
}

/// One shard, so that the model is small.
const ONE_SHARD: Limits = Limits {
    entries: 300,
    bytes: u64::MAX,
};

const ONE_ENTRY: Limits = Limits {
    entries: 1,
    bytes: u64::MAX,
};

fn stores() -> &'static Stores<Counted> {
    Box::leak(Box::new(Stores::new()))
}

#[test]
fn what_is_put_beside_closing_is_refused_or_freed() {
    loom::model(|| {
        let alive = StdArc::new(AtomicUsize::new(0));
        let store = Store::new(ONE_SHARD, || 0, stores());
        let writer = {
            let (store, alive) = (store.clone(), alive.clone());
            thread::spawn(move || {
                let entry = Counted::new(1, &alive);
                store.put(&key(1), entry, u64::MAX, Condition::Always)
            })
        };
        store.close();
        let put = writer.join().unwrap();
        assert!(matches!(put, Ok(()) | Err(Refusal::Closed)));
        assert!(store.is_empty(), "left behind");
        assert_eq!(alive.load(StdOrdering::SeqCst), 0);
    });
}

#[test]
fn two_writers_leave_one_entry_where_there_is_room_for_one() {
    loom::model(|| {
        let alive = StdArc::new(AtomicUsize::new(0));
        let store = Store::new(ONE_ENTRY, || 0, stores());
        let writer = {
            let (store, alive) = (store.clone(), alive.clone());
            thread::spawn(move || {
                let entry = Counted::new(1, &alive);
                store.put(&key(1), entry, u64::MAX, Condition::Always)
            })
        };
        let entry = Counted::new(2, &alive);
        let put = store.put(&key(2), entry, u64::MAX, Condition::Always);
        assert_eq!((put, writer.join().unwrap()), (Ok(()), Ok(())));
        assert_eq!((store.len(), alive.load(StdOrdering::SeqCst)), (1, 1));
        store.close();
    });
}

/// A twin that asks whether it is closed before it has the lock.
struct Hasty {
    closed: AtomicBool,
    entries: RwLock<Vec<u32>>,
}

#[test]
#[should_panic(expected = "left behind")]
fn a_put_that_asks_before_it_has_the_lock_is_caught() {
    loom::model(|| {
        let store = Arc::new(Hasty {
            closed: AtomicBool::new(false),
            entries: RwLock::new(Vec::new()),
        });
        let writer = {
            let store = store.clone();
            thread::spawn(move || {
                if !store.closed.load(Ordering::Acquire) {
                    store.entries.write().push(1);
                }
            })
        };
        store.closed.store(true, Ordering::Release);
        store.entries.write().clear();
        writer.join().unwrap();
        assert!(store.entries.read().is_empty(), "left behind");
    });
}
