//! Memory of kernels: asked for instead of taken, and in the books while it lives.
use super::Error;
use crate::memory::{Charge, Owner};

/// A vector whose room is in the books.
#[derive(Debug)]
pub struct Buffer<T> {
    items: Vec<T>,
    charge: Charge,
}

impl<T> Buffer<T> {
    /// Room for so many.
    pub(super) fn with_room(count: usize) -> Result<Self, Error> {
        let mut items = Vec::new();
        items
            .try_reserve_exact(count)
            .map_err(|_| Error::OutOfMemory {
                bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
            })?;
        Ok(Buffer::of(items))
    }

    /// What is there already.
    fn of(items: Vec<T>) -> Self {
        let bytes = items.capacity() * size_of::<T>();
        Buffer {
            charge: Charge::new(Owner::Kernels, bytes as u64),
            items,
        }
    }

    /// Adds one, with more room where that is needed: twice what there was, but `most` at most.
    pub(super) fn push(&mut self, item: T, most: usize) -> Result<(), Error> {
        if self.items.len() == self.items.capacity() {
            let room = self.items.len().saturating_mul(2).clamp(16, most.max(16));
            let mut grown = Buffer::with_room(room.max(self.items.len() + 1))?;
            grown.items.append(&mut self.items);
            *self = grown;
        }
        self.items.push(item);
        Ok(())
    }

    /// So many of one value.
    pub(super) fn filled(item: T, count: usize) -> Result<Self, Error>
    where
        T: Clone,
    {
        let mut buffer = Buffer::with_room(count)?;
        buffer.items.resize(count, item);
        Ok(buffer)
    }

    /// The items, which leave the books.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }

    /// Bytes of room.
    pub fn room(&self) -> u64 {
        self.charge.bytes()
    }

    /// To add to, within the room there is.
    pub(super) fn vec(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<T> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
