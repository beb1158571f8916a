//! Terms copied next to each other, as Cheney's collector copies them: what lies in front is done
//! and points to what comes behind, so that there is nothing to remember but where the front is.
//!
//! What a term shares it has once for each place that refers to it: the limit ends what that makes
//! of it.
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use foundation_core::shared_store::shapes::Shapes;
use rustler::Env;
use smallvec::SmallVec;

use super::layout::Layout;
use super::payload::Payload;
use crate::terms::{TUPLE, kind};

pub const WORD: usize = size_of::<usize>();

/// Words in front of what terms refer to.
pub const FRONT: usize = 5;

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
    pub env: Env<'e>,
    pub layout: &'static Layout,
    /// Where keys of maps are kept.
    shapes: &'s Shapes,
    /// In the space, or in `grown`.
    words: *mut usize,
    /// Which of the words refer to others of them.
    pointers: *mut u32,
    /// Words laid out.
    pub len: usize,
    pointed: usize,
    room: usize,
    most: usize,
    grown: (Vec<usize>, Vec<u32>),
    /// What the words refer to elsewhere.
    pub payloads: SmallVec<[Payload; 2]>,
    /// Bytes that come to those of the words: payloads, and what the block needs to free them.
    pub outside: usize,
    space: PhantomData<&'s mut Space>,
}

impl<'e, 's> Laid<'e, 's> {
    /// Copies what the terms of `front` refer to behind them, in at most `most` bytes with payloads.
    pub fn out(
        env: Env<'e>,
        layout: &'static Layout,
        shapes: &'s Shapes,
        front: [usize; FRONT],
        most: usize,
        space: &'s mut Space,
    ) -> Option<Self> {
        let mut laid = Laid {
            env,
            layout,
            shapes,
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
                0 => at += self.step_over(at, word),
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

    /// Words from the header at `at` to the first term behind it that is to be followed, of its own
    /// parts or of what lies next.
    #[inline]
    fn step_over(&self, at: usize, header: usize) -> usize {
        if kind(header) == TUPLE {
            1
        } else if header == self.layout.record {
            self.share_keys(at + 2)
        } else if let Some((_, before)) = self.layout.node(header) {
            before
        } else {
            (header >> 6) + 1
        }
    }

    /// Lets the word at `at`, which refers to the keys of a map, refer to those of all such maps; steps
    /// over it where there are such.
    #[inline]
    fn share_keys(&self, at: usize) -> usize {
        // SAFETY: the word is the third of a map, which has not been followed. It refers to a tuple
        // that is alive: a header, and as many words as that counts.
        let (word, keys) = unsafe {
            let word = self.words.add(at);
            let keys = (*word & !3) as *const usize;
            (word, std::slice::from_raw_parts(keys, (*keys >> 6) + 1))
        };
        // Other keys come from data, and could be others each time.
        let are_atoms =
            keys.len() > 1 && keys[1..].iter().all(|key| key & 0x3F == self.layout.atom);
        match are_atoms.then(|| self.shapes.keep(keys)).flatten() {
            Some(kept) => {
                // SAFETY: as above; what is kept stays as long as the block is read.
                unsafe { *word = kept.as_ptr() as usize | 2 };
                3
            }
            None => 2,
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
    pub fn push(&mut self, words: &[usize]) {
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
    pub fn refer(&mut self, at: usize, tag: usize) {
        // SAFETY: `at` is one of the words, and no word is written down twice.
        unsafe {
            *self.words.add(at) = self.words.add(self.len) as usize | tag;
            *self.pointers.add(self.pointed) = at as u32;
        }
        self.pointed += 1;
    }

    /// Makes room for `count` words, where the limit allows them.
    #[inline]
    pub fn make_room(&mut self, count: usize) -> Option<()> {
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
}
