//! What is counted in bytes, and what is made of them.
use foundation_core::kernels::{Arg, Args, Error, Input, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::run::{Cuts, cuts, run};

fn count(input: Input, pattern: &[u8], cuts: &Cuts) -> Result<i128, Error> {
    let args = Args::new().with("pattern", Arg::Bytes(pattern.to_vec()));
    run("count", input, args, cuts).map(|value| match value {
        Value::Int(count) => count,
        other => panic!("{other:?}"),
    })
}

fn occurrences(bytes: &[u8], pattern: &[u8]) -> i128 {
    let (mut at, mut found) = (0, 0);
    while at < bytes.len() {
        let hit = bytes[at..].starts_with(pattern);
        found += i128::from(hit);
        at += if hit { pattern.len() } else { 1 };
    }
    found
}

/// Of few letters, so that patterns overlap themselves and each other; often longer than a slice.
fn letters() -> impl Strategy<Value = Vec<u8>> {
    let times = prop_oneof![4 => Just(1usize), 1 => 2..2000usize];
    (vec(b'a'..=b'b', 0..100), times).prop_map(|(unit, times)| unit.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn occurrences_are_counted_from_left_to_right(
        bytes in letters(), pattern in vec(b'a'..=b'b', 1..6), cuts in cuts(),
    ) {
        let found = count(Input::Bytes(&bytes), &pattern, &cuts);
        prop_assert_eq!(found.unwrap(), occurrences(&bytes, &pattern));
    }

    #[test]
    fn what_overlaps_itself_is_counted_across_all_cuts(
        len in 0..400usize, run in 1..9usize, cuts in cuts(),
    ) {
        let bytes = vec![b'a'; len];
        let found = count(Input::Bytes(&bytes), &vec![b'a'; run], &cuts);
        prop_assert_eq!(found.unwrap(), (len / run) as i128);
    }

    #[test]
    fn many_are_counted_one_by_one(
        items in vec(letters(), 0..10), pattern in vec(b'a'..=b'b', 1..4), cuts in cuts(),
    ) {
        let many: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let wanted = items.iter().map(|item| occurrences(item, &pattern)).sum::<i128>();
        prop_assert_eq!(count(Input::Many(&many), &pattern, &cuts).unwrap(), wanted);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn hashes_are_those_of_one_go(
        bytes in vec(any::<u8>(), 0..2000), times in 0..400usize, seed: u64, cuts in cuts(),
    ) {
        let bytes = bytes.repeat(times);
        let args = Args::new().with("seed", Arg::Int(seed.into()));
        let hash = |name| match run(name, Input::Bytes(&bytes), args.clone(), &cuts) {
            Ok(Value::Unsigned(hash)) => hash,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(hash("xxh3_64"), xxh3_64_with_seed(&bytes, seed).into());
        prop_assert_eq!(hash("xxh3_128"), xxh3_128_with_seed(&bytes, seed));
    }

    #[test]
    fn many_have_a_hash_each(
        items in vec((vec(any::<u8>(), 0..700), prop_oneof![9 => Just(1usize), 1 => 500..900usize]), 0..20),
        cuts in cuts(),
    ) {
        let items: Vec<Vec<u8>> = items.iter().map(|(unit, times)| unit.repeat(*times)).collect();
        let many: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        for name in ["xxh3_64", "xxh3_128"] {
            let Ok(Value::Hashes(hashes)) = run(name, Input::Many(&many), Args::new(), &cuts) else {
                panic!("no hashes");
            };
            let one = |item: &[u8]| match name {
                "xxh3_64" => xxh3_64_with_seed(item, 0).into(),
                _ => xxh3_128_with_seed(item, 0),
            };
            let wanted: Vec<u128> = many.iter().map(|item| one(item)).collect();
            let found: Vec<u128> = hashes.iter().flat_map(|piece| piece.to_vec()).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}

#[test]
fn hashes_are_those_of_the_reference() {
    let hash = |name| match run(name, Input::Bytes(b""), Args::new(), &Cuts::short()) {
        Ok(Value::Unsigned(hash)) => hash,
        other => panic!("{other:?}"),
    };
    assert_eq!(hash("xxh3_64"), 0x2D06_8005_38D3_94C2);
    assert_eq!(hash("xxh3_128"), 0x99AA_06D3_0147_98D8_6001_C324_468D_497F);
}

#[test]
fn patterns_reach_over_the_ends_of_slices() {
    let pattern = [b"x".repeat(40_000), b"y".repeat(25_536)].concat();
    let bytes = [b"x".repeat(100), pattern.repeat(5), b"x".repeat(70_000)].concat();
    for cuts in [Cuts::none(), Cuts::short(), Cuts::halves()] {
        assert_eq!(count(Input::Bytes(&bytes), &pattern, &cuts).unwrap(), 5);
    }
}

#[test]
fn patterns_and_seeds_that_are_none_are_refused() {
    for pattern in [vec![], vec![0; 65_537]] {
        let error = count(Input::Bytes(b"a"), &pattern, &Cuts::none()).unwrap_err();
        let text = "the option pattern must be a binary of 1 to 65,536 bytes";
        assert_eq!(error.to_string(), text);
    }
    for seed in [Arg::Int(-1), Arg::Int(1 << 64), Arg::Float(1.0)] {
        let args = Args::new().with("seed", seed);
        let error = run("xxh3_64", Input::Bytes(b"a"), args, &Cuts::none()).unwrap_err();
        let text = "the option seed must be an integer of 64 bits, not negative";
        assert_eq!(error.to_string(), text);
    }
}
