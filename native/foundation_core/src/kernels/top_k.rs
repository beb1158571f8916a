//! The `k` greatest numbers, falling, or with `order: smallest` the least, rising (`Value::Packed`).
//!
//! All of them where there are fewer. In the order of `sort`, so that NaN without a sign is the
//! greatest of all. Up to 4,096 are kept in a heap; for more the input is sorted.
use std::collections::BinaryHeap;
use std::ops::Range;

use super::cursor::Cursor;
use super::number::{Key, Number, of_kind};
use super::sort::{self, Sort};
use super::{Args, Buffer, Cost, Error, Input, Kernel, Made, Packed, Step, Value, same};
use crate::memory::{Charge, Owner};

/// Numbers between two looks at the clock.
const BLOCK: usize = 8 * 1024;

/// The most in a heap, whose cost grows with them.
const HEAP: usize = 4096;

/// Of numbers that rise, each of which is the greatest so far.
pub(super) fn cost(size: usize, args: &Args) -> Cost {
    match args.whole("k").unwrap_or(1) {
        k if k > HEAP as u64 => sort::cost(size, args),
        k => Cost::of(27_000.min(1_000 + 3_500 * u64::from(k.max(1).ilog2()))).once(k, 15_000),
    }
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let least = args.either("order", ["largest", "smallest"], "largest or smallest")?;
    let k = args.int("k", None, (1, i64::MAX as u64), "a positive integer")? as usize;
    of_kind!(input.kind()?, T => if k > HEAP {
        Sort::<T>::boxed(range, !least, k)
    } else {
        Top::<T>::boxed(range, !least, k)
    })
}

struct Top<T: Number> {
    cursor: Cursor,
    /// The least keys so far, the greatest of them on top.
    heap: BinaryHeap<T::Key>,
    k: usize,
    falling: bool,
    _charge: Charge,
}

impl<T: Number> Top<T> {
    fn boxed(range: Range<usize>, falling: bool, k: usize) -> Made {
        let heap = BinaryHeap::with_capacity(k);
        let bytes = heap.capacity() * size_of::<T::Key>();
        Ok(Box::new(Top::<T> {
            cursor: Cursor::new(range),
            heap,
            k,
            falling,
            _charge: Charge::new(Owner::Kernels, bytes as u64),
        }))
    }
}

/// Keeps the `k` least.
#[inline]
fn offer<K: Key>(heap: &mut BinaryHeap<K>, k: usize, key: K) {
    if heap.len() < k {
        heap.push(key);
    } else if let Some(mut top) = heap.peek_mut()
        && key < *top
    {
        *top = key;
    }
}

impl<T: Number> Kernel for Top<T> {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let (heap, k, falling) = (&mut self.heap, self.k, self.falling);
        self.cursor.walk::<T>(input, BLOCK, more, |block| {
            for number in T::values(block) {
                let key = number.key();
                offer(heap, k, if falling { key.flip() } else { key });
            }
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        if self.k != next.k || self.falling != next.falling {
            return Err(Error::Mismatch);
        }
        self.cursor.join(&next.cursor)?;
        for key in next.heap {
            offer(&mut self.heap, self.k, key);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        let keys = self.heap.into_sorted_vec();
        let mut bytes = Buffer::filled(0, keys.len() * size_of::<T>())?;
        let numbers = keys
            .iter()
            .map(|key| T::of_key(if self.falling { key.flip() } else { *key }));
        T::write(numbers, &mut bytes);
        Ok(Value::Packed(Packed {
            kind: T::KIND,
            bytes,
        }))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
