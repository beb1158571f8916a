//! Terms copied next to each other, as Cheney's collector copies them: what lies in front is done
//! and points to what comes behind, so that there is nothing to remember but where the front is.
//!
//! What a term shares it has once for each place that refers to it: the limit ends what that makes
//! of it.
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rustler::Env;
use rustler::sys::*;
use smallvec::SmallVec;

use super::layout::Layout;
use super::payload::Payload;
use crate::terms::{Binaries, TUPLE, kind};

pub const WORD: usize = size_of::<usize>();

/// Binaries of at most this many bytes lie among the words.
const SMALL_BINARY: usize = 64;

/// Larger binaries are not copied: what refers to them should be one that can be shared.
const LARGEST_BINARY: usize = 64 * 1024;

/// Words for which a usual term needs no memory but its own.
const USUAL: usize = 128;

/// Where words lie until it is known how many there are. A pointer is a word, so there are no more
/// of one than of the other.
pub struct Space {
    words: [MaybeUninit<usize>; USUAL],
    pointers: [MaybeUninit<u32>; USUAL],
}

impl Space {
    /// Space for a usual term, to be on the stack.
    pub fn new() -> Self {
        Space {
            words: [const { MaybeUninit::uninit() }; USUAL],
            pointers: [const { MaybeUninit::uninit() }; USUAL],
        }
    }
}

/// Terms on their way into a block.
pub struct Laid<'e, 's> {
    env: Env<'e>,
    layout: &'static Layout,
    /// In the space, or in `grown`.
    words: *mut usize,
    /// Which of the words refer to others of them.
    pointers: *mut u32,
    len: usize,
    pointed: usize,
    room: usize,
    most: usize,
    grown: (Vec<usize>, Vec<u32>),
    /// What the words refer to elsewhere.
    pub payloads: SmallVec<[Payload; 2]>,
    /// Bytes that come to those of the words: payloads, and what the block needs to free them.
    outside: usize,
    space: PhantomData<&'s mut Space>,
}

impl<'e, 's> Laid<'e, 's> {
    /// Copies what the terms of `front` refer to behind them, in at most `most` bytes with payloads.
    pub fn out(
        env: Env<'e>,
        layout: &'static Layout,
        front: [usize; 3],
        most: usize,
        space: &'s mut Space,
    ) -> Option<Self> {
        let mut laid = Laid {
            env,
            layout,
            words: space.words.as_mut_ptr().cast(),
            pointers: space.pointers.as_mut_ptr().cast(),
            len: 0,
            pointed: 0,
            room: USUAL,
            most,
            grown: Default::default(),
            payloads: SmallVec::new(),
            outside: 0,
            space: PhantomData,
        };
        laid.make_room(front.len())?;
        laid.push(&front);
        laid.scan()?;
        Some(laid)
    }

    /// Words laid out.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the payloads.
    pub fn payload_bytes(&self) -> usize {
        self.outside
            .saturating_sub((self.payloads.len() + 1) * WORD)
    }

    /// Copies the words to where they stay.
    ///
    /// # Safety
    /// `to` has room for them.
    pub unsafe fn copy_to(&self, to: *mut usize) {
        // SAFETY: the block is new, so it is none of these words.
        unsafe { std::ptr::copy_nonoverlapping(self.words, to, self.len) };
        self.relocate(to);
    }

    /// Lets the words at `to`, which are copies of these, refer to each other.
    fn relocate(&self, to: *mut usize) {
        let moved = (to as usize).wrapping_sub(self.words as usize);
        for at in 0..self.pointed {
            // SAFETY: the places written down are those of words. Both blocks are aligned, so that
            // the distance leaves tags as they are.
            unsafe {
                let word = to.add(*self.pointers.add(at) as usize);
                *word = (*word).wrapping_add(moved);
            }
        }
    }

    fn scan(&mut self) -> Option<()> {
        let mut at = 0;
        while at < self.len {
            // SAFETY: the place is one of a word.
            let word = unsafe { *self.words.add(at) };
            match word & 3 {
                3 => at += 1,
                0 => at += self.step_over(word),
                _ => {
                    if word.wrapping_sub(self.words as usize) >= self.room * WORD {
                        self.follow(at, word)?;
                    }
                    at += 1;
                }
            }
        }
        Some(())
    }

