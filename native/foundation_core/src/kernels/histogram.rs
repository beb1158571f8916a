//! How many numbers fall into bins (`Value::Histogram`).
//!
//! Up to 65,536 bins, of the same width with `bins`, `min` and `max`, or between `edges` (rising). A bin
//! has its lower edge and not its upper one; the last has both. What is below, above or NaN is
//! counted apart. Exact: a number is compared with the edges themselves, which for `bins` are
//! `min + (max - min) * (n / bins)` and at last `max`. Integers beyond 2^53 are taken as the nearest
//! floats.
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::cursor::Cursor;
use super::number::{Number, of_kind};
use super::{Arg, Args, Buffer, Cost, Error, Histogram, Input, Kernel, Made, Step, Value, same};

/// Numbers between two looks at the clock.
const BLOCK: usize = 8 * 1024;

/// Numbers whose slots are guessed at once.
const GROUP: usize = 64;

/// The most bins: to read, check and add up as many takes less than a slice.
const MOST: u64 = 1 << 16;

pub(super) fn cost(_: usize, args: &Args) -> Cost {
    // With those of searching in even bins that floats hardly tell apart.
    let (edges, bins) = (args.len("edges"), args.whole("bins").unwrap_or(0));
    let slots = edges.max(bins);
    let unit = if edges == 0 && are_guessed(bins as f64, args) {
        2_000
    } else {
        3_300 + 1_100 * u64::from(slots.max(1).ilog2())
    };
    Cost::of(unit).once(slots, 20_000)
}

/// Whether a multiplication finds hardly ever the wrong bin: not where edges are rounded by as much
/// as bins are wide.
fn are_guessed(bins: f64, args: &Args) -> bool {
    const TOLD_APART: f64 = 1.0 / (1u64 << 40) as f64;
    let bound = |name| args.number(name).unwrap_or(0.0);
    let (min, max) = (bound("min"), bound("max"));
    let wide = (max - min) / bins;
    (1.0 / wide).is_finite() && wide > TOLD_APART * min.abs().max(max.abs())
}

pub(super) fn prepare(args: &mut Args) -> Result<(), Error> {
    let slots = match args.take("edges") {
        None => even(args)?,
        Some(edges) => given(edges)?,
    };
    args.keep("edges", slots);
    Ok(())
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let slots: Arc<Slots> = args.kept("edges")?;
    of_kind!(input.kind()?, T => Ok(Box::new(Bins::<T> {
        cursor: Cursor::new(range),
        slots,
        counts: Buffer::with_room(0)?,
        later: Vec::new(),
        nan: 0,
        of: PhantomData,
    })))
}

fn given(edges: Arg) -> Result<Slots, Error> {
    let wrong = Error::Argument {
        name: "edges",
        expected: "a list of 2 to 65,537 finite numbers, each above the one before",
    };
    match edges {
        Arg::Floats(edges)
            if (2..=MOST as usize + 1).contains(&edges.len())
                && edges.iter().all(|edge| edge.is_finite())
                && edges.windows(2).all(|pair| pair[0] < pair[1]) =>
        {
            Ok(Slots::new(lower(edges.len(), edges.into_iter())?, None))
        }
        _ => Err(wrong),
    }
}

/// Bins of the same width.
fn even(args: &mut Args) -> Result<Slots, Error> {
    let bins = args.int("bins", None, (1, MOST), "from 1 to 65,536")?;
    let (min, max) = (args.float("min")?, args.float("max")?);
    let width = max - min;
    if width.is_infinite() {
        return Err(Error::Argument {
            name: "max",
            expected: "so near min that the distance is a float",
        });
    }
    let places = (0..bins).map(|bin| min + width * (bin as f64 / bins as f64));
    let lower = lower(bins as usize + 1, places.chain([max]))?;
    if lower[1..].windows(2).all(|pair| pair[0] < pair[1]) {
        // Of a width that is next to nothing it is infinite, and tells nothing.
        let scale = Some(bins as f64 / width).filter(|scale| scale.is_finite());
        return Ok(Slots::new(lower, scale));
    }
    Err(Error::Argument {
        name: "max",
        expected: "above min, by enough for all bins",
    })
}

/// Where slots begin: the one below all edges, and the one above each; with room for one more.
fn lower(count: usize, edges: impl Iterator<Item = f64>) -> Result<Buffer<f64>, Error> {
    let mut lower = Buffer::with_room(count + 2)?;
    lower.vec().push(f64::NEG_INFINITY);
    lower.vec().extend(edges);
    Ok(lower)
}

