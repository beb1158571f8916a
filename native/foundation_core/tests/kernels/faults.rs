//! What is refused, and that nothing a caller does wrong is a panic.
use foundation_core::kernels::{
    Arg, Args, Error, Input, KERNELS, Kernel, Kind, Numbers, Step, Takes, find, split,
};
use proptest::prelude::*;

use crate::run::{Cuts, Packed, packed, run};

fn error(name: &str, input: Input, args: Args) -> String {
    run(name, input, args, &Cuts::none())
        .unwrap_err()
        .to_string()
}

#[test]
fn unknown_kernels_are_told_the_known() {
    let error = error("summ", Input::Bytes(b""), Args::new());
    assert!(
        error.starts_with("there is no kernel \"summ\", only sum, mean, "),
        "{error}"
    );
    assert!(KERNELS.iter().all(|kernel| error.contains(kernel.name)));
    let long = find(&"x".repeat(100_000)).unwrap_err();
    assert_eq!(long, Error::UnknownKernel("x".repeat(64)));
    assert_eq!(long.reason(), "unknown_kernel");
}

#[test]
fn lengths_that_are_no_multiple_are_refused() {
    for (kind, name) in Kind::ALL {
        assert_eq!(Kind::find(name), Some(kind));
        for len in 0..24 {
            let made = Numbers::new(kind, &[0; 24][..len]);
            match made {
                Ok(numbers) => assert_eq!(numbers.len() * kind.size(), len),
                Err(error) => {
                    assert_ne!(len % kind.size(), 0);
                    let text = format!(
                        "{len} bytes are no whole number of {name} elements of {} bytes",
                        kind.size()
                    );
                    assert_eq!((error.to_string(), error.reason()), (text, "unaligned"));
                }
            }
        }
    }
    assert_eq!(Kind::find("f16"), None);
}

#[test]
fn kernels_say_what_they_take() {
    let numbers = Packed::i64s(&[1]);
    let many: [&[u8]; 1] = [b"a"];
    assert_eq!(
        error("sum", Input::Bytes(b""), Args::new()),
        "the kernel sum takes numbers"
    );
    assert_eq!(
        error("sum", Input::Many(&many), Args::new()),
        "the kernel sum takes numbers"
    );
    let bytes = "the kernel words takes a binary or a list of binaries";
    assert_eq!(error("words", numbers.input(), Args::new()), bytes);
    let many = "the kernel compress_many takes a list of binaries";
    assert_eq!(error("compress_many", Input::Bytes(b""), Args::new()), many);
}

#[test]
fn options_that_a_kernel_does_not_know_are_refused() {
    let args = Args::new().with("sample", Arg::Bool(true));
    let unknown = "the kernel sum has no option \"sample\"";
    assert_eq!(error("sum", Packed::i64s(&[1]).input(), args), unknown);
    let args = Args::new().with("sample", Arg::Int(1));
    let wrong = "the option sample must be true or false";
    assert_eq!(error("variance", Packed::i64s(&[1]).input(), args), wrong);
}

fn args_of(name: &str) -> Args {
    match name {
        "quantiles" => Args::new().with("q", Arg::Floats(vec![0.1, 0.5])),
        "top_k" => Args::new().with("k", Arg::Int(3)),
        "count" => Args::new().with("pattern", Arg::Bytes(b"ab".to_vec())),
        "histogram" => Args::new().with("edges", Arg::Floats(vec![0.0, 1.0])),
        _ => Args::new(),
    }
}

fn made(name: &str, input: &Input, range: std::ops::Range<usize>) -> Box<dyn Kernel> {
    find(name)
        .unwrap()
        .create(input, range, args_of(name))
        .unwrap()
}

#[test]
fn ranges_that_are_none_of_the_input_are_refused() {
    let numbers = Packed::i64s(&[1, 2, 3]);
    let input = numbers.input();
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..4, 2..1, 4..4, usize::MAX..usize::MAX] {
        let error = find("sum")
            .unwrap()
            .create(&input, range, Args::new())
            .err();
        assert_eq!(error.unwrap().reason(), "invalid_range");
    }
    let part = find("quantiles")
        .unwrap()
        .create(&input, 0..2, args_of("quantiles"));
    let text = "the kernel quantiles cannot work on 0..2 of 3";
    assert_eq!(part.err().unwrap().to_string(), text);
    let bytes = Input::Bytes(b"abc");
    assert!(
        find("xxh3_64")
            .unwrap()
            .create(&bytes, 0..2, Args::new())
            .is_err()
    );
}

