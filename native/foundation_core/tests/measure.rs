//! The walk that measures terms, on terms of plain Rust and against a recursive model.

mod common;

use common::tree::{Forest, Id, Node, Tree, Walk};
use foundation_core::measure::{LARGEST, Outcome, Size, WORD, map_words, measure};
use proptest::collection::vec;
use proptest::prelude::*;

fn sized(forest: &Forest, term: Id, limit: u64) -> (Size, Outcome) {
    measure(&mut Walk::new(forest), term, limit)
}

fn words(heap_words: u64) -> Size {
    Size {
        heap_words,
        binary_bytes: 0,
    }
}

#[test]
fn immediates_take_nothing_and_are_complete_at_any_limit() {
    let mut forest = Forest::default();
    for node in [Node::Int(7), Node::Atom(1), Node::Nil] {
        let term = forest.plant(node);
        assert_eq!(sized(&forest, term, 0), (words(0), Outcome::Complete));
    }
}

#[test]
fn each_container_counts_its_own_words_and_its_parts() {
    let mut forest = Forest::default();
    let (int, nil) = (forest.plant(Node::Int(1)), forest.plant(Node::Nil));
    let blob = forest.plant(Node::Blob(8, 100));
    let list = forest.list(&[int, blob, int], nil);
    let improper = forest.list(&[int], blob);
    let tuple = forest.plant(Node::Tuple(vec![list, int, improper]));
    let empty = forest.plant(Node::Tuple(Vec::new()));
    let map = forest.plant(Node::Map(vec![(int, tuple), (blob, empty)]));
    let record = forest.plant(Node::Record(vec![int, blob], vec![tuple, empty]));

    for (term, heap_words, binary_bytes) in [
        (blob, 8, 100),
        (list, 6 + 8, 100),
        (improper, 2 + 8, 100),
        (tuple, 4 + 14 + 10, 200),
        (empty, 0, 0),
        (map, 8 + 28 + 8, 300),
        (record, 8 + 28 + 8, 300),
    ] {
        let size = Size {
            heap_words,
            binary_bytes,
        };
        assert_eq!(
            sized(&forest, term, LARGEST),
            (size, Outcome::Complete),
            "{term:?}"
        );
        assert_eq!(size.total(), heap_words * WORD + binary_bytes);
    }
}

#[test]
fn a_map_of_up_to_32_keys_is_exact_and_grows_steadily_above() {
    assert_eq!([0, 1, 2, 32].map(map_words), [3, 6, 8, 68]);
    for keys in 33..10_000 {
        assert!(map_words(keys) > map_words(keys - 1));
        assert!((3 * keys..4 * keys).contains(&map_words(keys)));
    }
}

#[test]
fn a_million_levels_need_no_stack() {
    const DEPTH: u64 = 1_000_000;
    let mut forest = Forest::default();
    let nil = forest.plant(Node::Nil);
    let blob = forest.plant(Node::Blob(2, 0));
    let (mut heads, mut tuples, mut maps, mut list) = (nil, nil, nil, nil);
    let mut records = nil;
    for _ in 0..DEPTH {
        heads = forest.plant(Node::Cons(heads, nil));
        tuples = forest.plant(Node::Tuple(vec![tuples]));
        maps = forest.plant(Node::Map(vec![(nil, maps)]));
        records = forest.plant(Node::Record(vec![nil], vec![records]));
        list = forest.plant(Node::Cons(blob, list));
    }
    for (term, each) in [(heads, 2), (tuples, 2), (maps, 6), (records, 6), (list, 4)] {
        let size = words(DEPTH * each);
        assert_eq!(sized(&forest, term, LARGEST), (size, Outcome::Complete));
    }
}

#[test]
fn a_limit_is_passed_only_by_more_than_it() {
    let mut forest = Forest::default();
    let nil = forest.plant(Node::Nil);
    let list = forest.list(&[nil; 100], nil);
    assert_eq!(sized(&forest, list, 1600), (words(200), Outcome::Complete));
    assert_eq!(sized(&forest, list, 1599), (words(200), Outcome::Limited));
    assert_eq!(sized(&forest, list, 0), (words(2), Outcome::Limited));
}

#[test]
fn a_walk_that_is_limited_looks_at_little_whatever_the_term() {
    let mut forest = Forest::default();
    let nil = forest.plant(Node::Nil);
    let cell = forest.plant(Node::Cons(nil, nil));
    let list = forest.list(&vec![cell; 100_000], nil);
    let tuple = forest.plant(Node::Tuple(vec![cell; 100_000]));
    let map = forest.plant(Node::Map(vec![(cell, cell); 100_000]));
    for term in [list, tuple, map] {
        let mut walk = Walk::new(&forest);
        let (size, outcome) = measure(&mut walk, term, 10_240);
        assert_eq!(outcome, Outcome::Limited);
        assert!(size.total() > 10_240);
        assert!(walk.looked <= 10_240 / 16 + 1, "{} looked at", walk.looked);
    }
}

