//! Work on numbers, bytes and many binaries, in slices.
//!
//! A [`Kernel`] has a range of its input to work on. [`Kernel::step`] goes on until the range is done
//! or its caller says that this slice is over, and never keeps a reference: the caller passes the
//! same input again at each step. To share an input out over threads, [`split`] it, make a kernel
//! for each range, step each until it is done, [`Kernel::join`] the later ones to the first in their
//! order, and step that again: what takes long after a join (merging sorted parts) is done there.
//!
//! Packed input is read where it lies, in the machine's byte order and at any alignment.

mod args;
mod buffer;
mod compress_many;
mod cost;
mod count;
mod cursor;
mod error;
mod extremes;
mod gather;
mod histogram;
mod input;
mod job;
mod mean;
mod number;
mod quantiles;
mod radix;
mod runs;
mod sort;
mod sum;
mod tally;
mod top_k;
mod value;
mod variance;
mod whitespace;
mod words;
mod xxh3;

use std::any::Any;
use std::ops::Range;

pub use args::{Arg, Args};
pub use buffer::Buffer;
pub use cost::Cost;
pub use error::Error;
pub use gather::Gather;
pub use input::{Input, Numbers, Takes};
pub use job::{Fault, Job, Remains, Slice, Source, Work};
pub use number::Kind;
pub use tally::{Word, Words};
pub use value::{Histogram, Packed, Value};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The slice is over, the work is not.
    More,
    /// Nothing is left to do, until another kernel is joined.
    Done,
}

/// Work on a range of an input.
pub trait Kernel: Any + Send {
    /// Goes on. `more` is asked whether the slice may go on: after every 50 to 100 microseconds of
    /// work, or 200 where a run is sorted and 400 where a block is compressed. Each step does some
    /// work before it asks for the first time, so that steps of any length come to an end. The input
    /// has to be the one that the kernel was made for: another one is an error or a wrong result,
    /// never a panic.
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error>;

    /// Takes over what `next` found in the range that begins where this one's ends. Both are done.
    /// Afterwards this one has to be stepped until it is done again.
    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error>;

    /// The result, once all is done.
    fn finish(self: Box<Self>) -> Result<Value, Error>;

    /// Takes out what takes long to free, in pieces that do not.
    fn pieces(&mut self) -> Vec<Box<dyn Send>> {
        Vec::new()
    }

    /// Units of work done, and all of them: elements, bytes or binaries, of which a kernel that
    /// passes over its input more than once has as many more. There are more of them after a join,
    /// and where sorted parts are merged or written.
    fn progress(&self) -> (u64, u64);
}

type Made = Result<Box<dyn Kernel>, Error>;

/// A kernel as the table has it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is called.
    pub name: &'static str,
    /// What it works on.
    pub takes: Takes,
    /// Which inputs can be shared out.
    pub splits: Splits,
    /// What it takes, of units of so many bytes and with these arguments, which may be wrong.
    cost: fn(usize, &Args) -> Cost,
    /// Makes of the arguments what all parts have in common.
    prepare: fn(&mut Args) -> Result<(), Error>,
    new: fn(&Input, Range<usize>, &mut Args) -> Made,
}

/// Which inputs of a kernel can be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splits {
    /// All.
    Always,
    /// Many binaries, but not one.
    Many,
    /// None.
    Never,
}

use Splits::{Always, Many, Never};

/// Every kernel.
#[rustfmt::skip]
pub const KERNELS: &[Entry] = &[
    entry("sum", Takes::Numbers, Always, sum::cost, sum::new),
    entry("mean", Takes::Numbers, Always, sum::cost, mean::new),
    entry("variance", Takes::Numbers, Always, variance::cost, variance::new),
    entry("min", Takes::Numbers, Always, extremes::cost, extremes::min),
    entry("max", Takes::Numbers, Always, extremes::cost, extremes::max),
    entry("quantiles", Takes::Numbers, Never, quantiles::cost, quantiles::new),
    entry("histogram", Takes::Numbers, Always, histogram::cost, histogram::new).prepared(histogram::prepare),
    entry("sort", Takes::Numbers, Always, sort::cost, sort::new),
    entry("top_k", Takes::Numbers, Always, top_k::cost, top_k::new),
    entry("count", Takes::Bytes, Always, count::cost, count::new).prepared(count::prepare),
    entry("words", Takes::Bytes, Always, words::cost, words::new),
    entry("xxh3_64", Takes::Bytes, Many, xxh3::cost, xxh3::short),
    entry("xxh3_128", Takes::Bytes, Many, xxh3::cost, xxh3::long),
    entry("compress_many", Takes::Many, Always, compress_many::cost, compress_many::new),
];

const fn entry(
    name: &'static str,
    takes: Takes,
    splits: Splits,
    cost: fn(usize, &Args) -> Cost,
    new: fn(&Input, Range<usize>, &mut Args) -> Made,
) -> Entry {
    Entry {
        name,
        takes,
        splits,
        cost,
        prepare: |_| Ok(()),
        new,
    }
}

impl Entry {
    const fn prepared(mut self, prepare: fn(&mut Args) -> Result<(), Error>) -> Self {
        self.prepare = prepare;
        self
    }
}

/// The kernel of a name.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    KERNELS
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Error::UnknownKernel(name.chars().take(64).collect()))
}

impl Entry {
    /// Whether this input can be shared out.
    pub fn splits(&self, input: &Input) -> bool {
        match self.splits {
            Always => true,
            Many => matches!(input, Input::Many(_)),
            Never => false,
        }
    }

    /// What it takes with these arguments, of numbers of so many bytes, or of bytes.
    pub fn cost(&self, size: usize, args: &Args) -> Cost {
        (self.cost)(size, args)
    }

    /// The arguments with what all parts have in common: what takes long to make of them is made once.
    pub fn prepare(&self, mut args: Args) -> Result<Args, Error> {
        if !args.prepared {
            (self.prepare)(&mut args)?;
            args.prepared = true;
        }
        Ok(args)
    }

    /// A kernel for a range of the input (`0..input.len()` for all of it), with its arguments.
    pub fn create(&self, input: &Input, range: Range<usize>, args: Args) -> Made {
        if !self.takes.accepts(input) {
            return Err(Error::Input {
                kernel: self.name,
                takes: self.takes.name(),
            });
        }
        let all = 0..input.len();
        if range.start > range.end || range.end > all.end || (!self.splits(input) && range != all) {
            return Err(Error::Range {
                kernel: self.name,
                range,
                len: all.end,
            });
        }
        let mut args = self.prepare(args)?;
        let kernel = (self.new)(input, range, &mut args)?;
        args.finish(self.name)?;
        Ok(kernel)
    }
}

/// Shares an input out: up to `parts` ranges of about the same size, at least one.
pub fn split(input: &Input, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let len = input.len();
    let size = len.div_ceil(parts.max(1)).max(1);
    let count = len.div_ceil(size).max(1);
    (0..count).map(move |part| part * size..len.min((part + 1) * size))
}

/// The other kernel as one of the same kind, as which alone it can be joined.
fn same<K: Kernel>(other: Box<dyn Kernel>) -> Result<Box<K>, Error> {
    let other: Box<dyn Any> = other;
    other.downcast().map_err(|_| Error::Mismatch)
}
