//! The mean of numbers (`Value::Float`).
//!
//! Their sum (see `sum`) by how many they are: of integers within 2 units in the last place, of floats
//! within 42 x 2^-53 of the mean of their magnitudes. `Error::Empty` where there are none.
use std::marker::PhantomData;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Number, of_kind};
use super::sum::{BLOCK, Total};
use super::{Args, Error, Input, Kernel, Made, Step, Value, same};

pub(super) fn new(input: &Input, range: Range<usize>, _: &mut Args) -> Made {
    of_kind!(input.kind()?, T => Ok(Box::new(Mean::<T> {
        cursor: Cursor::new(range),
        total: Total::default(),
        of: PhantomData,
    })))
}

struct Mean<T> {
    cursor: Cursor,
    total: Total,
    of: PhantomData<T>,
}

impl<T: Number> Kernel for Mean<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let total = &mut self.total;
        self.cursor
            .walk::<T>(input, BLOCK, more, |block| T::add(block, total))
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        self.cursor.join(&next.cursor)?;
        self.total.join(&next.total);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        let count = self.cursor.take_at_least("mean", 1)? as f64;
        Ok(Value::Float(if T::KIND.is_float() {
            self.total.float() / count
        } else {
            self.total.whole() as f64 / count
        }))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