/// A term whose parts are the same part, over and over: `levels` cells, `2^levels` when expanded.
fn exploding(forest: &mut Forest, levels: u32) -> Id {
    let nil = forest.plant(Node::Nil);
    (0..levels).fold(nil, |inner, _| forest.plant(Node::Cons(inner, inner)))
}

#[test]
fn sharing_counts_each_time_and_ends_at_a_limit() {
    let mut forest = Forest::default();
    let twenty = exploding(&mut forest, 20);
    let size = words(2 * ((1 << 20) - 1));
    assert_eq!(sized(&forest, twenty, LARGEST), (size, Outcome::Complete));

    let endless = exploding(&mut forest, 1000);
    let (size, outcome) = sized(&forest, endless, 1 << 24);
    assert_eq!(outcome, Outcome::Limited);
    assert_eq!(size.total(), (1 << 24) + 16);
}

#[test]
fn sharing_of_large_parts_ends_at_the_largest_size_without_a_limit() {
    let mut forest = Forest::default();
    let blob = forest.plant(Node::Blob(0, LARGEST / 1000));
    let mut endless = blob;
    for _ in 0..1000 {
        endless = forest.plant(Node::Tuple(vec![endless; 3]));
    }
    let (size, outcome) = sized(&forest, endless, u64::MAX);
    assert_eq!(outcome, Outcome::Limited);
    assert!((LARGEST..LARGEST + LARGEST / 100).contains(&size.total()));
}

#[test]
fn a_source_that_gives_up_stops_the_walk() {
    let mut forest = Forest::default();
    let endless = exploding(&mut forest, 1000);
    for patience in [0, 3] {
        let mut walk = Walk::new(&forest);
        walk.patience.set(patience);
        let (size, outcome) = measure(&mut walk, endless, u64::MAX);
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!(walk.looked, (patience + 1) << 14);
        assert_eq!(size.heap_words, walk.looked * 2);
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Tree::Int),
        any::<u8>().prop_map(Tree::Atom),
        (1..20u64, 0..200u64).prop_map(|(words, payload)| Tree::Blob(words, payload)),
    ];
    leaf.prop_recursive(6, 200, 8, |inner| {
        let tail = proptest::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            (vec(inner.clone(), 0..8), tail).prop_map(|(heads, tail)| Tree::List(heads, tail)),
            vec(inner.clone(), 0..8).prop_map(Tree::Tuple),
            vec((inner.clone(), inner), 0..40).prop_map(Tree::Map),
        ]
    })
}

/// The same sum, written the way one would first write it.
fn model(tree: &Tree) -> (u64, u64) {
    let all = |parts: &mut dyn Iterator<Item = &Tree>| {
        parts
            .map(model)
            .fold((0, 0), |(w, b), (words, bytes)| (w + words, b + bytes))
    };
    match tree {
        Tree::Int(_) | Tree::Atom(_) => (0, 0),
        Tree::Blob(words, payload) => (*words, *payload),
        Tree::List(heads, tail) => {
            let (words, bytes) = all(&mut heads.iter().chain(tail.as_deref()));
            (words + 2 * heads.len() as u64, bytes)
        }
        Tree::Tuple(parts) => {
            let (words, bytes) = all(&mut parts.iter());
            let own = if parts.is_empty() { 0 } else { 1 + parts.len() };
            (words + own as u64, bytes)
        }
        Tree::Map(pairs) => {
            let (words, bytes) = all(&mut pairs.iter().flat_map(|(key, value)| [key, value]));
            (words + map_words(pairs.len() as u64), bytes)
        }
    }
}

proptest! {
    #[test]
    fn the_walk_agrees_with_recursion(tree in tree(), limit in 0..20_000u64) {
        let mut forest = Forest::default();
        let term = forest.copy(&tree);
        let (heap_words, binary_bytes) = model(&tree);
        let whole = Size { heap_words, binary_bytes };
        prop_assert_eq!(sized(&forest, term, u64::MAX), (whole, Outcome::Complete));

        match sized(&forest, term, limit) {
            (size, Outcome::Complete) => {
                prop_assert_eq!(size, whole);
                prop_assert!(size.total() <= limit);
            }
            (size, outcome) => {
                prop_assert_eq!(outcome, Outcome::Limited);
                prop_assert!(size.heap_words <= whole.heap_words);
                prop_assert!(size.binary_bytes <= whole.binary_bytes);
                prop_assert!(size.total() > limit);
            }
        }
    }
}
