//! Hit ratios of S3-FIFO on traces from a seeded generator, with an exact LRU beside it. What is asserted
//! must fail for twins of S3-FIFO that lack a part of it. `--nocapture` shows the figures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use foundation_core::shared_store::s3fifo::S3Fifo;

const KEYS: usize = 100_000;
const REQUESTS: usize = 300_000;
/// Keys of the longest trace.
const ALL: usize = KEYS + REQUESTS;
const ABSENT: u32 = u32::MAX;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Keys by a Zipf law: the k-th most frequent comes as often as the first divided by k to the `alpha`.
fn zipf(alpha: f64) -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-alpha);
            sum
        })
        .collect();
    let mut random = Random(42);
    (0..REQUESTS)
        .map(|_| {
            let at = random.unit() * sum;
            sums.partition_point(|sum| *sum < at) as u64
        })
        .collect()
}

/// A trace with a scan of `length` keys that come once only after each `length` requests.
fn polluted(trace: &[u64], length: usize) -> Vec<u64> {
    let mut fresh = KEYS as u64..;
    trace
        .chunks(length)
        .flat_map(|part| {
            let scan = fresh.by_ref().take(length).collect::<Vec<_>>();
            part.iter().copied().chain(scan)
        })
        .collect()
}

trait Cache {
    /// Reads a key, or puts it in. Whether it was there.
    fn read(&mut self, key: u64) -> bool;
}

/// What a twin lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Nothing,
    /// Reads are not seen.
    Reads,
    /// The victim is a slot at random.
    Choice,
    /// Hashes differ each time, so that no ghost is known.
    Ghosts,
}

struct Entry {
    key: u64,
    reads: AtomicU8,
}

/// A table whose last slot moves into the hole, as a store's does.
struct Fifo {
    lack: Lack,
    room: usize,
    at: Vec<u32>,
    slots: Vec<Entry>,
    order: S3Fifo,
    random: Random,
}

impl Fifo {
    fn new(room: usize, lack: Lack) -> Self {
        Fifo {
            lack,
            room,
            at: vec![ABSENT; ALL],
            slots: Vec::new(),
            order: S3Fifo::new(),
            random: Random(7),
        }
    }

    fn evict(&mut self) {
        let slots = &self.slots;
        let unread = AtomicU8::new(0);
        let victim = match self.lack {
            Lack::Choice => {
                let victim = (self.random.next() % slots.len() as u64) as u32;
                self.order.remove(victim);
                victim
            }
            Lack::Reads => self.order.evict(|_| Some(&unread)).unwrap(),
            _ => self
                .order
                .evict(|slot| Some(&slots[slot as usize].reads))
                .unwrap(),
        };
        let last = self.slots.len() as u32 - 1;
        let gone = self.slots.swap_remove(victim as usize);
        self.at[gone.key as usize] = ABSENT;
        if victim != last {
            self.order.moved(last, victim);
            self.at[self.slots[victim as usize].key as usize] = victim;
        }
    }
}

impl Cache for Fifo {
    fn read(&mut self, key: u64) -> bool {
        if let Some(entry) = self.slots.get(self.at[key as usize] as usize) {
            let reads = &entry.reads;
            reads.store((reads.load(Relaxed) + 1).min(3), Relaxed);
            return true;
        }
        if self.slots.len() == self.room {
            self.evict();
        }
        let slot = self.slots.len() as u32;
        let hash = match self.lack {
            Lack::Ghosts => self.random.next() as u32,
            _ => mix(key) as u32,
        };
        self.order.insert(slot, hash, 1);
        self.at[key as usize] = slot;
        let reads = AtomicU8::new(0);
        self.slots.push(Entry { key, reads });
        false
    }
}

/// The least recently used goes.
struct Lru {
    room: usize,
    held: usize,
    clock: u64,
    /// The last use of each key that is held; 0 for the others.
    used: Vec<u64>,
    /// Every use, in order. Those that were not the last of their key count for nothing.
    uses: VecDeque<(u64, u64)>,
}

