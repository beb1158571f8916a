//! Jobs: their phases, and that each refuses what belongs to another.
use std::collections::HashMap;

use foundation_core::kernels::{
    Arg, Args, Error, Fault, Input, Job, Kind, Numbers, Slice, Source, Step, Value, find,
};
use foundation_core::memory::{Owner, held};
use proptest::prelude::*;

use crate::run::{Cuts, packed};

/// An input that comes in by and by.
#[derive(Default)]
struct Fed {
    kind: Option<Kind>,
    bytes: Vec<u8>,
    complete: bool,
}

impl Source for Fed {
    fn input(&self) -> Option<Input<'_>> {
        if !self.complete {
            return None;
        }
        match self.kind {
            None => Some(Input::Bytes(&self.bytes)),
            Some(kind) => Numbers::new(kind, &self.bytes).ok().map(Input::Packed),
        }
    }
}

fn job(name: &str, args: Args, kind: Option<Kind>, bytes: &[u8]) -> Job<Fed> {
    let job = Job::new(find(name).unwrap(), args, Fed::default());
    let fed = job.feed(|fed| {
        fed.kind = kind;
        fed.bytes.extend_from_slice(bytes);
        fed.complete = true;
        Ok(fed.bytes.len())
    });
    assert_eq!(fed, Ok(bytes.len()));
    job
}

fn sort(bytes: &[u8]) -> Job<Fed> {
    job("sort", Args::new(), Some(Kind::U8), bytes)
}

/// Steps a part to its end, in the shortest slices there are.
fn finish(job: &Job<Fed>, part: usize) -> Result<(), Fault> {
    while let Slice::More(done, all) = job.step(part, &mut || false)? {
        assert!(done <= all);
    }
    Ok(())
}

fn all_of(job: &Job<Fed>) -> Value {
    job.take(|value, _| Ok(value.take())).unwrap().unwrap()
}

proptest! {
    /// In parts that are stepped in any order a job finds what a kernel alone finds.
    #[test]
    fn parts_find_what_a_kernel_finds(numbers in packed(), parts in 0..9usize, last in any::<bool>()) {
        let Input::Packed(input) = numbers.input() else { unreachable!() };
        let bytes: Vec<u8> = numbers.bytes().to_vec();
        let job = job("sort", Args::new(), Some(input.kind()), &bytes);
        let made = job.split(parts).unwrap();
        prop_assert!((1..=parts.max(1)).contains(&made));
        for part in 0..made {
            finish(&job, if last { made - 1 - part } else { part }).unwrap();
        }
        job.join().unwrap();
        finish(&job, 0).unwrap();
        job.finish().unwrap();
        let (Value::Packed(mine), Ok(Value::Packed(theirs))) =
            (all_of(&job), numbers.run("sort", Args::new(), &Cuts::none()))
        else {
            panic!("not sorted")
        };
        prop_assert_eq!(&mine.bytes[..], &theirs.bytes[..]);
    }
}

#[test]
fn every_phase_refuses_the_calls_of_others() {
    let misuse = Fault::Misuse;
    let job = Job::new(find("sum").unwrap(), Args::new(), Fed::default());
    let refused = |calls: &[&str]| {
        for call in calls {
            let result = match *call {
                "feed" => job.feed(|_| Ok(())),
                "split" => job.split(2).map(drop),
                "step" => job.step(0, &mut || true).map(drop),
                "join" => job.join(),
                "finish" => job.finish(),
                _ => job.take(|_, _| Ok(())),
            };
            assert_eq!(result, Err(misuse.clone()), "{call}");
        }
    };
    refused(&["split", "step", "join", "finish", "take"]);
    let fed = job.feed(|fed| {
        fed.kind = Some(Kind::U8);
        fed.bytes = vec![1, 2, 3];
        fed.complete = true;
        Ok(())
    });
    assert_eq!(fed, Ok(()));
    refused(&["step", "join", "finish", "take"]);
    assert_eq!(job.split(2), Ok(2));
    refused(&["feed", "split", "join", "finish", "take"]);
    assert_eq!(job.step(2, &mut || true), Err(misuse.clone()));
    assert_eq!(job.step(1, &mut || true), Ok(Slice::Done));
    refused(&["join", "finish"]);
    assert_eq!(job.step(0, &mut || true), Ok(Slice::Done));
    refused(&["finish"]);
    assert_eq!(job.join(), Ok(()));
    refused(&["feed", "split", "finish", "take"]);
    assert_eq!(job.step(0, &mut || true), Ok(Slice::Done));
    assert_eq!(job.finish(), Ok(()));
    refused(&["feed", "split", "step", "join", "finish"]);
    assert!(matches!(all_of(&job), Value::Int(6)));
    refused(&["feed", "split", "step", "join", "finish", "take"]);
}

