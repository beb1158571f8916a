//! What holding a value costs beside copying it: reads alone and from two threads, making and
//! dropping, deadlines planned and forgotten.
//!
//!     cargo bench -p foundation_core --bench shared_term
// Criterion's macros make functions without any.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use foundation_core::reaper::{Mortal, NEVER, Reaper};
use foundation_core::shared_term::{Arena, Keeper, SharedTerm};

struct Number(u64);

impl Arena for Number {
    fn bytes(&self) -> u64 {
        8
    }
}

struct Nobody;

impl Mortal for Nobody {
    fn expire(&self) {}
}

static KEEPER: Keeper<Number> = Keeper::new();

fn read(term: &SharedTerm<Number>) -> u64 {
    term.read(black_box(1), |number| number.0).unwrap_or(0)
}

fn reads(criterion: &mut Criterion) {
    let term = SharedTerm::new(Number(7), 0, 10, &KEEPER);
    criterion.bench_function("read", |bencher| bencher.iter(|| read(&term)));

    let stop = Arc::new(AtomicBool::new(false));
    let other = {
        let (term, stop) = (term.clone(), stop.clone());
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                black_box(read(&term));
            }
        })
    };
    criterion.bench_function("read beside another reader", |bencher| {
        bencher.iter(|| read(&term))
    });
    stop.store(true, Relaxed);
    drop(other.join());
}

fn lives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("new and drop");
    for (name, deadline) in [("without a deadline", NEVER), ("with a deadline", 10)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| SharedTerm::new(Number(black_box(7)), 0, deadline, &KEEPER))
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan and forget");
    for planned in [0, 1_000_000] {
        let reaper = Reaper::<Nobody, ()>::new();
        for deadline in 0..planned {
            reaper.plan(deadline, Weak::new());
        }
        // Deadlines all over the map, as terms with times of their own have.
        let mut deadline = 1;
        group.bench_function(BenchmarkId::from_parameter(planned), |bencher| {
            bencher.iter(|| {
                deadline = (deadline * 48_271) % 1_000_003;
                let number = reaper.plan(deadline, Weak::new());
                reaper.forget(deadline, number);
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = reads, lives, plans
}
criterion_main!(benches);
