//! How many numbers fall into bins (`Value::Histogram`).
//!
//! Bins of the same width with `bins`, `min` and `max`, or between `edges` (two at least, rising). A bin
//! has its lower edge and not its upper one; the last has both. What is below, above or NaN is
//! counted apart. Exact: a number is compared with the edges themselves, which for `bins` are
//! `min + (max - min) * (n / bins)` and at last `max`. Integers beyond 2^53 are taken as the nearest
//! floats.
use std::marker::PhantomData;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Number, of_kind};
use super::{Arg, Args, Buffer, Error, Histogram, Input, Kernel, Made, Step, Value, same};

/// Numbers between two looks at the clock.
const BLOCK: usize = 8 * 1024;

/// The most bins: 8 MiB of counts.
const MOST: u64 = 1 << 20;

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let (edges, scale) = match args.take("edges") {
        None => even(args)?,
        Some(edges) => (given(edges)?, None),
    };
    let counts = Buffer::filled(0, edges.len() + 1)?;
    of_kind!(input.kind()?, T => Ok(Box::new(Bins::<T> {
        cursor: Cursor::new(range),
        edges,
        scale,
        counts,
        nan: 0,
        of: PhantomData,
    })))
}

fn given(edges: Arg) -> Result<Buffer<f64>, Error> {
    let wrong = Error::Argument {
        name: "edges",
        expected: "a list of 2 to 1,048,577 finite numbers, each above the one before",
    };
    match edges {
        Arg::Floats(edges)
            if (2..=MOST as usize + 1).contains(&edges.len())
                && edges.iter().all(|edge| edge.is_finite())
                && edges.windows(2).all(|pair| pair[0] < pair[1]) =>
        {
            let mut own = Buffer::with_room(edges.len())?;
            own.vec().extend(edges);
            Ok(own)
        }
        _ => Err(wrong),
    }
}

/// Edges at even distances, and how many bins there are in a distance of one.
fn even(args: &mut Args) -> Result<(Buffer<f64>, Option<f64>), Error> {
    let bins = args.int("bins", None, (1, MOST), "from 1 to 1,048,576")?;
    let (min, max) = (args.float("min")?, args.float("max")?);
    let width = max - min;
    let mut edges = Buffer::with_room(bins as usize + 1)?;
    let places = (0..bins).map(|bin| min + width * (bin as f64 / bins as f64));
    edges.vec().extend(places.chain([max]));
    if width.is_finite() && edges.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok((edges, Some(bins as f64 / width)));
    }
    Err(Error::Argument {
        name: "max",
        expected: "above min, by enough for all bins",
    })
}

struct Bins<T> {
    cursor: Cursor,
    edges: Buffer<f64>,
    scale: Option<f64>,
    /// Below the first edge, between each two, and above the last.
    counts: Buffer<u64>,
    nan: u64,
    of: PhantomData<T>,
}

/// How many edges are not above the number, the last one counting as below what equals it.
#[inline]
fn place(edges: &[f64], scale: Option<f64>, number: f64) -> usize {
    let (first, last) = (edges[0], edges[edges.len() - 1]);
    if number < first {
        return 0;
    }
    if number >= last {
        return edges.len() - usize::from(number == last);
    }
    let Some(scale) = scale else {
        return edges.partition_point(|edge| *edge <= number);
    };
    // Rounding may have put it one bin off.
    let mut bin = (((number - first) * scale) as usize).min(edges.len() - 2);
    while number < edges[bin] {
        bin -= 1;
    }
    while number >= edges[bin + 1] {
        bin += 1;
    }
    bin + 1
}

impl<T: Number> Kernel for Bins<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let (edges, scale) = (&self.edges[..], self.scale);
        let (counts, nan) = (&mut self.counts[..], &mut self.nan);
        self.cursor.walk::<T>(input, BLOCK, more, |block| {
            for number in T::values(block).map(Number::float) {
                if number.is_nan() {
                    *nan += 1;
                } else {
                    counts[place(edges, scale, number)] += 1;
                }
            }
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        if self.edges[..] != next.edges[..] {
            return Err(Error::Mismatch);
        }
        self.cursor.join(&next.cursor)?;
        self.nan += next.nan;
        for (count, more) in self.counts.iter_mut().zip(next.counts.iter()) {
            *count += more;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        let nan = self.nan;
        let mut counts = self.counts.into_vec();
        let above = counts.pop().unwrap_or(0);
        let below = counts.first().copied().unwrap_or(0);
        counts.drain(..1.min(counts.len()));
        Ok(Value::Histogram(Histogram {
            counts,
            below,
            above,
            nan,
        }))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