/// Where numbers fall: below the first edge, between each two, and above the last.
struct Slots {
    /// Where each slot begins, and infinity. The last edge is moved up to the next float there is,
    /// because what equals it is not above it.
    lower: Buffer<f64>,
    /// How many bins there are in a distance of one, where they are even.
    scale: Option<f64>,
}

impl Slots {
    fn new(mut lower: Buffer<f64>, scale: Option<f64>) -> Self {
        if let Some(last) = lower.last_mut() {
            *last = last.next_up();
        }
        lower.vec().push(f64::INFINITY);
        Slots { lower, scale }
    }

    /// The edges, of which the last is moved.
    fn edges(&self) -> &[f64] {
        &self.lower[1..self.lower.len() - 1]
    }

    /// Counts numbers.
    fn count<T: Number>(&self, bytes: &[u8], counts: &mut [u64], nan: &mut u64) {
        for group in bytes.chunks(GROUP * size_of::<T>()) {
            let mut guesses = [0; GROUP];
            if let Some(scale) = self.scale {
                self.guess::<T>(group, scale, &mut guesses);
            }
            for (number, guess) in T::values(group).zip(guesses) {
                let (number, guess) = (number.float(), guess as usize);
                if number >= self.lower[guess] && number < self.lower[guess + 1] {
                    counts[guess] += 1;
                } else if number.is_nan() {
                    *nan += 1;
                } else {
                    counts[self.find(number)] += 1;
                }
            }
        }
    }

    /// The slots of numbers by multiplication: hardly ever the wrong ones.
    #[inline]
    fn guess<T: Number>(&self, bytes: &[u8], scale: f64, guesses: &mut [u32; GROUP]) {
        // What is added to it leaves the whole part of a float in its lowest bits, rounded. A number
        // on an edge is to be above it, also where rounding has brought it down a little.
        const WHOLE: f64 = (1u64 << 52) as f64;
        const UP: f64 = 0.5 + 1.0 / (1 << 20) as f64;
        let (first, last) = (self.lower[1], (self.lower.len() - 2) as f64);
        for (guess, number) in guesses.iter_mut().zip(T::values(bytes)) {
            let place = (number.float() - first) * scale + UP;
            // In this form NaN is 0.
            let place = if place > 0.0 { place } else { 0.0 };
            let place = if place < last { place } else { last };
            *guess = (place + WHOLE).to_bits() as u32;
        }
    }

    /// The slot of a number by search.
    #[cold]
    fn find(&self, number: f64) -> usize {
        self.edges().partition_point(|edge| *edge <= number)
    }
}

struct Bins<T> {
    cursor: Cursor,
    slots: Arc<Slots>,
    /// None before the first step, so that making many parts does not take longer for them.
    counts: Buffer<u64>,
    /// Joined and not yet added.
    later: Vec<Buffer<u64>>,
    nan: u64,
    of: PhantomData<T>,
}

impl<T> Bins<T> {
    fn reserve(&mut self) -> Result<(), Error> {
        if self.counts.is_empty() {
            self.counts = Buffer::filled(0, self.slots.lower.len() - 1)?;
        }
        Ok(())
    }
}

impl<T: Number> Kernel for Bins<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        self.reserve()?;
        while let Some(later) = self.later.pop() {
            for (count, more) in self.counts.iter_mut().zip(later.iter()) {
                *count += more;
            }
            if !more() {
                return Ok(Step::More);
            }
        }
        let (slots, counts, nan) = (&self.slots, &mut self.counts[..], &mut self.nan);
        self.cursor.walk::<T>(input, BLOCK, more, |block| {
            slots.count::<T>(block, counts, nan);
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        let same =
            Arc::ptr_eq(&self.slots, &next.slots) || self.slots.lower[..] == next.slots.lower[..];
        if !same {
            return Err(Error::Mismatch);
        }
        self.cursor.join(&next.cursor)?;
        self.nan += next.nan;
        self.later.extend(next.later);
        self.later.push(next.counts);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        if !self.later.is_empty() {
            return Err(Error::Unfinished);
        }
        self.reserve()?;
        let (mut counts, nan) = (self.counts, self.nan);
        let above = counts.pop().unwrap_or(0);
        let below = counts.first().copied().unwrap_or(0);
        let none = 1.min(counts.len());
        counts.vec().drain(..none);
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
