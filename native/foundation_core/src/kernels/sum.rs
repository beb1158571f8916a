//! The sum of numbers.
//!
//! Of integers exact (`Value::Int`), 0 where there are none. Of floats (`Value::Float`) within
//! 40 x 2^-53 of the sum of their magnitudes: blocks of 512 are added in 16 lanes, and the sums of
//! blocks with what each addition loses (Neumaier). `f32` are added as `f64`. NaN where one is, or
//! where infinities of both signs are; where a partial sum leaves the range of floats, the result is
//! infinite or NaN.
use std::marker::PhantomData;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Number, of_kind};
use super::{Args, Cost, Error, Input, Kernel, Made, Step, Value, same};

/// Numbers between two looks at the clock: 256 KiB of the widest.
pub(super) const BLOCK: usize = 32 * 1024;

/// Numbers whose sum is made in lanes.
pub(super) const GROUP: usize = 512;
const LANES: usize = 16;

/// Wide ones come from further away.
pub(super) fn cost(size: usize, _: &Args) -> Cost {
    Cost::of(150 + 30 * size as u64)
}

pub(super) fn new(input: &Input, range: Range<usize>, _: &mut Args) -> Made {
    of_kind!(input.kind()?, T => Ok(Box::new(Sum::<T>::new(range))))
}

/// A sum on the way; of integers or of floats, never of both.
#[derive(Default)]
pub struct Total {
    whole: i128,
    float: f64,
    /// What the additions to `float` have lost.
    lost: f64,
}

impl Total {
    fn add_float(&mut self, number: f64) {
        let sum = self.float + number;
        self.lost += if self.float.abs() >= number.abs() {
            (self.float - sum) + number
        } else {
            (number - sum) + self.float
        };
        self.float = sum;
    }

    pub(super) fn join(&mut self, next: &Total) {
        self.whole += next.whole;
        self.add_float(next.float);
        self.lost += next.lost;
    }

    /// The sum of floats. What is lost means nothing once the sum is not finite.
    pub(super) fn float(&self) -> f64 {
        if self.float.is_finite() {
            self.float + self.lost
        } else {
            self.float
        }
    }

    pub(super) fn whole(&self) -> i128 {
        self.whole
    }
}

/// Adds integers of up to 32 bits: a block's sum fits in 64.
pub(super) fn add_narrow<T: Number + Into<i64>>(bytes: &[u8], total: &mut Total) {
    let sum = T::values(bytes).fold(0i64, |sum, number| sum.wrapping_add(number.into()));
    total.whole += i128::from(sum);
}

/// Adds integers of 64 bits in halves, whose sums of a block fit in 64, so that nothing is carried
/// from one half to the other.
pub(super) fn add_signed<T: Number + Into<i64>>(bytes: &[u8], total: &mut Total) {
    let (mut high, mut low) = (0i64, 0u64);
    for number in T::values(bytes).map(Into::into) {
        high = high.wrapping_add(number >> 32);
        low = low.wrapping_add(number as u64 & 0xFFFF_FFFF);
    }
    total.whole += (i128::from(high) << 32) + i128::from(low);
}

pub(super) fn add_unsigned<T: Number + Into<u64>>(bytes: &[u8], total: &mut Total) {
    let (mut high, mut low) = (0u64, 0u64);
    for number in T::values(bytes).map(Into::into) {
        high = high.wrapping_add(number >> 32);
        low = low.wrapping_add(number & 0xFFFF_FFFF);
    }
    total.whole += (i128::from(high) << 32) + i128::from(low);
}

pub(super) fn add_floats<T: Number>(bytes: &[u8], total: &mut Total) {
    for group in bytes.chunks(GROUP * size_of::<T>()) {
        total.add_float(in_lanes::<T>(group, |number| number));
    }
}

/// Adds up what `of` makes of numbers, in lanes, so that one addition need not wait for the one
/// before.
#[inline]
pub(super) fn in_lanes<T: Number>(bytes: &[u8], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let mut rows = bytes.chunks_exact(LANES * size_of::<T>());
    for row in &mut rows {
        for (lane, number) in lanes.iter_mut().zip(T::values(row)) {
            *lane += of(number.float());
        }
    }
    for (lane, number) in lanes.iter_mut().zip(T::values(rows.remainder())) {
        *lane += of(number.float());
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

struct Sum<T> {
    cursor: Cursor,
    total: Total,
    of: PhantomData<T>,
}

impl<T> Sum<T> {
    fn new(range: Range<usize>) -> Self {
        Sum {
            cursor: Cursor::new(range),
            total: Total::default(),
            of: PhantomData,
        }
    }
}

impl<T: Number> Kernel for Sum<T> {
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
        self.cursor.done()?;
        Ok(if T::KIND.is_float() {
            Value::Float(self.total.float())
        } else {
            Value::Int(self.total.whole())
        })
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
