//! Items that are collected in pieces.
use std::convert::identity;

use foundation_core::kernels::Gather;
use foundation_core::memory::{Owner, held};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    /// Blocks of any length, of which some make more than one piece, and slices of any length.
    #[test]
    fn what_comes_in_lies_in_order(
        blocks in vec(prop_oneof![9 => 0..300usize, 1 => 60_000..200_000usize], 0..12),
        mut answers in vec(any::<bool>(), 0..10),
    ) {
        let all: Vec<u64> = (0..blocks.iter().sum::<usize>() as u64).collect();
        let mut gather = Gather::new().unwrap();
        let mut rest = &all[..];
        for len in blocks {
            let (block, later) = rest.split_at(len);
            gather.add(block).unwrap();
            rest = later;
        }
        prop_assert_eq!((gather.len(), gather.is_empty()), (all.len(), all.is_empty()));
        prop_assert_eq!(gather.items(), None);
        while !gather.join(&mut || answers.pop().is_none_or(identity)).unwrap() {
            prop_assert!(gather.is_joined());
            prop_assert_eq!(gather.items(), None);
        }
        prop_assert!(gather.is_joined());
        prop_assert_eq!(gather.items(), Some(&all[..]));
    }
}

#[test]
fn a_join_ends_with_its_slice() {
    let mut gather = Gather::new().unwrap();
    let block = vec![7u64; 1 << 18];
    for _ in 0..8 {
        gather.add(&block).unwrap();
    }
    // 16 MiB in pieces of one.
    let mut slices = 1;
    while !gather.join(&mut || false).unwrap() {
        slices += 1;
    }
    assert_eq!(slices, 16);
    assert!(gather.join(&mut || false).unwrap());
    assert_eq!(gather.items().unwrap().len(), 8 << 18);
}

#[test]
fn what_is_collected_is_in_the_books() {
    let mut gather = Gather::new().unwrap();
    gather.add(&vec![[0u8; 8]; 1 << 20]).unwrap();
    assert!(held(Owner::Kernels) >= 8 << 20);
    while !gather.join(&mut || true).unwrap() {}
    assert!(held(Owner::Kernels) >= 8 << 20);
}

#[test]
fn what_is_left_is_in_pieces() {
    let mut gather = Gather::new().unwrap();
    for _ in 0..8 {
        gather.add(&[7u64; 1 << 18]).unwrap();
    }
    let pieces: Vec<usize> = gather.into_pieces().map(|piece| piece.len()).collect();
    assert_eq!(pieces.iter().sum::<usize>(), 8 << 18);
    assert!(pieces.iter().all(|len| len * 8 <= 1 << 20));
}
