//! Items that come in one by one, nobody knows how many, and have to lie one behind the other.
//!
//! A vector that grows copies what it has: hundreds of megabytes at once, in the end. So they are
//! collected in pieces, which [`Gather::join`] puts together once their number is known.
use std::collections::VecDeque;

use super::{Buffer, Error};

/// Bytes of a piece: grown, or copied, in less than a slice.
const PIECE: usize = 1 << 20;

/// Items of the first piece, before it grows.
const FIRST: usize = 1024;

/// Items on their way.
#[derive(Debug)]
pub struct Gather<T> {
    pieces: VecDeque<Buffer<T>>,
    /// The one that is filled, in the end the one that has all.
    last: Buffer<T>,
    /// Items of all pieces.
    len: usize,
    joined: bool,
}

impl<T: Copy> Gather<T> {
    /// None.
    pub fn new() -> Result<Self, Error> {
        Ok(Gather {
            pieces: VecDeque::new(),
            last: Buffer::with_room(0)?,
            len: 0,
            joined: false,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds items.
    pub fn add(&mut self, mut items: &[T]) -> Result<(), Error> {
        while !items.is_empty() {
            let fit = self.room()?.min(items.len());
            self.last.vec().extend_from_slice(&items[..fit]);
            self.len += fit;
            items = &items[fit..];
        }
        Ok(())
    }

    /// Makes room for one at least, and says for how many.
    fn room(&mut self) -> Result<usize, Error> {
        let (len, most) = (self.last.len(), PIECE / size_of::<T>());
        let free = self.last.vec().capacity() - len;
        if free > 0 {
            return Ok(free);
        }
        if len < most {
            self.last.grow(len.max(FIRST).min(most - len))?;
        } else {
            let next = Buffer::with_room(most)?;
            self.pieces
                .push_back(std::mem::replace(&mut self.last, next));
        }
        Ok(self.last.vec().capacity() - self.last.len())
    }

    /// All of it, in pieces to be freed one by one.
    pub fn into_pieces(self) -> impl Iterator<Item = Buffer<T>> {
        self.pieces.into_iter().chain([self.last])
    }

    /// Whether all lie one behind the other.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Puts them one behind the other: true once that is done. No more may be added then.
    pub fn join(&mut self, more: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
        if !self.joined && !self.pieces.is_empty() {
            // Filled as far as it goes, and the first one there is: it becomes the last piece.
            let all = Buffer::with_room(self.len)?;
            self.pieces
                .push_back(std::mem::replace(&mut self.last, all));
        }
        self.joined = true;
        while let Some(piece) = self.pieces.pop_front() {
            self.last.vec().extend_from_slice(&piece);
            if !self.pieces.is_empty() && !more() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All of them, once they are joined.
    pub fn items(&self) -> Option<&[T]> {
        (self.joined && self.pieces.is_empty()).then_some(&self.last[..])
    }
}
