//! Where a kernel is in its range.
use std::ops::Range;

use super::number::Number;
use super::{Error, Input, Step};

/// Works bit by bit, and asks `more` after each `stride` of bytes. A bit says how many bytes it was, or
/// that nothing is left.
pub fn strides(
    stride: usize,
    more: &mut dyn FnMut() -> bool,
    mut bit: impl FnMut() -> Result<Option<usize>, Error>,
) -> Result<Step, Error> {
    let mut done = 0;
    while let Some(bytes) = bit()? {
        done += bytes;
        if done >= stride {
            done = 0;
            if !more() {
                return Ok(Step::More);
            }
        }
    }
    Ok(Step::Done)
}

/// A range and how far it is done.
#[derive(Clone, Debug)]
pub struct Cursor {
    start: usize,
    at: usize,
    end: usize,
}

impl Cursor {
    /// At the start of a range.
    pub fn new(range: Range<usize>) -> Self {
        Cursor {
            start: range.start,
            at: range.start,
            end: range.end,
        }
    }

    /// Calls `each` with the bytes of up to `block` numbers, and asks `more` after each block.
    pub fn walk<T: Number>(
        &mut self,
        input: &Input,
        block: usize,
        more: &mut dyn FnMut() -> bool,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Step, Error> {
        let bytes = input.packed::<T>()?;
        while self.at < self.end {
            let to = self.end.min(self.at + block);
            let part = bytes.get(self.at * size_of::<T>()..to * size_of::<T>());
            each(part.ok_or(Error::Mismatch)?);
            self.at = to;
            if self.at < self.end && !more() {
                return Ok(Step::More);
            }
        }
        Ok(Step::Done)
    }

    /// Where the work is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Begins again.
    pub fn restart(&mut self) {
        self.at = self.start;
    }

    /// Goes on by so many.
    pub fn advance(&mut self, by: usize) {
        self.at = self.end.min(self.at + by);
    }

    /// The whole range.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// How many the range holds.
    pub fn len(&self) -> u64 {
        (self.end - self.start) as u64
    }

    /// Elements done, and all of them.
    pub fn progress(&self) -> (u64, u64) {
        ((self.at - self.start) as u64, self.len())
    }

    /// Goes on to there.
    pub fn advance_to(&mut self, at: usize) {
        self.at = self.end.min(self.at.max(at));
    }

    /// Takes in the range of another as work to do, from `at` on.
    pub fn extend(&mut self, next: &Cursor, at: usize) -> Result<(), Error> {
        self.join(next)?;
        self.at = at.min(self.end);
        Ok(())
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// An error where something is left.
    pub fn done(&self) -> Result<(), Error> {
        if self.is_done() {
            Ok(())
        } else {
            Err(Error::Unfinished)
        }
    }

    /// How many there were, all done, where they are enough.
    pub fn take_at_least(&self, kernel: &'static str, needed: u64) -> Result<u64, Error> {
        self.done()?;
        if self.len() >= needed {
            return Ok(self.len());
        }
        Err(Error::Empty {
            kernel,
            needed,
            given: self.len(),
        })
    }

    /// Whether the other range begins where this one ends, and both are done.
    pub fn meets(&self, next: &Cursor) -> Result<(), Error> {
        if next.start == self.end && self.is_done() && next.is_done() {
            Ok(())
        } else {
            Err(Error::Mismatch)
        }
    }

    /// Takes in the range that begins where this one ends. Both are done.
    pub fn join(&mut self, next: &Cursor) -> Result<(), Error> {
        self.meets(next)?;
        self.end = next.end;
        self.at = next.end;
        Ok(())
    }
}