impl Lru {
    fn new(room: usize) -> Self {
        Lru {
            room,
            held: 0,
            clock: 0,
            used: vec![0; ALL],
            uses: VecDeque::new(),
        }
    }
}

impl Cache for Lru {
    fn read(&mut self, key: u64) -> bool {
        self.clock += 1;
        let hit = std::mem::replace(&mut self.used[key as usize], self.clock) != 0;
        self.uses.push_back((key, self.clock));
        self.held += usize::from(!hit);
        while self.held > self.room {
            let (oldest, time) = self.uses.pop_front().unwrap();
            if self.used[oldest as usize] == time {
                self.used[oldest as usize] = 0;
                self.held -= 1;
            }
        }
        hit
    }
}

/// Hits in a hundred requests.
fn hits(mut cache: impl Cache, trace: &[u64]) -> f64 {
    let hits = trace.iter().filter(|key| cache.read(**key)).count();
    100.0 * hits as f64 / trace.len() as f64
}

/// A Zipf law, entries that the cache holds, and by how many points in a hundred S3-FIFO is above LRU at
/// least: on the plain trace and on the polluted one. Midway between what it is and the best twin.
struct Case {
    alpha: f64,
    room: usize,
    plain: f64,
    polluted: f64,
}

const CASES: [Case; 4] = [
    Case {
        alpha: 0.8,
        room: KEYS / 100,
        plain: 8.8,
        polluted: 6.3,
    },
    Case {
        alpha: 0.8,
        room: KEYS / 10,
        plain: 4.3,
        polluted: 6.2,
    },
    Case {
        alpha: 1.0,
        room: KEYS / 100,
        plain: 7.4,
        polluted: 8.4,
    },
    Case {
        alpha: 1.0,
        room: KEYS / 10,
        plain: 1.9,
        polluted: 5.7,
    },
];

/// By how many points S3-FIFO is above LRU, and how many the twin that comes nearest.
fn above(name: &str, trace: &[u64], room: usize, twins: &[Lack]) -> (f64, f64) {
    let lru = hits(Lru::new(room), trace);
    let fifo = hits(Fifo::new(room, Lack::Nothing), trace);
    println!("{name}, {room} entries: LRU {lru:.2} %, S3-FIFO {fifo:.2} %");
    let twin = |lack: &Lack| {
        let twin = hits(Fifo::new(room, *lack), trace);
        println!("  lacks {lack:?}: {twin:.2} %");
        twin - lru
    };
    (fifo - lru, twins.iter().map(twin).fold(-100.0, f64::max))
}

#[test]
fn s3_fifo_is_above_lru_on_zipf() {
    for case in CASES {
        let name = format!("zipf {:.1}", case.alpha);
        let twins = [Lack::Reads, Lack::Choice, Lack::Ghosts];
        let (fifo, twin) = above(&name, &zipf(case.alpha), case.room, &twins);
        assert!(fifo >= case.plain && twin < case.plain);
    }
}

#[test]
fn s3_fifo_is_clearly_above_lru_where_scans_come_between() {
    for case in CASES {
        let name = format!("polluted zipf {:.1}", case.alpha);
        let trace = polluted(&zipf(case.alpha), case.room);
        // Reads count for little here: it is the ghosts that tell a scan.
        let twins = [Lack::Choice, Lack::Ghosts];
        let (fifo, twin) = above(&name, &trace, case.room, &twins);
        assert!(fifo >= case.polluted && twin < case.polluted);
    }
}

#[test]
fn s3_fifo_keeps_part_of_a_loop_that_does_not_fit() {
    for room in [KEYS / 100, KEYS / 10] {
        let around = (0..room as u64 * 5 / 4).cycle();
        let trace: Vec<u64> = around.take(room * 20).collect();
        let (fifo, twin) = above("loop", &trace, room, &[Lack::Ghosts]);
        assert!(fifo >= 40.0 && twin < 40.0);
    }
}
