//! What the walk costs on terms of plain Rust; the terms of the VM are measured by
//! `bench/shared_term.exs`.
//!
//!     cargo bench -p foundation_core --bench measure
// Criterion's macros make functions without any.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use foundation_core::measure::{Outcome, measure};

#[path = "../tests/common/tree.rs"]
#[allow(dead_code)]
mod tree;

use tree::{Forest, Id, Node, Walk};

/// `count` records `%{id: n, tags: [a, b], at: {x, y}}` in a list.
fn records(forest: &mut Forest, count: i64) -> Id {
    let nil = forest.plant(Node::Nil);
    let keys = [0, 1, 2].map(|key| forest.plant(Node::Atom(key)));
    let records: Vec<Id> = (0..count)
        .map(|n| {
            let id = forest.plant(Node::Int(n));
            let tags = forest.list(&[keys[0], keys[1]], nil);
            let float = forest.plant(Node::Blob(2, 0));
            let at = forest.plant(Node::Tuple(vec![float, float]));
            let pairs = keys.into_iter().zip([id, tags, at]).collect();
            forest.plant(Node::Map(pairs))
        })
        .collect();
    forest.list(&records, nil)
}

fn terms(criterion: &mut Criterion) {
    let mut forest = Forest::default();
    let small = records(&mut forest, 1);
    let large = records(&mut forest, 10_000);
    let tuple = forest.plant(Node::Tuple(vec![small; 100_000]));

    let mut group = criterion.benchmark_group("measure");
    for (name, term, limit, outcome) in [
        ("small", small, u64::MAX, Outcome::Complete),
        ("list bounded at 10 KB", large, 10_240, Outcome::Limited),
        ("tuple bounded at 10 KB", tuple, 10_240, Outcome::Limited),
        ("10,000 records", large, u64::MAX, Outcome::Complete),
    ] {
        let found = measure(&mut Walk::new(&forest), term, limit);
        assert_eq!(found.1, outcome);
        let id = BenchmarkId::new(name, found.0.heap_words);
        group.bench_function(id, |bencher| {
            bencher.iter(|| measure(&mut Walk::new(&forest), black_box(term), black_box(limit)))
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
    targets = terms
}
criterion_main!(benches);
