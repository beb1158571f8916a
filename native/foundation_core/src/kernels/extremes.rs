//! The least and the greatest number (`Value::Int` or `Value::Float`).
//!
//! Exact. Floats in the total order of IEEE 754, so that -0.0 is below 0.0, but NaN where one is.
//! `Error::Empty` where there are none.
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Key, Number, of_kind};
use super::sum::BLOCK;
use super::{Args, Cost, Error, Input, Kernel, Made, Step, Value, same};

pub(super) fn cost(size: usize, _: &Args) -> Cost {
    Cost::of(120 * size as u64)
}

pub(super) fn min(input: &Input, range: Range<usize>, _: &mut Args) -> Made {
    of_kind!(input.kind()?, T => Ok(Box::new(Extreme::<T>::new(range, false))))
}

pub(super) fn max(input: &Input, range: Range<usize>, _: &mut Args) -> Made {
    of_kind!(input.kind()?, T => Ok(Box::new(Extreme::<T>::new(range, true))))
}

/// The bounds of numbers by their keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<K> {
    pub least: K,
    pub most: K,
}

impl<K: Key> Bounds<K> {
    /// Of nothing.
    pub fn none() -> Self {
        Bounds {
            least: K::MAX,
            most: K::default(),
        }
    }

    pub fn add<T: Number<Key = K>>(&mut self, bytes: &[u8]) {
        *self = T::values(bytes).fold(*self, |bounds, number| {
            let key = number.key();
            Bounds {
                least: bounds.least.min(key),
                most: bounds.most.max(key),
            }
        });
    }

    pub fn join(&mut self, next: &Self) {
        self.least = self.least.min(next.least);
        self.most = self.most.max(next.most);
    }

    /// NaNs lie beyond the infinities, on either side.
    pub fn has_nan<T: Number<Key = K>>(&self) -> bool {
        T::of_key(self.least).float().is_nan() || T::of_key(self.most).float().is_nan()
    }
}

struct Extreme<T: Number> {
    cursor: Cursor,
    bounds: Bounds<T::Key>,
    most: bool,
}

impl<T: Number> Extreme<T> {
    fn new(range: Range<usize>, most: bool) -> Self {
        Extreme {
            cursor: Cursor::new(range),
            bounds: Bounds::none(),
            most,
        }
    }
}

impl<T: Number> Kernel for Extreme<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let bounds = &mut self.bounds;
        self.cursor
            .walk::<T>(input, BLOCK, more, |block| bounds.add::<T>(block))
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        self.cursor.join(&next.cursor)?;
        self.bounds.join(&next.bounds);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        let name = if self.most { "max" } else { "min" };
        self.cursor.take_at_least(name, 1)?;
        if self.bounds.has_nan::<T>() {
            return Ok(Value::Float(f64::NAN));
        }
        let key = if self.most {
            self.bounds.most
        } else {
            self.bounds.least
        };
        Ok(T::of_key(key).value())
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
