//! Quantiles of numbers (`Value::Floats`), in the order of the `q` asked for (0.0 to 1.0, up to 1,000).
//!
//! Between two numbers by linear interpolation, as spreadsheets and NumPy do by default (type 7 of
//! Hyndman and Fan); exact where a quantile falls on a number, otherwise within 2 units in the last
//! place of the greater of the two. Next to one infinity that one, between both NaN. Integers beyond
//! 2^53 are taken as the nearest floats. All NaN where a number is. `Error::Empty` where there are
//! none. One input cannot be shared out.
//!
//! In three passes that copy only what lies near a quantile: the least and the greatest, how many
//! lie where between them, and then those are sorted that share a bucket with a quantile.
use std::ops::Range;

use super::cursor::Cursor;
use super::extremes::Bounds;
use super::number::{Key, Number, of_kind};
use super::runs::Runs;
use super::sum::BLOCK;
use super::{Arg, Args, Buffer, Cost, Error, Input, Kernel, Made, Step, Value};

/// The most quantiles.
const MOST: usize = 1000;

/// Buckets (256 KiB of counts: they stay in the second-level cache) for many numbers; less for fewer.
const BITS: u32 = 15;

/// Where many are asked for, most numbers lie near one.
const NEAR: u64 = 50;

pub(super) fn cost(size: usize, args: &Args) -> Cost {
    let asked = args.len("q");
    let unit = 1_500 + 1_300 * size as u64;
    let unit = if asked > NEAR { unit + unit / 2 } else { unit };
    Cost::of(unit).once(asked, 50_000)
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let asked = match args.take("q") {
        Some(Arg::Floats(asked)) if valid(&asked) => asked,
        Some(Arg::Float(one)) if valid(&[one]) => vec![one],
        _ => {
            return Err(Error::Argument {
                name: "q",
                expected: "a list of 1 to 1,000 numbers from 0.0 to 1.0",
            });
        }
    };
    of_kind!(input.kind()?, T => Quantiles::<T>::boxed(range, asked))
}

fn valid(asked: &[f64]) -> bool {
    (1..=MOST).contains(&asked.len()) && asked.iter().all(|q| (0.0..=1.0).contains(q))
}

/// What is done now.
enum Phase<K> {
    Bounds,
    Count,
    Gather,
    /// Sorts the runs of what was gathered, of which so many are done.
    Seal(usize),
    Merge,
    Done(Buffer<K>),
    /// A number is none.
    Nan,
}

struct Quantiles<T: Number> {
    cursor: Cursor,
    asked: Vec<f64>,
    phase: Phase<T::Key>,
    bounds: Bounds<T::Key>,
    /// What keys are shifted by to find their bucket.
    shift: u32,
    counts: Buffer<u64>,
    /// Whether a bucket's keys are needed.
    needed: Buffer<bool>,
    /// Where each quantile's lower and upper number lie among the gathered, and how far between them.
    places: Vec<(usize, usize, f64)>,
    gathered: Option<Runs<T::Key>>,
    passes: u64,
}

impl<T: Number> Quantiles<T> {
    fn boxed(range: Range<usize>, asked: Vec<f64>) -> Made {
        let bits = range.len().max(16).ilog2().min(BITS);
        Ok(Box::new(Quantiles::<T> {
            cursor: Cursor::new(range),
            asked,
            phase: Phase::Bounds,
            bounds: Bounds::none(),
            shift: 0,
            counts: Buffer::filled(0, 1 << bits)?,
            needed: Buffer::filled(false, 1 << bits)?,
            places: Vec::new(),
            gathered: None,
            passes: 0,
        }))
    }

    fn pass(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let (bounds, shift) = (&mut self.bounds, self.shift);
        let (counts, needed) = (&mut self.counts[..], &self.needed[..]);
        match &self.phase {
            Phase::Bounds => self
                .cursor
                .walk::<T>(input, BLOCK, more, |block| bounds.add::<T>(block)),
            Phase::Count => self.cursor.walk::<T>(input, BLOCK / 2, more, |block| {
                for number in T::values(block) {
                    let at = bucket(number.key(), bounds.least, shift, counts.len());
                    counts[at] += 1;
                }
            }),
            Phase::Gather => {
                let Some(runs) = &mut self.gathered else {
                    return Err(Error::Mismatch);
                };
                let keys = runs.keys();
                self.cursor.walk::<T>(input, BLOCK / 2, more, |block| {
                    for key in T::values(block).map(Number::key) {
                        // Only another input than before has more.
                        if needed[bucket(key, bounds.least, shift, needed.len())]
                            && keys.len() < keys.capacity()
                        {
                            keys.push(key);
                        }
                    }
                })
            }
            _ => Ok(Step::Done),
        }
    }

    /// What comes after a phase that is done.
    fn next(&mut self) -> Result<(), Error> {
        let phase = std::mem::replace(&mut self.phase, Phase::Nan);
        self.phase = match phase {
            Phase::Bounds => {
                self.passes = 1;
                if self.cursor.len() > 0 && self.bounds.has_nan::<T>() {
                    Phase::Nan
                } else {
                    self.cursor.restart();
                    self.shift = self.width();
                    Phase::Count
                }
            }
            Phase::Count => {
                self.passes = 2;
                self.cursor.restart();
                self.gathered = Some(Runs::new(self.locate())?);
                Phase::Gather
            }
            Phase::Gather => Phase::Seal(0),
            other => other,
        };
        Ok(())
    }

