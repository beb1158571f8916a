//! Arrays that grow and shrink in chunks of 256: no call moves what is in them already, as a vector
//! does when it doubles.
//!
//! What does grow by doubling is the directory of chunks, 24 or 16 bytes for 256 items: 64 KB at a
//! million items. The first chunk of a [`Chunked`] doubles up to its 256 items, so that small stores
//! stay small.

use std::mem::size_of;
use std::ops::{Index, IndexMut};

/// Items in a chunk.
const CHUNK: usize = 256;

const fn place(at: u32) -> (usize, usize) {
    (at as usize / CHUNK, at as usize % CHUNK)
}

/// Gives memory of the directory back once three quarters of it are unused. Moves what stays: at most
/// as much as was taken out since the last time.
fn trim<T>(chunks: &mut Vec<T>) {
    if chunks.capacity() > 64 && chunks.len() < chunks.capacity() / 4 {
        chunks.shrink_to(chunks.len() * 2);
    }
}

/// A dense array, for up to `u32::MAX` items.
#[derive(Debug)]
pub struct Chunked<T> {
    /// All but the last two are full. The last may be empty: it is kept for the next push, so that
    /// pushes and pops by turns on the edge of a chunk do not go to the allocator each time.
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Chunked<T> {
    /// An empty array, which has no memory yet.
    pub const fn new() -> Self {
        Chunked {
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// Items in it.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its own memory; what items point to is not counted.
    pub fn bytes(&self) -> usize {
        let first = self.chunks.first().map_or(0, Vec::capacity);
        let rest = self.chunks.len().saturating_sub(1) * CHUNK;
        (first + rest) * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }

    /// Adds an item; its index is the old length. There must be fewer than `u32::MAX`.
    pub fn push(&mut self, item: T) -> u32 {
        let at = self.len;
        debug_assert!(at < u32::MAX);
        let (chunk, _) = place(at);
        if chunk == self.chunks.len() {
            let room = if chunk == 0 { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        self.chunks[chunk].push(item);
        self.len += 1;
        at
    }

    /// Takes the last item.
    pub fn pop(&mut self) -> Option<T> {
        let (chunk, _) = place(self.len.checked_sub(1)?);
        let item = self.chunks[chunk].pop();
        self.len -= 1;
        if self.len == 0 {
            // The first chunk starts small again.
            self.chunks = Vec::new();
        } else if self.chunks[chunk].is_empty() {
            self.chunks.truncate(chunk + 1);
            trim(&mut self.chunks);
        }
        item
    }

    /// Takes an item; the last one comes into its place.
    pub fn swap_remove(&mut self, at: u32) -> Option<T> {
        let last = self.pop()?;
        if at == self.len {
            return Some(last);
        }
        match self.get_mut(at) {
            Some(item) => Some(std::mem::replace(item, last)),
            None => {
                self.push(last);
                None
            }
        }
    }

    /// The item there.
    pub fn get(&self, at: u32) -> Option<&T> {
        let (chunk, rest) = place(at);
        self.chunks.get(chunk)?.get(rest)
    }

    /// The item there, to change it.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let (chunk, rest) = place(at);
        self.chunks.get_mut(chunk)?.get_mut(rest)
    }
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        let (chunk, rest) = place(at);
        &self.chunks[chunk][rest]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        let (chunk, rest) = place(at);
        &mut self.chunks[chunk][rest]
    }
}

/// A chunk of a [`Sparse`], and how many of its items are not the default.
#[derive(Debug)]
struct Part<T> {
    items: Option<Box<[T; CHUNK]>>,
    used: u32,
}

/// An array in which every index has an item, the default where nothing else was set. Chunks of
/// defaults take no memory, so what knows few of many slots is small.
#[derive(Debug)]
pub struct Sparse<T> {
    parts: Vec<Part<T>>,
    /// The chunk last given up, all defaults: the next one needed.
    spare: Option<Box<[T; CHUNK]>>,
    chunks: usize,
}

impl<T: Copy + Default + PartialEq> Sparse<T> {
    /// Defaults only, which take no memory.
    pub const fn new() -> Self {
        Sparse {
            parts: Vec::new(),
            spare: None,
            chunks: 0,
        }
    }

    /// The item there.
    #[inline]
    pub fn get(&self, at: u32) -> T {
        let (part, rest) = place(at);
        match self.parts.get(part) {
            Some(Part {
                items: Some(items), ..
            }) => items[rest],
            _ => T::default(),
        }
    }

    /// Sets an item and gives back what was there.
    pub fn set(&mut self, at: u32, item: T) -> T {
        let (index, rest) = place(at);
        let blank = T::default();
        if index >= self.parts.len() {
            if item == blank {
                return blank;
            }
            let empty = || Part {
                items: None,
                used: 0,
            };
            self.parts.resize_with(index + 1, empty);
        }
        let part = &mut self.parts[index];
        if part.items.is_none() && item == blank {
            return blank;
        }
        let items = part.items.get_or_insert_with(|| {
            self.chunks += 1;
            self.spare
                .take()
                .unwrap_or_else(|| Box::new([blank; CHUNK]))
        });
        let old = std::mem::replace(&mut items[rest], item);
        part.used += u32::from(item != blank);
        part.used -= u32::from(old != blank);
        if part.used == 0 {
            self.spare = part.items.take();
            self.chunks -= 1;
            self.drop_end();
        }
        old
    }

    /// Bytes of its own memory.
    pub fn bytes(&self) -> usize {
        let chunks = self.chunks + usize::from(self.spare.is_some());
        chunks * CHUNK * size_of::<T>() + self.parts.capacity() * size_of::<Part<T>>()
    }

    /// Shortens the directory by a few chunks that hold nothing, not by all: one item far out that comes
    /// and goes would have it built anew each time.
    fn drop_end(&mut self) {
        for _ in 0..64 {
            match self.parts.last() {
                Some(Part { items: None, .. }) => drop(self.parts.pop()),
                _ => break,
            }
        }
        trim(&mut self.parts);
    }
}

impl<T: Copy + Default + PartialEq> Default for Sparse<T> {
    fn default() -> Self {
        Self::new()
    }
}
