//! Inputs, and a driver that steps kernels as its caller does.
use std::cmp::Ordering;

use foundation_core::kernels::{Args, Error, Input, Kind, Numbers, Step, Value, find};
use proptest::collection::vec;
use proptest::prelude::*;

/// How a job is cut: where its ranges meet, and what `more` says, over and over.
#[derive(Clone, Debug)]
pub struct Cuts {
    pub ranges: Vec<f64>,
    pub more: Vec<bool>,
}

impl Cuts {
    /// One range in one slice.
    pub fn none() -> Self {
        Cuts {
            ranges: vec![],
            more: vec![true],
        }
    }

    /// Two ranges.
    pub fn halves() -> Self {
        Cuts {
            ranges: vec![0.5],
            more: vec![true],
        }
    }

    /// One range in the shortest slices there are.
    pub fn short() -> Self {
        Cuts {
            ranges: vec![],
            more: vec![false],
        }
    }
}

pub fn cuts() -> impl Strategy<Value = Cuts> {
    let ranges = vec(0.0..=1.0, 0..5);
    (ranges, vec(any::<bool>(), 1..8)).prop_map(|(ranges, more)| Cuts { ranges, more })
}

pub fn run(name: &str, input: Input, args: Args, cuts: &Cuts) -> Result<Value, Error> {
    let entry = find(name)?;
    let place = |cut: &f64| (input.len() as f64 * cut) as usize;
    let mut at: Vec<usize> = cuts.ranges.iter().map(place).collect();
    if !entry.splits(&input) {
        at.clear();
    }
    at.extend([0, input.len()]);
    at.sort_unstable();
    let mut answers = cuts.more.iter().cycle();
    let mut more = || *answers.next().unwrap();
    let mut joined: Option<Box<dyn foundation_core::kernels::Kernel>> = None;
    for range in at.windows(2) {
        let mut kernel = entry.create(&input, range[0]..range[1], args.clone())?;
        while kernel.step(&input, &mut more)? == Step::More {}
        match &mut joined {
            None => joined = Some(kernel),
            Some(first) => first.join(kernel)?,
        }
    }
    let mut kernel = joined.unwrap();
    while kernel.step(&input, &mut more)? == Step::More {}
    let (done, all) = kernel.progress();
    assert_eq!(done, all);
    kernel.finish()
}

/// Packed numbers, a few bytes into their memory.
#[derive(Clone, Debug)]
pub struct Packed {
    pub kind: Kind,
    bytes: Vec<u8>,
    offset: usize,
}

/// A number as a model sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn float(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }

    /// The order of integers, and the total order of floats.
    pub fn order(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Int(one), Number::Int(two)) => one.cmp(two),
            (Number::Float(one), Number::Float(two)) => one.total_cmp(two),
            _ => panic!("integers among floats"),
        }
    }
}

impl Packed {
    pub fn new(kind: Kind, bytes: &[u8], offset: usize) -> Self {
        let mut moved = vec![0xA5; offset];
        moved.extend_from_slice(bytes);
        Packed {
            kind,
            bytes: moved,
            offset,
        }
    }

    pub fn f64s(floats: &[f64]) -> Self {
        let bytes: Vec<u8> = floats
            .iter()
            .flat_map(|float| float.to_ne_bytes())
            .collect();
        Packed::new(Kind::F64, &bytes, 3)
    }

    pub fn i64s(ints: &[i64]) -> Self {
        let bytes: Vec<u8> = ints.iter().flat_map(|int| int.to_ne_bytes()).collect();
        Packed::new(Kind::I64, &bytes, 1)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.offset..]
    }

    pub fn input(&self) -> Input<'_> {
        Input::Packed(Numbers::new(self.kind, &self.bytes[self.offset..]).unwrap())
    }

    pub fn run(&self, name: &str, args: Args, cuts: &Cuts) -> Result<Value, Error> {
        run(name, self.input(), args, cuts)
    }

    pub fn numbers(&self) -> Vec<Number> {
        numbers(self.kind, &self.bytes[self.offset..])
    }
}

/// What bytes hold.
pub fn numbers(kind: Kind, bytes: &[u8]) -> Vec<Number> {
    let parts = bytes.chunks(kind.size());
    macro_rules! read {
        ($type:ty, $part:expr) => {
            <$type>::from_ne_bytes($part.try_into().unwrap())
        };
    }
    let read = |part: &[u8]| match kind {
        Kind::I8 => Number::Int(read!(i8, part).into()),
        Kind::U8 => Number::Int(read!(u8, part).into()),
        Kind::I16 => Number::Int(read!(i16, part).into()),
        Kind::U16 => Number::Int(read!(u16, part).into()),
        Kind::I32 => Number::Int(read!(i32, part).into()),
        Kind::U32 => Number::Int(read!(u32, part).into()),
        Kind::I64 => Number::Int(read!(i64, part).into()),
        Kind::U64 => Number::Int(read!(u64, part).into()),
        Kind::F32 => Number::Float(read!(f32, part).into()),
        Kind::F64 => Number::Float(read!(f64, part)),
    };
    parts.map(read).collect()
}

/// Bytes of one number: any bits, or what is special about floats.
fn number(kind: Kind) -> BoxedStrategy<Vec<u8>> {
    let any = any::<u64>().prop_map(move |bits| bits.to_ne_bytes()[..kind.size()].to_vec());
    let special = prop_oneof![
        12 => -1e6..1e6,
        1 => Just(0.0), 1 => Just(-0.0), 1 => Just(f64::MIN_POSITIVE),
    ];
    let wild = prop_oneof![
        Just(f64::NAN),
        Just(-f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY)
    ];
    let float = prop_oneof![200 => special, 1 => wild];
    match kind {
        Kind::F64 => {
            prop_oneof![1 => any, 300 => float.prop_map(|f| f.to_ne_bytes().to_vec())].boxed()
        }
        Kind::F32 => float
            .prop_map(|f| (f as f32).to_ne_bytes().to_vec())
            .boxed(),
        _ => any.boxed(),
    }
}

/// Up to a few hundred numbers, or the same over and over, so that there is more than one block.
pub fn packed() -> impl Strategy<Value = Packed> {
    let kind = prop::sample::select(Kind::ALL.map(|(kind, _)| kind).to_vec());
    let times = prop_oneof![3 => Just(1usize), 1 => 2..400usize];
    (kind, times, 0..9usize).prop_flat_map(|(kind, times, offset)| {
        vec(number(kind), 0..250)
            .prop_map(move |numbers| Packed::new(kind, &numbers.concat().repeat(times), offset))
    })
}