    /// How much narrower buckets are than what lies between the bounds.
    fn width(&self) -> u32 {
        let apart = self
            .bounds
            .most
            .wide()
            .wrapping_sub(self.bounds.least.wide());
        let bits = u64::BITS - apart.leading_zeros();
        bits.saturating_sub(self.counts.len().ilog2())
    }

    /// Marks the buckets of all quantiles, and says how many keys these hold.
    fn locate(&mut self) -> usize {
        let last = self.cursor.len().saturating_sub(1);
        let ranks = self.asked.iter().map(|q| {
            let rank = last as f64 * q;
            let low = (rank as u64).min(last);
            // Above 2^53 numbers the rank has no fraction.
            let part = (rank - low as f64).clamp(0.0, 1.0);
            (low, if part > 0.0 { last.min(low + 1) } else { low }, part)
        });
        let ranks: Vec<(u64, u64, f64)> = ranks.collect();
        let mut sorted: Vec<u64> = ranks.iter().flat_map(|rank| [rank.0, rank.1]).collect();
        sorted.sort_unstable();
        let (places, gathered) = self.mark(&sorted);
        // Of nothing no rank has a place.
        let place = |rank| {
            let at = sorted.partition_point(|known| *known < rank);
            places.get(at).copied().unwrap_or(usize::MAX)
        };
        self.places = ranks
            .iter()
            .map(|(low, high, part)| (place(*low), place(*high), *part))
            .collect();
        gathered
    }

    /// Marks the buckets of ranks, and says where these ranks lie among the gathered, and how many
    /// will be gathered.
    fn mark(&mut self, ranks: &[u64]) -> (Vec<usize>, usize) {
        let (mut below, mut gathered) = (0, 0);
        let mut places = Vec::with_capacity(ranks.len());
        for (count, needed) in self.counts.iter().zip(self.needed.iter_mut()) {
            let inside = |rank: &&u64| **rank < below + count;
            let here = ranks[places.len()..].iter().take_while(inside).count();
            for rank in &ranks[places.len()..][..here] {
                places.push(gathered + (rank - below) as usize);
            }
            below += count;
            if here > 0 {
                *needed = true;
                gathered += *count as usize;
            }
        }
        (places, gathered)
    }

    fn value(&self, sorted: &[T::Key]) -> Result<Value, Error> {
        let number = |place: usize| {
            let key = sorted.get(place).ok_or(Error::Mismatch)?;
            Ok::<f64, Error>(T::of_key(*key).float())
        };
        let between = self.places.iter().map(|(low, high, part)| {
            let (low, high) = (number(*low)?, number(*high)?);
            Ok(between(low, high, *part))
        });
        Ok(Value::Floats(between.collect::<Result<_, Error>>()?))
    }
}

#[inline]
fn bucket<K: Key>(key: K, least: K, shift: u32, buckets: usize) -> usize {
    let at = key.wide().wrapping_sub(least.wide()) >> shift;
    // Only another input than before can be beyond its bounds.
    (at as usize).min(buckets - 1)
}

fn between(low: f64, high: f64, part: f64) -> f64 {
    let apart = high - low;
    // What is infinitely far above the lower one is no nearer to the upper one.
    let endless = low.is_infinite() && high.is_finite();
    if part == 0.0 || low == high || endless {
        low
    } else if apart.is_infinite() && low.is_finite() && high.is_finite() {
        low * (1.0 - part) + high * part
    } else {
        low + apart * part
    }
}

impl<T: Number> Kernel for Quantiles<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        loop {
            match &mut self.phase {
                Phase::Done(_) | Phase::Nan => return Ok(Step::Done),
                Phase::Seal(run) => {
                    if self.gathered.as_mut().is_some_and(|runs| runs.seal(*run)) {
                        *run += 1;
                    } else {
                        self.phase = Phase::Merge;
                    }
                }
                Phase::Merge => match self.gathered.take_if(|runs| runs.is_sorted()) {
                    Some(runs) => self.phase = Phase::Done(runs.into_sorted()),
                    None => drop(self.gathered.as_mut().map(Runs::go).transpose()?),
                },
                _ => {
                    if self.pass(input, more)? == Step::More {
                        return Ok(Step::More);
                    }
                    self.next()?;
                }
            }
            if !more() {
                return Ok(Step::More);
            }
        }
    }

    fn join(&mut self, _: Box<dyn Kernel>) -> Result<(), Error> {
        Err(Error::Mismatch)
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        match &self.phase {
            Phase::Nan => Ok(Value::Floats(vec![f64::NAN; self.asked.len()])),
            Phase::Done(sorted) => {
                self.cursor.take_at_least("quantiles", 1)?;
                self.value(sorted)
            }
            _ => Err(Error::Unfinished),
        }
    }

    fn progress(&self) -> (u64, u64) {
        let (done, all) = self.cursor.progress();
        match self.phase {
            Phase::Done(_) | Phase::Nan => (3 * all, 3 * all),
            _ => (self.passes * all + done, 3 * all),
        }
    }
}
