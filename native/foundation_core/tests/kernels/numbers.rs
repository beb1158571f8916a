//! Sums and what comes of them.
use foundation_core::kernels::{Arg, Args, Error, Value};
use proptest::collection::vec;
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn means_are_sums_by_counts(packed in packed(), cuts in cuts()) {
        let numbers = packed.numbers();
        prop_assume!(!overflows(&numbers));
        let found = packed.run("mean", Args::new(), &cuts);
        if numbers.is_empty() {
            let error = Error::Empty { kernel: "mean", needed: 1, given: 0 };
            prop_assert_eq!(found.unwrap_err(), error);
        } else {
            let (sum, magnitude) = sum_of(numbers.iter().map(|number| number.float()));
            let count = numbers.len() as f64;
            prop_assert!(near(float(found), sum / count, 42.0 * UNIT * magnitude / count));
        }
    }

    #[test]
    fn variances_are_mean_squares(packed in packed(), cuts in cuts(), sample: bool) {
        let floats: Vec<f64> = packed.numbers().iter().map(|number| number.float()).collect();
        prop_assume!(floats.iter().all(|float| !float.is_finite() || float.abs() < 1e150));
        let found = packed.run("variance", sampled(sample), &cuts);
        if floats.len() <= usize::from(sample) {
            prop_assert_eq!(found.unwrap_err().reason(), "empty");
        } else {
            let wanted = variance_of(&floats, sample);
            prop_assert!(near(float(found), wanted, 1e-12 * wanted), "not {wanted}");
        }
    }

    #[test]
    fn small_variances_of_large_numbers_are_kept(
        small in vec(-1.0..1.0f64, 2..3000), offset in -1e9..1e9f64, cuts in cuts(),
    ) {
        let large: Vec<f64> = small.iter().map(|float| float + offset).collect();
        let wanted = variance_of(&large, false);
        let found = float(Packed::f64s(&large).run("variance", Args::new(), &cuts));
        prop_assert!(near(found, wanted, 1e-12 * wanted), "{found}, not {wanted}");
    }

    #[test]
    fn extremes_are_in_total_order_but_nan_wins(packed in packed(), cuts in cuts()) {
        let numbers = packed.numbers();
        let min = packed.run("min", Args::new(), &cuts);
        let max = packed.run("max", Args::new(), &cuts);
        if numbers.is_empty() {
            prop_assert_eq!(min.unwrap_err().reason(), "empty");
            prop_assert_eq!(max.unwrap_err().to_string(), "max takes at least 1 number, 0 given");
        } else if numbers.iter().any(|number| number.float().is_nan()) {
            prop_assert!(float(min).is_nan() && float(max).is_nan());
        } else {
            let order = |one: &&Number, two: &&Number| one.order(two);
            prop_assert!(is(min, numbers.iter().min_by(order).unwrap()));
            prop_assert!(is(max, numbers.iter().max_by(order).unwrap()));
        }
    }
}

fn sampled(sample: bool) -> Args {
    Args::new().with("sample", Arg::Bool(sample))
}

fn float(found: Result<Value, Error>) -> f64 {
    match found {
        Ok(Value::Float(float)) => float,
        other => panic!("no float: {other:?}"),
    }
}

/// The same to the last bit.
fn is(found: Result<Value, Error>, wanted: &Number) -> bool {
    match (found.unwrap(), wanted) {
        (Value::Int(found), Number::Int(wanted)) => found == *wanted,
        (Value::Float(found), Number::Float(wanted)) => found.to_bits() == wanted.to_bits(),
        _ => false,
    }
}

/// In two passes, with what their sums lose.
fn variance_of(floats: &[f64], sample: bool) -> f64 {
    let count = floats.len() as f64;
    let mean = sum_of(floats.iter().map(|float| float - floats[0])).0 / count;
    let distances = floats.iter().map(|float| float - floats[0] - mean);
    let (off, _) = sum_of(distances.clone());
    let (squares, _) = sum_of(distances.map(|distance| distance * distance));
    (squares - off * off / count) / (count - f64::from(u8::from(sample)))
}

#[test]
fn variances_of_one_and_of_what_is_infinite() {
    let variance = |floats: &[f64], sample| {
        Packed::f64s(floats).run("variance", sampled(sample), &Cuts::none())
    };
    assert_eq!(float(variance(&[7.5], false)), 0.0);
    assert_eq!(float(variance(&[1.0, 2.0], true)), 0.5);
    assert!(float(variance(&[f64::INFINITY, 1.0], false)).is_nan());
    let error = variance(&[7.5], true).unwrap_err();
    assert_eq!(
        error.to_string(),
        "variance takes at least 2 numbers, 1 given"
    );
}

#[test]
fn variances_are_there_where_sums_are_not() {
    for floats in [
        vec![1e306; 512],
        vec![1e306; 2000],
        vec![f64::MAX; 2],
        vec![-f64::MAX; 3],
    ] {
        for cuts in [Cuts::none(), Cuts::halves()] {
            let found = Packed::f64s(&floats).run("variance", Args::new(), &cuts);
            assert_eq!(float(found), 0.0);
        }
    }
    // Squares beyond floats.
    let (one, two) = (1e308f64, 1e308f64 + 2e292);
    let found = Packed::f64s(&[one, two]).run("variance", Args::new(), &Cuts::none());
    assert!(float(found).is_infinite());
    for floats in [[f64::MAX, f64::INFINITY], [f64::MAX, f64::NAN]] {
        let found = Packed::f64s(&floats).run("variance", Args::new(), &Cuts::none());
        assert!(float(found).is_nan());
    }
}

#[test]
fn zeros_have_an_order() {
    let zeros = Packed::f64s(&[0.0, -0.0, 0.0]);
    for (name, wanted) in [("min", -0.0), ("max", 0.0)] {
        let found = zeros.run(name, Args::new(), &Cuts::short());
        assert!(is(found, &Number::Float(wanted)));
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