    /// Words from a header to the first term behind it, of its own parts or of what lies next.
    #[inline]
    fn step_over(&self, header: usize) -> usize {
        if kind(header) == TUPLE {
            1
        } else if header == self.layout.record {
            2
        } else if let Some((_, before)) = self.layout.node(header) {
            before
        } else {
            (header >> 6) + 1
        }
    }

    /// Copies what word `at` refers to to the end.
    #[inline]
    fn follow(&mut self, at: usize, term: usize) -> Option<()> {
        let source = (term & !3) as *const usize;
        // SAFETY: a term of a VM whose layout is known, alive while it is laid out: two words in
        // a cell, else a header, and the words that the header says.
        unsafe {
            if term & 3 == 1 {
                return self.list(at, source);
            }
            let header = *source;
            let words = (header >> 6) + 1;
            let kind = kind(header);
            if kind == TUPLE {
                if words > 1 {
                    return self.boxed(at, source, words);
                }
                *self.words.add(at) = self.layout.empty_tuple;
                return Some(());
            }
            if header == self.layout.record {
                return self.boxed(at, source, 3 + *source.add(1));
            }
            if self.layout.numbers & 1 << kind != 0
                || (kind == self.layout.reference && self.layout.is_plain_reference(*source.add(1)))
            {
                return self.boxed(at, source, words);
            }
            if let Some((words, _)) = self.layout.node(header) {
                return self.boxed(at, source, words);
            }
            self.binary(at, term, source)
        }
    }

    /// Copies a list's cells, each behind the one before it; not what the heads refer to.
    ///
    /// # Safety
    /// The cell is alive.
    #[inline]
    unsafe fn list(&mut self, mut at: usize, mut cell: *const usize) -> Option<()> {
        loop {
            self.make_room(2)?;
            let next = self.len + 1;
            self.refer(at, 1);
            // SAFETY: a cell is two words, for which there is room.
            unsafe {
                let (head, tail) = (*cell, *cell.add(1));
                *self.words.add(self.len) = head;
                *self.words.add(next) = tail;
                self.len += 2;
                if tail & 3 != 1 {
                    return Some(());
                }
                (at, cell) = (next, (tail & !3) as *const usize);
            }
        }
    }

    /// Copies the words of a boxed term.
    ///
    /// # Safety
    /// There are as many.
    #[inline]
    unsafe fn boxed(&mut self, at: usize, source: *const usize, words: usize) -> Option<()> {
        self.make_room(words)?;
        self.refer(at, 2);
        // SAFETY: none of them is in this block, which has room for them.
        unsafe { self.push(std::slice::from_raw_parts(source, words)) };
        Some(())
    }

    /// Writes words for which there is room.
    #[inline]
    fn push(&mut self, words: &[usize]) {
        debug_assert!(self.len + words.len() <= self.room);
        // SAFETY: as above.
        unsafe {
            let to = self.words.add(self.len);
            for (at, word) in words.iter().enumerate() {
                *to.add(at) = *word;
            }
        }
        self.len += words.len();
    }

    /// Lets word `at` refer to the next that is written.
    #[inline]
    fn refer(&mut self, at: usize, tag: usize) {
        // SAFETY: `at` is one of the words, and no word is written down twice.
        unsafe {
            *self.words.add(at) = self.words.add(self.len) as usize | tag;
            *self.pointers.add(self.pointed) = at as u32;
        }
        self.pointed += 1;
    }

    /// Makes room for `count` words, where the limit allows them.
    #[inline]
    fn make_room(&mut self, count: usize) -> Option<()> {
        let words = self.len + count;
        if words * WORD + self.outside > self.most {
            return None;
        }
        if words > self.room {
            self.grow(words)
        } else {
            Some(())
        }
    }

