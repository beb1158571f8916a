//! Sums and what comes of them.
use foundation_core::kernels::{Args, Value};
use proptest::prelude::*;

use crate::run::{Cuts, Number, Packed, cuts, packed};

/// The sum of floats with what its additions lose, and the sum of magnitudes.
pub fn sum_of(floats: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut sum, mut lost, mut magnitude) = (0.0f64, 0.0, 0.0);
    for float in floats {
        let next = sum + float;
        lost += if sum.abs() >= float.abs() {
            (sum - next) + float
        } else {
            (float - next) + sum
        };
        sum = next;
        magnitude += float.abs();
    }
    let exact = if sum.is_finite() { sum + lost } else { sum };
    (exact, magnitude)
}

/// Equal within a bound; what is not finite has to be the same.
pub fn near(found: f64, wanted: f64, bound: f64) -> bool {
    if wanted.is_finite() {
        (found - wanted).abs() <= bound
    } else {
        found == wanted || (found.is_nan() && wanted.is_nan())
    }
}

/// Whether a sum of these may leave the range of floats on its way.
fn overflows(numbers: &[Number]) -> bool {
    let floats = numbers.iter().map(|number| number.float());
    let (_, magnitude) = sum_of(floats.clone().filter(|float| float.is_finite()));
    !magnitude.is_finite()
}

const UNIT: f64 = f64::EPSILON / 2.0;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sums_are_exact_or_within_their_bound(packed in packed(), cuts in cuts()) {
        let numbers = packed.numbers();
        prop_assume!(!overflows(&numbers));
        match packed.run("sum", Args::new(), &cuts).unwrap() {
            Value::Int(sum) => {
                let ints = numbers.iter().map(|number| match number {
                    Number::Int(int) => *int,
                    Number::Float(_) => panic!("floats have a float for a sum"),
                });
                prop_assert_eq!(sum, ints.sum::<i128>());
            }
            Value::Float(sum) => {
                prop_assert!(packed.kind.is_float());
                let (wanted, magnitude) = sum_of(numbers.iter().map(|number| number.float()));
                prop_assert!(near(sum, wanted, 40.0 * UNIT * magnitude), "{sum} {wanted}");
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn nothing_sums_up_to_zero() {
    assert!(matches!(
        Packed::i64s(&[]).run("sum", Args::new(), &Cuts::none()),
        Ok(Value::Int(0))
    ));
    assert!(matches!(
        Packed::f64s(&[]).run("sum", Args::new(), &Cuts::none()),
        Ok(Value::Float(0.0))
    ));
}

#[test]
fn a_sum_of_integers_leaves_their_range() {
    for (one, sum) in [
        (i64::MAX, i128::from(i64::MAX)),
        (i64::MIN, i128::from(i64::MIN)),
    ] {
        let found = Packed::i64s(&[one; 100_000]).run("sum", Args::new(), &Cuts::short());
        assert!(matches!(found, Ok(Value::Int(found)) if found == sum * 100_000));
    }
}
