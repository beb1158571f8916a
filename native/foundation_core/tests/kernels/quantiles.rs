//! Quantiles against sorting all of it.
use foundation_core::kernels::{Arg, Args, Error, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::run::{Cuts, Number, Packed, cuts, packed};

fn quantiles(packed: &Packed, asked: &[f64], cuts: &Cuts) -> Result<Vec<f64>, Error> {
    let args = Args::new().with("q", Arg::Floats(asked.to_vec()));
    packed
        .run("quantiles", args, cuts)
        .map(|value| match value {
            Value::Floats(floats) => floats,
            other => panic!("{other:?}"),
        })
}

/// A quantile, and how far from it is near enough.
fn model(sorted: &[Number], q: f64) -> (f64, f64) {
    let rank = (sorted.len() - 1) as f64 * q;
    let low = sorted[rank as usize].float();
    let high = sorted[rank.ceil() as usize].float();
    let part = rank.fract();
    let wanted = if part == 0.0 || low == high || (low.is_infinite() && high.is_finite()) {
        low
    } else {
        low + (high - low) * part
    };
    (wanted, 2.0 * f64::EPSILON * low.abs().max(high.abs()))
}

fn check(packed: &Packed, asked: &[f64], cuts: &Cuts) {
    let mut sorted = packed.numbers();
    sorted.sort_by(Number::order);
    let found = quantiles(packed, asked, cuts);
    if sorted.is_empty() {
        assert_eq!(found.unwrap_err().reason(), "empty");
    } else if sorted.iter().any(|number| number.float().is_nan()) {
        assert!(found.unwrap().iter().all(|found| found.is_nan()));
    } else {
        let found = found.unwrap();
        assert_eq!(found.len(), asked.len());
        for (q, found) in asked.iter().zip(found) {
            let (wanted, near) = model(&sorted, *q);
            let same = found == wanted || (found.is_nan() && wanted.is_nan());
            assert!(
                same || (found - wanted).abs() <= near,
                "{q}: {found}, not {wanted}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn quantiles_are_those_of_all_in_order(
        packed in packed(), asked in vec(0.0..=1.0f64, 1..20), cuts in cuts(),
    ) {
        check(&packed, &asked, &cuts);
        check(&packed, &[1.0, 0.0, 0.5, 0.5], &cuts);
    }

    #[test]
    fn one_that_is_far_away_moves_no_other(
        small in vec(-1000..1000i64, 1..3000), far: i64, cuts in cuts(),
    ) {
        let ints: Vec<i64> = small.into_iter().chain([far]).collect();
        check(&Packed::i64s(&ints), &[0.01, 0.25, 0.5, 0.999], &cuts);
    }
}

#[test]
fn a_hundred_thousand_are_searched_in_short_slices() {
    let spread = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let shapes: [Vec<i64>; 3] = [
        (0..100_000).map(spread).collect(),
        (0..100_000).map(|n| spread(n) % 10).collect(),
        // Nearly all in one bucket.
        (0..100_000)
            .map(|n| if n == 0 { i64::MAX } else { spread(n) >> 50 })
            .collect(),
    ];
    for ints in shapes {
        check(
            &Packed::i64s(&ints),
            &[0.0, 0.001, 0.5, 0.9, 0.99, 1.0],
            &Cuts::short(),
        );
    }
}

#[test]
fn infinities_are_numbers_too() {
    let of = |floats: &[f64], q| quantiles(&Packed::f64s(floats), &[q], &Cuts::none()).unwrap()[0];
    assert_eq!(of(&[f64::NEG_INFINITY, 1.0, f64::INFINITY], 0.5), 1.0);
    assert_eq!(of(&[f64::INFINITY, f64::INFINITY], 0.3), f64::INFINITY);
    assert_eq!(of(&[1.0, f64::INFINITY], 0.3), f64::INFINITY);
    assert_eq!(of(&[f64::NEG_INFINITY, 1.0], 0.3), f64::NEG_INFINITY);
    assert!(of(&[f64::NEG_INFINITY, f64::INFINITY], 0.5).is_nan());
    assert_eq!(of(&[-1.5e308, 1.5e308], 0.5), 0.0);
}

#[test]
fn what_is_no_quantile_is_refused() {
    for asked in [
        vec![],
        vec![-0.1],
        vec![1.1],
        vec![f64::NAN],
        vec![0.5; 1001],
    ] {
        let error = quantiles(&Packed::i64s(&[1]), &asked, &Cuts::none()).unwrap_err();
        let text = "the option q must be a list of 1 to 1,000 numbers from 0.0 to 1.0";
        assert_eq!(error.to_string(), text);
    }
}
