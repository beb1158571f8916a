//! The numbers in order (`Value::Packed`), rising or, with `order: desc`, falling.
//!
//! Floats in the total order of IEEE 754: NaNs of a set sign below all numbers, the others above them,
//! and -0.0 below 0.0; bits are kept. Copies the input: twice its size while it runs, and the
//! result. Sorted runs are merged; parts of a job merge after they are joined.
use std::collections::VecDeque;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Key, Number, of_kind};
use super::runs::{MERGED, Pair, RUN, Runs};
use super::{Args, Buffer, Cost, Error, Input, Kernel, Made, Packed, Step, Value, same};

pub(super) fn cost(size: usize, _: &Args) -> Cost {
    Cost::of(3_500 + 1_000 * size as u64).echoing()
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let falling = args.either("order", ["asc", "desc"], "asc or desc")?;
    of_kind!(input.kind()?, T => Sort::<T>::boxed(range, falling, usize::MAX))
}

pub(super) struct Sort<T: Number> {
    cursor: Cursor,
    falling: bool,
    /// How many of the result are wanted.
    take: usize,
    /// None once they are sorted.
    runs: Option<Runs<T::Key>>,
    /// Sorted: this one's own keys and those of joined ranges.
    parts: VecDeque<Buffer<T::Key>>,
    pair: Option<Pair<T::Key>>,
    out: Option<Buffer<u8>>,
    done: u64,
    all: u64,
}

impl<T: Number> Sort<T> {
    /// For the first `take` numbers of the order.
    pub fn boxed(range: Range<usize>, falling: bool, take: usize) -> Made {
        let count = range.len();
        Ok(Box::new(Sort::<T> {
            cursor: Cursor::new(range),
            falling,
            take,
            runs: Some(Runs::new(count)?),
            parts: VecDeque::new(),
            pair: None,
            out: None,
            done: 0,
            all: count as u64 * Runs::<T::Key>::passes(count),
        }))
    }

    /// Some tens of microseconds of work; false where nothing is left.
    fn work(&mut self, input: &Input) -> Result<bool, Error> {
        if let Some(runs) = &mut self.runs {
            if !self.cursor.is_done() {
                self.load(input)?;
            } else if !runs.is_sorted() {
                self.done += runs.go()? as u64;
            } else if let Some(runs) = self.runs.take() {
                self.parts.push_back(runs.into_sorted());
            }
            return Ok(true);
        }
        if self.pair.is_some() || self.parts.len() > 1 {
            self.merge()?;
            return Ok(true);
        }
        if self.cursor.range() == (0..input.len()) {
            return self.write();
        }
        Ok(false)
    }

    fn load(&mut self, input: &Input) -> Result<(), Error> {
        let (falling, runs) = (self.falling, &mut self.runs);
        let before = self.cursor.at();
        self.cursor.walk::<T>(input, RUN, &mut || false, |block| {
            let keys = T::values(block).map(|number| turn(number.key(), falling));
            if let Some(runs) = runs {
                runs.add(keys);
            }
        })?;
        self.done += (self.cursor.at() - before) as u64;
        Ok(())
    }

    fn merge(&mut self) -> Result<(), Error> {
        if let Some(pair) = &mut self.pair {
            self.done += pair.go() as u64;
        } else if let (Some(left), Some(right)) = (self.parts.pop_front(), self.parts.pop_front()) {
            let pair = Pair::new(left, right, self.take)?;
            self.all += pair.len() as u64;
            self.pair = Some(pair);
        }
        if let Some(pair) = self.pair.take_if(|pair| pair.is_done()) {
            self.parts.push_back(pair.into_sorted());
        }
        Ok(())
    }

    /// The keys as numbers again; false where that is done.
    fn write(&mut self) -> Result<bool, Error> {
        let keys = self.parts.front().map_or(&[][..], |keys| &keys[..]);
        let keys = &keys[..keys.len().min(self.take)];
        let out = match &mut self.out {
            Some(out) => out,
            none => {
                self.all += keys.len() as u64;
                none.insert(Buffer::with_room(size_of_val(keys))?)
            }
        };
        let at = out.len();
        let next = keys.get(at / size_of::<T>()..).unwrap_or(&[]);
        let next = &next[..next.len().min(MERGED)];
        if next.is_empty() {
            self.parts.clear();
            return Ok(false);
        }
        out.vec().resize(at + size_of_val(next), 0);
        let falling = self.falling;
        let numbers = next.iter().map(|key| T::of_key(turn(*key, falling)));
        T::write(numbers, &mut out[at..]);
        self.done += next.len() as u64;
        Ok(true)
    }
}

/// What falls is sorted by turned keys.
#[inline]
fn turn<K: Key>(key: K, falling: bool) -> K {
    if falling { key.flip() } else { key }
}

impl<T: Number> Kernel for Sort<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        while self.work(input)? {
            if !more() {
                return Ok(Step::More);
            }
        }
        Ok(Step::Done)
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let mut next = same::<Self>(next)?;
        if next.runs.is_some() || self.runs.is_some() || self.falling != next.falling {
            return Err(Error::Mismatch);
        }
        self.cursor.join(&next.cursor)?;
        // It had all of the input, and this one nothing.
        if next.out.is_some() {
            *self = *next;
            return Ok(());
        }
        self.parts.append(&mut next.parts);
        self.done += next.done;
        self.all += next.all;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        match self.out {
            Some(bytes) if self.parts.is_empty() => Ok(Value::Packed(Packed {
                kind: T::KIND,
                bytes,
            })),
            _ => Err(Error::Unfinished),
        }
    }

    fn progress(&self) -> (u64, u64) {
        (self.done, self.all)
    }
}