#[test]
fn one_part_alone_needs_no_join() {
    let job = sort(&[2, 1]);
    assert_eq!(job.split(1), Ok(1));
    finish(&job, 0).unwrap();
    assert_eq!(job.finish(), Ok(()));
    assert!(matches!(all_of(&job), Value::Packed(packed) if packed.bytes[..] == [1, 2]));
}

#[test]
fn nobody_gets_in_while_a_part_is_stepped_but_for_other_parts() {
    let job = sort(&[0; 100_000]);
    assert_eq!(job.split(2), Ok(2));
    let (mut asked, mut other) = (0, 0);
    let mut more = || {
        asked += 1;
        assert_eq!(job.step(0, &mut || true), Err(Fault::Misuse));
        assert_eq!(job.join(), Err(Fault::Misuse));
        assert_eq!(job.finish(), Err(Fault::Misuse));
        assert_eq!(job.feed(|_| Ok(())), Err(Fault::Misuse));
        assert!(job.close().is_none());
        other += usize::from(job.step(1, &mut || false).is_ok());
        true
    };
    assert_eq!(job.step(0, &mut more), Ok(Slice::Done));
    assert!(asked > 1);
    assert_eq!(other, asked);
    finish(&job, 1).unwrap();
    assert_eq!(job.join(), Ok(()));
}

#[test]
fn what_a_kernel_refuses_is_passed_on() {
    let job = job("top_k", Args::new(), Some(Kind::U8), &[1]);
    let Err(Fault::Kernel(error)) = job.split(1) else {
        panic!("made")
    };
    assert_eq!(error.reason(), "invalid_option");
    let job = self::job("mean", Args::new(), Some(Kind::U8), &[]);
    assert_eq!(job.split(3), Ok(1));
    finish(&job, 0).unwrap();
    let Err(Fault::Kernel(error)) = job.finish() else {
        panic!("a mean of nothing")
    };
    assert_eq!(error.figures(), [("needed", 1), ("given", 0)]);
    assert!(job.close().unwrap().source.is_none());
}

#[test]
fn words_are_taken_one_by_one() {
    let text: String = (0..5000).map(|n| format!("w{} ", n % 1700)).collect();
    let job = job("words", Args::new(), None, text.as_bytes());
    assert_eq!(job.split(2), Ok(2));
    finish(&job, 0).unwrap();
    finish(&job, 1).unwrap();
    job.join().unwrap();
    finish(&job, 0).unwrap();
    job.finish().unwrap();
    let mut counts = HashMap::new();
    let mut next = || {
        job.take(|value, input| {
            let Some(Value::Words(words)) = value else {
                panic!("no words")
            };
            let word = words.pop();
            Ok(word.map(|word| (word.text(input).unwrap().to_vec(), word.count)))
        })
        .unwrap()
        .map(|(word, count)| counts.insert(word, count))
    };
    while let Some(before) = next() {
        assert_eq!(before, None);
    }
    assert_eq!(counts.len(), 1700);
    for n in 0..1700u64 {
        let times = 2 + u64::from(n < 1600);
        assert_eq!(counts[format!("w{n}").as_bytes()], times);
    }
}

