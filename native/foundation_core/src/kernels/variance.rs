//! The variance of numbers (`Value::Float`), of all there are or, with `sample: true`, of a sample.
//!
//! In two passes over each 512 numbers while these are in the first-level cache, all as distances from
//! the mean of the first 512, and groups joined by the formula of Chan, Golub and LeVeque: nothing is
//! lost where the mean is large and the variance small. Within 10^-12 of the variance, as long as the
//! sum of these squares stays in the range of floats (above it infinite or NaN). NaN where a number is
//! infinite or none. Integers beyond 2^53 are taken as the nearest floats.
//! `Error::Empty` where there are none, or only one of a sample.
use std::marker::PhantomData;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Number, of_kind};
use super::sum::{BLOCK, GROUP, in_lanes};
use super::{Args, Cost, Error, Input, Kernel, Made, Step, Value, same};

pub(super) fn cost(_: usize, _: &Args) -> Cost {
    Cost::of(900)
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let sample = args.bool("sample")?;
    of_kind!(input.kind()?, T => Ok(Box::new(Variance::<T> {
        cursor: Cursor::new(range),
        moments: None,
        sample,
        of: PhantomData,
    })))
}

/// How many, their mean, and the sum of the squares of their distances from it.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    /// Near the mean: what the mean and the numbers are distances from, so that these are short.
    pivot: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of some numbers, one at least.
    fn of<T: Number>(group: &[u8], pivot: Option<f64>) -> Self {
        let count = (group.len() / size_of::<T>()) as f64;
        let pivot = pivot.unwrap_or_else(|| middle::<T>(group, count));
        let mean = in_lanes::<T>(group, |number| number - pivot) / count;
        let squares = in_lanes::<T>(group, |number| {
            let distance = number - pivot - mean;
            distance * distance
        });
        Moments {
            count,
            pivot,
            mean,
            squares,
        }
    }

    fn join(&mut self, next: &Moments) {
        let count = self.count + next.count;
        let apart = (next.pivot - self.pivot) + (next.mean - self.mean);
        let share = next.count / count;
        self.mean += apart * share;
        self.squares += next.squares + apart * apart * (self.count * share);
        self.count = count;
    }
}

/// The mean, or the first where the sum is beyond floats.
fn middle<T: Number>(group: &[u8], count: f64) -> f64 {
    let mean = in_lanes::<T>(group, |number| number) / count;
    match T::values(group).next() {
        Some(first) if !mean.is_finite() => first.float(),
        _ => mean,
    }
}

fn join(one: &mut Option<Moments>, next: &Moments) {
    match one {
        None => *one = Some(*next),
        Some(one) => one.join(next),
    }
}

struct Variance<T> {
    cursor: Cursor,
    /// None of none.
    moments: Option<Moments>,
    sample: bool,
    of: PhantomData<T>,
}

impl<T: Number> Kernel for Variance<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let moments = &mut self.moments;
        self.cursor.walk::<T>(input, BLOCK, more, |block| {
            for group in block.chunks(GROUP * size_of::<T>()) {
                let pivot = moments.map(|moments| moments.pivot);
                join(moments, &Moments::of::<T>(group, pivot));
            }
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        self.cursor.join(&next.cursor)?;
        if let Some(next) = next.moments {
            join(&mut self.moments, &next);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        let freedom = u64::from(self.sample);
        let count = self.cursor.take_at_least("variance", 1 + freedom)?;
        let squares = self.moments.map_or(0.0, |moments| moments.squares);
        Ok(Value::Float(squares / (count - freedom) as f64))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
