//! What falls into which bin.
use std::time::{Duration, Instant};

use foundation_core::kernels::{Arg, Args, Error, Step, Value, find};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::run::{Cuts, Packed, cuts, packed};

/// What is found, without its place in the books.
#[derive(Clone, Debug, PartialEq)]
struct Histogram {
    counts: Vec<u64>,
    below: u64,
    above: u64,
    nan: u64,
}

fn edges_of(bins: usize, min: f64, max: f64) -> Vec<f64> {
    let edge = |bin: usize| min + (max - min) * (bin as f64 / bins as f64);
    (0..bins).map(edge).chain([max]).collect()
}

fn model(floats: &[f64], edges: &[f64]) -> Histogram {
    let mut found = Histogram {
        counts: vec![0; edges.len() - 1],
        below: 0,
        above: 0,
        nan: 0,
    };
    let last = edges.len() - 1;
    for float in floats {
        match edges
            .windows(2)
            .position(|pair| pair[0] <= *float && *float < pair[1])
        {
            Some(bin) => found.counts[bin] += 1,
            None if float.is_nan() => found.nan += 1,
            None if *float == edges[last] => found.counts[last - 1] += 1,
            None if *float < edges[0] => found.below += 1,
            None => found.above += 1,
        }
    }
    found
}

fn histogram(packed: &Packed, args: Args, cuts: &Cuts) -> Result<Histogram, Error> {
    packed
        .run("histogram", args, cuts)
        .map(|value| match value {
            Value::Histogram(found) => Histogram {
                counts: found.counts.to_vec(),
                below: found.below,
                above: found.above,
                nan: found.nan,
            },
            other => panic!("{other:?}"),
        })
}

fn even(bins: i128, min: f64, max: f64) -> Args {
    Args::new()
        .with("bins", Arg::Int(bins))
        .with("min", Arg::Float(min))
        .with("max", Arg::Float(max))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn each_number_is_in_the_bin_of_its_edges(
        packed in packed(), cuts in cuts(), bins in 1..40usize, min in -1e6..1e6f64, width in 1e-3..1e6f64,
    ) {
        let floats: Vec<f64> = packed.numbers().iter().map(|number| number.float()).collect();
        let edges = edges_of(bins, min, min + width);
        let wanted = model(&floats, &edges);
        let found = histogram(&packed, even(bins as i128, min, min + width), &cuts).unwrap();
        prop_assert_eq!(&found, &wanted);
        let args = Args::new().with("edges", Arg::Floats(edges));
        prop_assert_eq!(&histogram(&packed, args, &cuts).unwrap(), &wanted);
    }

    #[test]
    fn numbers_on_edges_are_above_them(
        picks in vec(any::<prop::sample::Index>(), 0..200), bins in 1..50usize,
        min in -10.0..10.0f64, width in 0.1..7.0f64, cuts in cuts(),
    ) {
        let edges = edges_of(bins, min, min + width);
        let floats: Vec<f64> = picks.iter().map(|pick| edges[pick.index(bins + 1)]).collect();
        let found = histogram(&Packed::f64s(&floats), even(bins as i128, min, min + width), &cuts);
        prop_assert_eq!(found.unwrap(), model(&floats, &edges));
    }
}

/// So many times the least float above 0.
fn least(times: i64) -> f64 {
    let float = f64::from_bits(times.unsigned_abs());
    if times < 0 { -float } else { float }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn bins_may_be_as_narrow_as_floats_are(
        bins in 1..60i64, apart in 1..5i64, first in -200..200i64, exponent in 0..80i32,
        picks in vec(-10..320i64, 0..200), cuts in cuts(),
    ) {
        let unit = 2f64.powi(exponent);
        let (min, max) = (least(first) * unit, least(first + bins * apart) * unit);
        let floats: Vec<f64> = picks.iter().map(|pick| least(first + pick) * unit).collect();
        let edges = edges_of(bins as usize, min, max);
        let found = histogram(&Packed::f64s(&floats), even(bins.into(), min, max), &cuts);
        prop_assert_eq!(found.unwrap(), model(&floats, &edges));
    }
}

#[test]
fn a_step_over_the_narrowest_bins_is_no_longer_for_them() {
    let bins = 60_000;
    let packed = Packed::f64s(&[least(1); 8192]);
    let args = even(bins.into(), 0.0, least(bins));
    let entry = find("histogram").unwrap();
    let times = (0..10).map(|_| {
        let mut kernel = entry
            .create(&packed.input(), 0..8192, args.clone())
            .unwrap();
        let begin = Instant::now();
        // All of it is less than a block: it is not interrupted.
        assert_eq!(kernel.step(&packed.input(), &mut || false), Ok(Step::Done));
        begin.elapsed()
    });
    // From bin to bin, one after the other, it takes half a second. The least of some: the machine
    // may do something else in between.
    assert!(times.min() < Some(Duration::from_millis(100)));
}

#[test]
fn what_is_in_no_bin_is_counted_apart() {
    let floats = [
        f64::NEG_INFINITY,
        -1.0,
        0.0,
        0.5,
        2.0,
        2.5,
        f64::INFINITY,
        f64::NAN,
    ];
    let found = histogram(&Packed::f64s(&floats), even(2, 0.0, 2.0), &Cuts::short()).unwrap();
    assert_eq!(
        found,
        Histogram {
            counts: vec![2, 1],
            below: 2,
            above: 2,
            nan: 1
        }
    );
    let none = histogram(&Packed::f64s(&[]), even(2, 0.0, 2.0), &Cuts::none()).unwrap();
    assert_eq!(none.counts, [0, 0]);
}

#[test]
fn bins_that_are_none_are_refused() {
    let wrong = |args| {
        histogram(&Packed::f64s(&[1.0]), args, &Cuts::none())
            .unwrap_err()
            .to_string()
    };
    let bins = "the option bins must be from 1 to 65,536";
    assert_eq!(wrong(Args::new()), bins);
    assert_eq!(wrong(even(0, 0.0, 1.0)), bins);
    assert_eq!(wrong(even(-1, 0.0, 1.0)), bins);
    assert_eq!(wrong(even(i128::MAX, 0.0, 1.0)), bins);
    assert_eq!(
        wrong(even(1, f64::NAN, 1.0)),
        "the option min must be a finite number"
    );
    let narrow = "the option max must be above min, by enough for all bins";
    for (bins, min, max) in [(1, 1.0, 1.0), (1, 1.0, 0.0), (8, 1.0, 1.0 + 2e-16)] {
        assert_eq!(wrong(even(bins, min, max)), narrow);
    }
    assert_eq!(
        wrong(even(2, -1e308, 1e308)),
        "the option max must be so near min that the distance is a float"
    );
    for edges in [
        vec![],
        vec![1.0],
        vec![1.0, 1.0],
        vec![2.0, 1.0],
        vec![0.0, f64::INFINITY],
    ] {
        let error = wrong(Args::new().with("edges", Arg::Floats(edges)));
        assert!(
            error.starts_with("the option edges must be a list of 2 to "),
            "{error}"
        );
    }
}
