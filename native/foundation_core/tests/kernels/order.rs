//! What is in which order.
use foundation_core::kernels::{Arg, Args, Error, Input, Kind, Step, Value, find};
use foundation_core::memory::{Owner, held};
use proptest::prelude::*;

use crate::run::{Cuts, Number, Packed, cuts, numbers, packed};

fn ordered(found: Result<Value, Error>, kind: Kind) -> Vec<Number> {
    match found {
        Ok(Value::Packed(packed)) => {
            assert_eq!(packed.kind, kind);
            numbers(kind, &packed.bytes)
        }
        other => panic!("{other:?}"),
    }
}

fn order(name: &str) -> Args {
    Args::new().with("order", Arg::Word(name.into()))
}

/// To the last bit: NaNs, too, and zeros of either sign.
fn same(one: &[Number], two: &[Number]) -> bool {
    let bits = |numbers: &[Number]| -> Vec<(i128, u64)> {
        let bits = numbers.iter().map(|number| match number {
            Number::Int(int) => (*int, 0),
            Number::Float(float) => (0, float.to_bits()),
        });
        bits.collect()
    };
    bits(one) == bits(two)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_sorted_is_the_input_in_order(packed in packed(), cuts in cuts(), falling: bool) {
        let mut wanted = packed.numbers();
        wanted.sort_by(Number::order);
        if falling {
            wanted.reverse();
        }
        let args = order(if falling { "desc" } else { "asc" });
        let found = ordered(packed.run("sort", args, &cuts), packed.kind);
        prop_assert!(same(&found, &wanted));
    }

    #[test]
    fn the_top_are_those_that_sorting_puts_first(
        packed in packed(), cuts in cuts(), least: bool, k in prop_oneof![1..50usize, 3000..9000usize],
    ) {
        let mut wanted = packed.numbers();
        wanted.sort_by(Number::order);
        if !least {
            wanted.reverse();
        }
        wanted.truncate(k);
        let args = order(if least { "smallest" } else { "largest" }).with("k", Arg::Int(k as i128));
        let found = ordered(packed.run("top_k", args, &cuts), packed.kind);
        prop_assert!(same(&found, &wanted));
    }
}

#[test]
fn a_hundred_thousand_of_any_shape_are_sorted_in_short_slices() {
    let count = 100_000;
    let shapes: [fn(i64) -> i64; 5] = [
        |n| n,
        |n| -n,
        |n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64),
        |n| n % 7,
        |n| if n % 2 == 0 { n } else { -n },
    ];
    for shape in shapes {
        let mut wanted: Vec<i64> = (0..count).map(shape).collect();
        let packed = Packed::i64s(&wanted);
        wanted.sort_unstable();
        let wanted: Vec<Number> = wanted
            .iter()
            .map(|int| Number::Int((*int).into()))
            .collect();
        let found = packed.run("sort", Args::new(), &Cuts::short());
        assert!(same(&ordered(found, Kind::I64), &wanted));
    }
}

/// The books are the program's: what other tests hold may only add to them.
#[test]
fn what_sorting_copies_is_in_the_books() {
    let packed = Packed::i64s(&[3; 2_000_000]);
    let input: Input = packed.input();
    let entry = find("sort").unwrap();
    let mut kernel = entry.create(&input, 0..input.len(), Args::new()).unwrap();
    let bytes = 16_000_000;
    assert!(held(Owner::Kernels) >= bytes);
    let mut most = 0;
    let mut last = 0;
    while kernel.step(&input, &mut || false).unwrap() == Step::More {
        most = most.max(held(Owner::Kernels));
        let (done, all) = kernel.progress();
        assert!((last..=all).contains(&done));
        last = done;
    }
    assert!(most >= 2 * bytes, "a copy, and what it is merged into");
    let result = kernel.finish().unwrap();
    assert!(held(Owner::Kernels) >= bytes);
    drop(result);
}

#[test]
fn orders_and_counts_that_are_none_are_refused() {
    let packed = Packed::i64s(&[1]);
    let error = |name, args| {
        packed
            .run(name, args, &Cuts::none())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("sort", order("up")),
        "the option order must be asc or desc"
    );
    assert_eq!(
        error("top_k", Args::new()),
        "the option k must be a positive integer"
    );
    for k in [0, -1] {
        let args = Args::new().with("k", Arg::Int(k));
        assert_eq!(
            error("top_k", args),
            "the option k must be a positive integer"
        );
    }
    let args = order("asc").with("k", Arg::Int(1));
    assert_eq!(
        error("top_k", args),
        "the option order must be largest or smallest"
    );
}

#[test]
fn a_k_without_bound_takes_no_memory_without_bound() {
    let args = Args::new().with("k", Arg::Int(i64::MAX.into()));
    let found = Packed::i64s(&[1, 3, 2]).run("top_k", args, &Cuts::none());
    assert!(same(
        &ordered(found, Kind::I64),
        &[3, 2, 1].map(Number::Int)
    ));
}