    #[cold]
    fn grow(&mut self, words: usize) -> Option<()> {
        let room = words.max(self.room * 2).min(self.most / WORD);
        let (mut grown, mut pointers) = (Vec::new(), Vec::new());
        grown.try_reserve_exact(room).ok()?;
        pointers.try_reserve_exact(room).ok()?;
        let (to, pointers_to) = (grown.as_mut_ptr(), pointers.as_mut_ptr());
        // SAFETY: there is room for more than the words and pointers that there are.
        unsafe {
            self.copy_to(to);
            std::ptr::copy_nonoverlapping(self.pointers, pointers_to, self.pointed);
        }
        (self.words, self.pointers, self.room) = (to, pointers_to, room);
        self.grown = (grown, pointers);
        Some(())
    }

    /// A binary that begins and ends on a byte; nothing else that is left can be laid out.
    ///
    /// # Safety
    /// `term` is boxed and alive, and `source` is where.
    #[inline(never)]
    unsafe fn binary(&mut self, at: usize, term: usize, source: *const usize) -> Option<()> {
        // SAFETY: the trial at load showed which words these headers are followed by. The bytes
        // stay to the end of the call of the NIF.
        unsafe {
            let (size, small) = self.binary_size(source)?;
            if size > LARGEST_BINARY {
                return None;
            }
            let term = std::mem::transmute::<usize, ErlNifTerm>(term);
            let mut binary = MaybeUninit::uninit();
            if enif_inspect_binary(self.env.as_c_arg(), term, binary.as_mut_ptr()) == 0 {
                return None;
            }
            let binary = binary.assume_init();
            let bytes = std::slice::from_raw_parts(binary.data, binary.size);
            if bytes.len() <= SMALL_BINARY {
                self.small(at, small, bytes)
            } else {
                self.large(at, bytes)
            }
        }
    }

    /// Whole bytes of a bitstring, and the kind of small ones.
    ///
    /// # Safety
    /// `source` is where a boxed term begins that is alive.
    unsafe fn binary_size(&self, source: *const usize) -> Option<(usize, usize)> {
        // SAFETY: a word is read where the header is that of a bitstring, which has that many.
        unsafe {
            let header = *source;
            let (bytes, small) = match self.layout.binaries {
                Binaries::Parts { part, whole, small }
                    if header == part || header == whole || kind(header) == small =>
                {
                    (*source.add(1), small)
                }
                Binaries::Ranges { small, .. } if kind(header) == small => {
                    (*source.add(1) / 8, small)
                }
                Binaries::Ranges { range, small } if header == range => {
                    ((*source.add(3)).wrapping_sub(*source.add(2)) / 8, small)
                }
                _ => return None,
            };
            Some((bytes, small))
        }
    }

    fn small(&mut self, at: usize, kind: usize, bytes: &[u8]) -> Option<()> {
        let data = bytes.len().div_ceil(WORD);
        self.make_room(2 + data)?;
        self.refer(at, 2);
        let units = match self.layout.binaries {
            Binaries::Ranges { .. } => 8,
            _ => 1,
        };
        self.push(&[(1 + data) << 6 | kind << 2, bytes.len() * units]);
        for chunk in bytes.chunks(WORD) {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            self.push(&[usize::from_ne_bytes(word)]);
        }
        Some(())
    }

    /// The words of a binary whose payload lies elsewhere, as the trial saw them. The word that
    /// chains what a heap refers to is 0: this is no heap, and a copy gets its own.
    fn large(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.outside += bytes.len() + WORD + if self.outside == 0 { WORD } else { 0 };
        self.make_room(8)?;
        let payload = Payload::copy_of(bytes)?;
        let (data, reference) = (payload.data as usize, payload.reference as usize);
        self.payloads.push(payload);
        self.refer(at, 2);
        match self.layout.binaries {
            Binaries::Parts { whole, .. } => {
                self.push(&[whole, bytes.len(), 0, reference, data, 0]);
            }
            Binaries::Ranges { range, .. } => {
                self.push(&[range, data, 0, bytes.len() * 8, 0]);
                self.refer(self.len - 1, 2);
                self.push(&[self.layout.range_reference, reference, 0]);
            }
            Binaries::Unknown => return None,
        }
        Some(())
    }
}