#[test]
fn what_is_closed_gives_all_back() {
    let args = Args::new().with("edges", Arg::Floats((0..100_000).map(f64::from).collect()));
    let job = job("histogram", args, Some(Kind::U8), &[1]);
    assert!(held(Owner::Kernels) >= 800_000);
    let remains = job.close().unwrap();
    assert_eq!(remains.source.unwrap().bytes, [1]);
    assert_eq!(job.split(1), Err(Fault::Misuse));
    let again = job.close().unwrap();
    assert!(again.source.is_none());
    let job = sort(&[1]);
    assert_eq!(job.into_remains().source.unwrap().bytes, [1]);
}

/// Binaries that are there.
struct Binaries(Vec<&'static [u8]>);

impl Source for Binaries {
    fn input(&self) -> Option<Input<'_>> {
        Some(Input::Many(&self.0))
    }
}

#[test]
fn what_takes_long_to_free_is_left_in_pieces() {
    let small = || Binaries(vec![b"ab"; 20_000]);
    let large = || Binaries(vec![&[7; 3 << 20][..]; 2]);
    for (name, source, finished, least) in [
        ("compress_many", small(), false, 6 + 2),
        ("compress_many", small(), true, 6),
        ("xxh3_64", small(), true, 2),
        ("words", small(), false, 2),
        ("count", large(), false, 2),
    ] {
        let args = match name {
            "count" => Args::new().with("pattern", Arg::Bytes(vec![1])),
            _ => Args::new(),
        };
        let job = Job::new(find(name).unwrap(), args, source);
        assert_eq!(job.split(2), Ok(2));
        for part in 0..2 {
            assert_eq!(job.step(part, &mut || true), Ok(Slice::Done));
        }
        if finished {
            job.join().unwrap();
            assert_eq!(job.step(0, &mut || true), Ok(Slice::Done));
            job.finish().unwrap();
        }
        let pieces = job.close().unwrap().work.into_pieces();
        assert!(pieces.len() >= least, "{name}: {}", pieces.len());
    }
}

#[test]
fn frames_that_are_large_are_few_in_a_piece() {
    let noise: Vec<u8> = (0..3u32 << 20)
        .map(|n| (n.wrapping_mul(0x9E37_79B9) >> 13) as u8 ^ (n >> 3) as u8)
        .collect();
    let items: Vec<&[u8]> = vec![&noise; 6];
    let input = Input::Many(&items);
    let entry = find("compress_many").unwrap();
    let mut kernel = entry.create(&input, 0..6, Args::new()).unwrap();
    assert_eq!(kernel.step(&input, &mut || true), Ok(Step::Done));
    let Ok(Value::Binaries(pieces)) = kernel.finish() else {
        panic!("no frames")
    };
    for piece in &pieces {
        let bytes: usize = piece.iter().map(|frame| frame.len()).sum();
        assert!(bytes < (4 << 20) || piece.len() == 1);
    }
    assert_eq!(pieces.iter().map(|piece| piece.len()).sum::<usize>(), 6);
}

#[test]
fn faults_of_lists_say_where() {
    for (error, reason, text) in [
        (
            Error::MixedNumbers { index: 7 },
            "mixed_numbers",
            "(element 7)",
        ),
        (
            Error::IntegerTooLarge { index: 7 },
            "integer_too_large",
            "element 7 is an integer beyond signed 64 bits",
        ),
        (
            Error::InvalidElement {
                index: 7,
                expected: "a number",
            },
            "invalid_element",
            "element 7 is not a number",
        ),
    ] {
        assert_eq!(
            (error.reason(), error.figures()),
            (reason, vec![("index", 7)])
        );
        assert!(error.to_string().contains(text));
    }
}