#[test]
fn what_takes_longer_has_less_room() {
    let cost = |name: &str, size, args| find(name).unwrap().cost(size, &args);
    let sort = cost("sort", 8, Args::new());
    assert!(sort.echoes && sort.unit > cost("sort", 1, Args::new()).unit);
    assert!(sort.unit > cost("sum", 8, Args::new()).unit);
    let top = |k| cost("top_k", 8, Args::new().with("k", Arg::Int(k)));
    assert!(top(100).unit > top(1).unit && top(4096).fixed > top(100).fixed);
    assert_eq!(top(4097), sort);
    assert_eq!(top(i128::MAX), sort);
    let quantiles = |n: usize| cost("quantiles", 1, args_of_floats("q", n));
    assert!(quantiles(1000).unit > quantiles(1).unit);
    assert!(quantiles(1000).fixed > quantiles(1).fixed);
    let edges = |n: usize| cost("histogram", 1, args_of_floats("edges", n));
    assert!(edges(1000).unit > edges(2).unit && edges(1000).fixed > edges(2).fixed);
    let bins = |bins, min, max| {
        let args = Args::new().with("bins", Arg::Int(bins));
        let args = args
            .with("min", Arg::Float(min))
            .with("max", Arg::Float(max));
        cost("histogram", 8, args)
    };
    let guessed = bins(1000, 0.0, 1.0);
    assert!(guessed.unit < edges(1000).unit);
    for searched in [bins(1000, 0.0, 5e-321), bins(1000, 1.0, 1.0 + 1e-12)] {
        assert!(searched.unit > guessed.unit);
    }
    assert_eq!(bins(i128::MAX, 0.0, 1.0).left(100_000), None);
    let count = |len| {
        cost(
            "count",
            1,
            Args::new().with("pattern", Arg::Bytes(vec![b'a'; len])),
        )
    };
    assert!(count(2).unit > count(1).unit && count(2).unit > count(100).unit);
    assert_eq!(count(65_536).left(100_000), None);
    for entry in KERNELS {
        let cost = entry.cost(1, &Args::new());
        assert!(
            cost.unit > 0 && cost.left(100_000).is_some(),
            "{}",
            entry.name
        );
        assert_eq!(
            cost.item > 0,
            entry.takes != Takes::Numbers,
            "{}",
            entry.name
        );
    }
}

fn args_of_floats(name: &str, count: usize) -> Args {
    Args::new().with(name, Arg::Floats(vec![0.0; count]))
}

/// An input for each kernel, and one of the same kind that is shorter and one that is none.
fn inputs<'a>(
    name: &str,
    packed: &'a Packed,
    other: &'a Packed,
    many: &'a [&'a [u8]],
) -> [Input<'a>; 2] {
    match name {
        "count" | "words" | "xxh3_64" | "xxh3_128" => {
            [Input::Bytes(b"ab ab cd ab"), Input::Bytes(b"ab")]
        }
        "compress_many" => [Input::Many(many), Input::Many(&many[..1])],
        _ => [packed.input(), other.input()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A caller that passes another input than before gets an error or a wrong result.
    #[test]
    fn another_input_in_the_middle_is_no_panic(one in packed(), two in packed()) {
        let many: [&[u8]; 3] = [b"a", b"ab ab", b""];
        for entry in KERNELS {
            let [right, wrong] = inputs(entry.name, &one, &two, &many);
            let mut kernel = made(entry.name, &right, 0..right.len());
            for turn in 0..40 {
                let input = [right, wrong, Input::Bytes(b"a")][turn % 3];
                let _ = kernel.step(&input, &mut || false);
            }
            let _ = kernel.progress();
            let _ = kernel.finish();
        }
    }
}

#[test]
fn what_does_not_belong_together_is_not_joined() {
    let (one, two) = (Packed::i64s(&[1, 2, 3, 4]), Packed::f64s(&[1.0, 2.0]));
    let many: [&[u8]; 3] = [b"a", b"ab ab", b""];
    for entry in KERNELS.iter().filter(|entry| entry.name != "quantiles") {
        let [input, _] = inputs(entry.name, &one, &two, &many);
        if !entry.splits(&input) {
            continue;
        }
        let done = |range| {
            let mut kernel = made(entry.name, &input, range);
            while kernel.step(&input, &mut || true).unwrap() == Step::More {}
            kernel
        };
        let mismatch = Err(Error::Mismatch);
        assert_eq!(
            done(0..1).join(done(2..3)),
            mismatch,
            "{}: a gap",
            entry.name
        );
        let mut other = made("sum", &two.input(), 0..1);
        while other.step(&two.input(), &mut || true).unwrap() == Step::More {}
        assert_eq!(
            done(0..1).join(other),
            mismatch,
            "{}: another kind",
            entry.name
        );
        let fresh = made(entry.name, &input, 1..3);
        assert_eq!(done(0..1).join(fresh), mismatch, "{}: not done", entry.name);
        let early = made(entry.name, &input, 0..input.len()).finish();
        assert_eq!(early.unwrap_err(), Error::Unfinished, "{}", entry.name);
    }
}

proptest! {
    #[test]
    fn splitting_covers_all(len in 0..1000usize, parts in 0..40usize) {
        let bytes = vec![0; len];
        let ranges: Vec<_> = split(&Input::Bytes(&bytes), parts).collect();
        prop_assert!((1..=parts.max(1)).contains(&ranges.len()));
        prop_assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, len));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
