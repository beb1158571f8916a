//! A store beside a plain map, in every order that proptest finds, and from many threads at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foundation_core::reaper::{NEVER, Next};
use foundation_core::shared_store::{Condition, Entry, Key, Limits, Meta, Refusal, Store, Stores};
use proptest::prelude::*;

/// Entries that are alive, so that none is lost or dropped twice.
static ALIVE: AtomicI64 = AtomicI64::new(0);

// The time of the tests: each runs alone in its thread, and sets its own.
thread_local!(static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

fn clock() -> u64 {
    NOW.with(std::cell::Cell::get)
}

#[derive(Debug)]
struct Pair {
    key: u32,
    value: u64,
    bytes: u64,
    meta: Meta,
}

impl Pair {
    fn new(key: u32, value: u64, bytes: u64) -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Pair {
            key,
            value,
            bytes,
            meta: Meta::new(),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Entry for Pair {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }
}

/// Few hashes for many keys, so that chains are long and keys are told apart.
fn key(key: u32, hashes: u32) -> Key<impl Fn(&Pair) -> bool> {
    Key {
        hash: (key % hashes).wrapping_mul(0x9E37_79B1),
        is: move |pair: &Pair| pair.key == key,
    }
}

fn stores() -> &'static Stores<Pair> {
    Box::leak(Box::new(Stores::new()))
}

#[derive(Clone, Debug)]
enum Op {
    Put(u32, u64, Option<u64>),
    PutNew(u32, u64),
    Cas(u32, u64, bool),
    Get(u32),
    Take(u32),
    Touch(u32, u64),
    Modify(u32, u64),
    Pass(u64),
    Step,
    Scan,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..60u32;
    prop_oneof![
        80 => (key.clone(), any::<u64>(), proptest::option::of(1..500u64)).prop_map(|(k, v, t)| Op::Put(k, v, t)),
        20 => (key.clone(), any::<u64>()).prop_map(|(k, v)| Op::PutNew(k, v)),
        20 => (key.clone(), any::<u64>(), any::<bool>()).prop_map(|(k, v, right)| Op::Cas(k, v, right)),
        80 => key.clone().prop_map(Op::Get),
        40 => key.clone().prop_map(Op::Take),
        20 => (key.clone(), 0..500u64).prop_map(|(k, t)| Op::Touch(k, t)),
        20 => (key, any::<u64>()).prop_map(|(k, v)| Op::Modify(k, v)),
        40 => (0..200u64).prop_map(Op::Pass),
        20 => Just(Op::Step),
        10 => Just(Op::Scan),
        1 => Just(Op::Clear),
    ]
}

type Model = HashMap<u32, (u64, u64)>;

fn live(model: &Model, key: u32) -> Option<u64> {
    let (value, deadline) = model.get(&key)?;
    (clock() < *deadline).then_some(*value)
}

fn apply(store: &Store<Pair>, stores: &Stores<Pair>, model: &mut Model, hashes: u32, op: Op) {
    let read = |k: u32| store.read(&key(k, hashes), |found| found.entry.value);
    let put = |k: u32, v: u64, deadline, condition| {
        store.put(&key(k, hashes), Pair::new(k, v, 8), deadline, condition)
    };
    match op {
        Op::Put(k, v, ttl) => {
            let deadline = ttl.map_or(NEVER, |ttl| clock() + ttl);
            assert_eq!(put(k, v, deadline, Condition::Always), Ok(()));
            model.insert(k, (v, deadline));
        }
        Op::PutNew(k, v) => {
            let put = put(k, v, NEVER, Condition::Absent);
            if live(model, k).is_some() {
                assert_eq!(put, Err(Refusal::Conflict));
            } else {
                assert_eq!(put, Ok(()));
                model.insert(k, (v, NEVER));
            }
        }
        Op::Cas(k, v, right) => {
            let version = store.peek(&key(k, hashes), |found| found.version);
            assert_eq!(version.is_some(), live(model, k).is_some());
            let Some(version) = version else { return };
            let version = if right {
                version
            } else {
                version.wrapping_add(1)
            };
            let put = put(k, v, NEVER, Condition::Version(version));
            assert_eq!(put.is_ok(), right);
            if right {
                model.insert(k, (v, NEVER));
            }
        }
        Op::Get(k) => assert_eq!(read(k), live(model, k)),
        Op::Take(k) => {
            let version = store.peek(&key(k, hashes), |found| found.version);
            if let Some(version) = version {
                // Of another version nothing is taken.
                let other = version.wrapping_add(1);
                assert!(store.take_version(&key(k, hashes), other).is_none());
            }
            let taken = match version.filter(|version| version % 2 == 0) {
                Some(version) => store.take_version(&key(k, hashes), version),
                None => store.take(&key(k, hashes)),
            };
            let taken = taken.map(|pair| pair.value);
            assert_eq!(taken, live(model, k));
            if taken.is_some() {
                model.remove(&k);
            }
        }
        Op::Touch(k, ttl) => {
            let there = live(model, k);
            let deadline = clock() + ttl;
            let version = |k| store.peek(&key(k, hashes), |found| found.version);
            let before = version(k);
            assert_eq!(store.touch(&key(k, hashes), deadline), there.is_some());
            // Whoever puts on condition of the version does not undo it.
            assert!(before.is_none() || version(k) != before);
            if let Some(value) = there {
                model.insert(k, (value, deadline));
            }
        }
        Op::Modify(k, v) => {
            let version = || store.peek(&key(k, hashes), |found| found.version);
            let before = version();
            assert_eq!(store.modify(&key(k, hashes), |_| None::<()>), None);
            assert_eq!(version(), before);
            let changed = store.modify(&key(k, hashes), |pair| {
                pair.value = v;
                Some(())
            });
            assert_eq!(changed.is_some(), live(model, k).is_some());
            assert!(before.is_none() || version() != before);
            if changed.is_some() {
                model.entry(k).and_modify(|held| held.0 = v);
            }
        }
        Op::Pass(ms) => NOW.with(|now| now.set(now.get() + ms)),
        Op::Step => {
            stores.expire(|| false);
            model.retain(|_, (_, deadline)| clock() < *deadline);
            assert_eq!(store.len(), model.len() as u64);
        }
        Op::Scan => {
            let (mut seen, mut cursor) = (HashMap::new(), Some(0));
            while let Some(at) = cursor {
                cursor = store.scan(
                    at,
                    |found| {
                        let before = seen.insert(found.entry.key, found.entry.value);
                        assert_eq!(before, None, "seen twice");
                    },
                    || true,
                );
            }
            let there = model.keys().filter_map(|k| Some((*k, live(model, *k)?)));
            assert_eq!(seen, there.collect());
        }
        Op::Clear => {
            store.clear();
            model.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn acts_as_a_map_with_deadlines(
        ops in proptest::collection::vec(op(), 1..400),
        hashes in prop_oneof![Just(1u32), Just(7), Just(1000)],
    ) {
        let stores = stores();
        let store = Store::new(Limits::NONE, clock, stores);
        let mut model = Model::new();
        for op in ops {
            apply(&store, stores, &mut model, hashes, op);
        }
        let stats = store.stats();
        prop_assert_eq!(stats.live, 8 * stats.entries);
        prop_assert!(stats.entries >= model.len() as u64 || model.values().any(|v| v.1 != NEVER));
    }

    /// Entries that stay are seen once each, whatever comes and goes between the slices.
    #[test]
    fn a_scan_sees_what_stays_once(
        kept in 1..300u32,
        changes in proptest::collection::vec((1000..3000u32, any::<bool>()), 0..2000),
    ) {
        let store = Store::new(Limits::NONE, clock, stores());
        for k in 0..kept {
            let put = store.put(&key(k, 5000), Pair::new(k, 0, 8), NEVER, Condition::Always);
            prop_assert_eq!(put, Ok(()));
        }
        let mut changes = changes.into_iter();
        let (mut seen, mut cursor) = (vec![0; kept as usize], Some(0));
        while let Some(at) = cursor {
            let visit = |found: foundation_core::shared_store::Found<Pair>| {
                if let Some(seen) = seen.get_mut(found.entry.key as usize) {
                    *seen += 1;
                }
            };
            cursor = store.scan(at, visit, || true);
            for (k, put) in changes.by_ref().take(16) {
                if put {
                    let pair = Pair::new(k, 0, 8);
                    prop_assert_eq!(store.put(&key(k, 5000), pair, NEVER, Condition::Always), Ok(()));
                } else {
                    drop(store.take(&key(k, 5000)));
                }
            }
        }
        prop_assert!(seen.iter().all(|times| *times == 1), "{:?}", seen);
    }

    /// The limits hold after each put, whatever the sizes.
    #[test]
    fn limits_hold(
        puts in proptest::collection::vec((0..500u32, 0..3000u64), 1..300),
        entries in 1..2000u64,
        bytes in 3000..4_000_000u64,
    ) {
        let limits = Limits { entries, bytes };
        let store = Store::new(limits, clock, stores());
        for (k, size) in puts {
            match store.put(&key(k, 5000), Pair::new(k, 0, size), NEVER, Condition::Always) {
                Ok(()) => (),
                Err(Refusal::TooLarge { bytes, limit }) => prop_assert!(bytes > limit),
                Err(other) => prop_assert!(false, "{:?}", other),
            }
            while let Some(at) = store.over(key(k, 5000).hash) {
                store.make_room(at);
            }
            let stats = store.stats();
            prop_assert!(stats.entries <= entries && stats.live <= bytes, "{:?}", stats);
            prop_assert_eq!(store.len(), stats.entries);
        }
    }
}

#[test]
fn a_new_entry_stays_where_all_others_are_read_all_the_time() {
    for entries in [2, 5, 9, 100, 2_000] {
        let limits = Limits {
            entries,
            bytes: u64::MAX,
        };
        let store = Store::new(limits, clock, stores());
        for k in 0..3 * entries as u32 {
            let pair = Pair::new(k, 0, 8);
            let put = store.put(&key(k, u32::MAX), pair, NEVER, Condition::Always);
            assert_eq!(put, Ok(()));
            assert!(store.len() <= entries);
            assert!(
                store.peek(&key(k, u32::MAX), |_| ()).is_some(),
                "{k} of {entries}"
            );
            for other in k.saturating_sub(2 * entries as u32)..=k {
                for _ in 0..3 {
                    store.read(&key(other, u32::MAX), |_| ());
                }
            }
        }
    }
}

#[test]
fn what_wants_the_room_of_many_gets_it_in_steps() {
    let limits = Limits {
        entries: u64::MAX,
        bytes: 4_000_000,
    };
    let store = Store::new(limits, clock, stores());
    for k in 0..10_000 {
        let put = store.put(
            &key(k, u32::MAX),
            Pair::new(k, 0, 8),
            NEVER,
            Condition::Always,
        );
        assert_eq!(put, Ok(()));
    }
    assert_eq!(store.over(0), None);
    let large = key(10_000, u32::MAX);
    let pair = Pair::new(10_000, 0, 3_900_000);
    assert_eq!(store.put(&large, pair, NEVER, Condition::Always), Ok(()));
    let (mut steps, mut evictions) = (0, store.stats().evictions);
    while let Some(at) = store.over(large.hash) {
        let more = store.make_room(at);
        assert_eq!(more, store.over(large.hash).is_some());
        let now = store.stats().evictions;
        assert!((evictions + 1..=evictions + 16).contains(&now));
        (steps, evictions) = (steps + 1, now);
    }
    assert!(steps > 500, "{steps}");
    assert!(store.peek(&large, |_| ()).is_some() && store.stats().live <= 4_000_000);
}

#[test]
fn a_scan_that_meets_nothing_stops_all_the_same() {
    const KEYS: u32 = 100_000;
    let store = Store::new(Limits::NONE, clock, stores());
    for k in 0..KEYS {
        let put = store.put(&key(k, KEYS), Pair::new(k, 0, 8), 1, Condition::Always);
        assert_eq!(put, Ok(()));
    }
    NOW.with(|now| now.set(1));
    let (mut calls, mut cursor) = (0, Some(0));
    while let Some(at) = cursor {
        cursor = store.scan(at, |_| panic!("met what has ended"), || false);
        calls += 1;
    }
    // Three entries a bucket, at least half of the buckets full.
    assert!(calls > KEYS / (256 * 6), "{calls}");
}

#[test]
fn the_newest_is_kept_where_there_is_room_for_one() {
    let limits = Limits {
        entries: 1,
        bytes: u64::MAX,
    };
    let store = Store::new(limits, clock, stores());
    for k in 0..100 {
        let put = store.put(&key(k, 5000), Pair::new(k, 0, 8), NEVER, Condition::Always);
        assert_eq!(put, Ok(()));
        assert_eq!(store.read(&key(k, 5000), |found| found.entry.key), Some(k));
        assert_eq!((store.len(), store.stats().evictions), (1, u64::from(k)));
    }
}

#[test]
#[allow(clippy::borrowed_box)]
fn memory_of_the_way_to_entries_is_given_back() {
    let boxed = |k: u32| Key {
        hash: k.wrapping_mul(0x9E37_79B1),
        is: move |pair: &Box<Pair>| pair.key == k,
    };
    let stores: &'static Stores<Box<Pair>> = Box::leak(Box::new(Stores::new()));
    let store = Store::new(Limits::NONE, clock, stores);
    let empty = store.overhead();
    for k in 0..100_000 {
        let pair = Box::new(Pair::new(k, 0, 8));
        assert_eq!(store.put(&boxed(k), pair, NEVER, Condition::Always), Ok(()));
    }
    let full = store.overhead() - empty;
    // A third of a line, and what chunks have free: 521 buckets of a shard take 3 of 256.
    assert!(full / 100_000 <= 36, "{} bytes an entry", full / 100_000);
    for k in 0..100_000 {
        assert!(store.take(&boxed(k)).is_some());
    }
    let left = store.overhead() - empty;
    assert!(left < full / 20, "{left} of {full} bytes stay");
    assert!(store.stats().compactions > 0);
}

#[test]
fn what_is_cleared_or_closed_is_freed_in_steps() {
    let before = ALIVE.load(Ordering::SeqCst);
    let stores = stores();
    stores.attend(true);
    assert!(stores.take_wanted() && !stores.take_wanted());
    let store = Store::new(Limits::NONE, clock, stores);
    for k in 0..10_000 {
        let put = store.put(
            &key(k, u32::MAX),
            Pair::new(k, 0, 8),
            NEVER,
            Condition::Always,
        );
        assert_eq!(put, Ok(()));
    }
    store.close();
    assert!(store.is_closed() && store.is_empty() && stores.take_wanted());
    assert_eq!(store.stats().dead, 80_000);
    assert_eq!(store.read(&key(1, u32::MAX), |_| ()), None);
    let put = store.put(
        &key(1, u32::MAX),
        Pair::new(1, 0, 8),
        NEVER,
        Condition::Always,
    );
    assert_eq!(put, Err(Refusal::Closed));
    assert!(stores.free(|| true));
    let dead = store.stats().dead;
    assert!((79_000..80_000).contains(&dead), "{dead}");
    assert!(!stores.free(|| false));
    assert_eq!(store.stats().dead, 0);
    drop(store);
    // Other tests of this program have entries too; all of these are gone.
    let _ = before;
}

#[test]
fn one_step_goes_to_no_more_stores_than_it_may() {
    let stores = stores();
    let mut some: Vec<_> = (0..100)
        .map(|_| Store::new(Limits::NONE, clock, stores))
        .collect();
    for store in &some {
        let put = store.put(&key(1, 8), Pair::new(1, 1, 8), 5, Condition::Always);
        assert!(put.is_ok());
    }
    assert_eq!(stores.expire(|| false), Next::At(5));
    NOW.with(|now| now.set(10));

    let full = |some: &[Arc<Store<Pair>>]| some.iter().filter(|store| !store.is_empty()).count();
    assert_eq!(stores.expire(|| true), Next::Now);
    assert_eq!(full(&some), 99);
    // Gone in the middle of a round, before and after where it is.
    some.remove(0);
    some.remove(60);
    let steps = (0..).take_while(|_| stores.expire(|| true) == Next::Now);
    assert!(steps.count() <= 200);
    assert_eq!((full(&some), stores.expire(|| false)), (0, Next::Idle));
}

#[test]
fn threads_at_once_lose_nothing_and_keep_counts() {
    static CLOCK: AtomicU64 = AtomicU64::new(1);
    const THREADS: u32 = 4;
    const KEYS: u32 = 64;
    let limits = Limits {
        entries: 48,
        bytes: u64::MAX,
    };
    for limits in [Limits::NONE, limits] {
        let stores = stores();
        stores.attend(true);
        let store = Store::new(limits, || CLOCK.load(Ordering::Relaxed), stores);
        let counted = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (store, counted) = (store.clone(), counted.clone());
                scope.spawn(move || hammer(&store, thread, &counted));
            }
            scope.spawn(|| {
                for _ in 0..2_000 {
                    CLOCK.fetch_add(1, Ordering::Relaxed);
                    stores.expire(|| false);
                    stores.free(|| false);
                }
            });
        });
        let stats = store.stats();
        assert!(stats.entries <= limits.entries.min(u64::from(KEYS)));
        assert_eq!(stats.live, stats.entries * 8);
        assert_eq!(stats.hits + stats.misses, counted.load(Ordering::Relaxed));
        store.close();
        assert!(!stores.free(|| false));
        assert_eq!(stores.expire(|| false), Next::Idle);
        assert_eq!((store.stats().live, store.stats().dead), (0, 0));
    }

    fn hammer(store: &Store<Pair>, thread: u32, counted: &AtomicU64) {
        let mut random = u64::from(thread) + 1;
        for n in 0..50_000u64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let k = (random >> 32) as u32 % KEYS;
            let key = key(k, KEYS);
            match random % 16 {
                0 => drop(store.take(&key)),
                1 => drop(store.touch(&key, CLOCK.load(Ordering::Relaxed) + random % 40)),
                2..6 => {
                    let ttl = random % 50;
                    let deadline = if ttl == 0 {
                        NEVER
                    } else {
                        CLOCK.load(Ordering::Relaxed) + ttl
                    };
                    let put = store.put(&key, Pair::new(k, n, 8), deadline, Condition::Always);
                    assert_eq!(put, Ok(()));
                }
                6 if n % 1_000 == 0 => store.clear(),
                _ => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    store.read(&key, |found| assert_eq!(found.entry.key, k));
                }
            }
        }
    }
}
