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

    /// So many of one value.
    pub(super) fn filled(item: T, count: usize) -> Result<Self, Error>
    where
        T: Clone,
    {
        let mut buffer = Buffer::with_room(count)?;
        buffer.items.resize(count, item);
        Ok(buffer)
    }

    /// The same without room that is not used, where that is little or copying is cheap: of large
    /// ones, room that was never touched is not held by the system either.
    pub(super) fn trimmed(self) -> Result<Self, Error>
    where
        T: Clone,
    {
        const LARGE: u64 = 1 << 20;
        let used = size_of_val(&self.items[..]) as u64;
        if used > LARGE || used + used / 8 >= self.room() {
            return Ok(self);
        }
        let mut trimmed = Buffer::with_room(self.items.len())?;
        trimmed.items.extend_from_slice(&self.items);
        Ok(trimmed)
    }

    /// Makes room for so many more.
    pub(super) fn grow(&mut self, by: usize) -> Result<(), Error> {
        let bytes = (self.items.len() as u64 + by as u64).saturating_mul(size_of::<T>() as u64);
        let grown = self.items.try_reserve_exact(by);
        grown.map_err(|_| Error::OutOfMemory { bytes })?;
        let room = self.items.capacity() * size_of::<T>();
        self.charge.set(room as u64);
        Ok(())
    }

    /// Forgets what is behind the first `len`; the room stays.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Takes out the last one.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
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
