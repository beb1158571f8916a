//! A key and a value in one block of our own memory, as the VM itself lays terms out.
//!
//! An environment of its own costs 2.5 KB, which is too much for a small entry of a table. What a
//! block holds is read where it is, as terms in a frozen environment are: `enif_make_copy`,
//! `enif_is_identical` and what looks into maps and tuples only follow pointers.
mod binary;
mod lay;
mod layout;
mod payload;

use std::alloc::{Layout as Memory, alloc, dealloc};
use std::ptr::NonNull;

use rustler::Env;
use rustler::sys::*;

use crate::terms::{bits, is_immediate, word};
use foundation_core::shared_store::Meta;
use foundation_core::shared_store::shapes::Shapes;
use lay::{Laid, Space};
pub use layout::layout;

const WORD: u64 = size_of::<u64>() as u64;

/// No block is larger, whatever the caller allows: places in it are counted in 32 bits.
const LARGEST: u64 = 1 << 30;

/// The words in front of what the terms refer to: what the store knows of the entry ([`Meta`], two
/// words), [`Front`], the key, and the value.
const META: usize = 0;
const FRONT: usize = 2;
const KEY: usize = 3;
const VALUE: usize = 4;

const _: () = assert!(size_of::<Meta>() == FRONT * size_of::<u64>() && align_of::<Meta>() <= 8);

/// What the block's first word says.
#[derive(Clone, Copy)]
struct Front(u64);

impl Front {
    fn new(words: usize, payloads: usize) -> Self {
        Front(words as u64 | (payloads as u64) << 32)
    }

    /// Words of the block.
    fn words(self) -> usize {
        self.0 as u32 as usize
    }

    /// References to payloads, which are the block's last words but one; that one counts the bytes.
    fn payloads(self) -> usize {
        (self.0 >> 32) as usize
    }
}

/// Learns how terms are laid out here. Once, at load, after `terms::learn`.
pub fn learn() {
    layout::layout();
}

/// One such block.
pub struct Image(NonNull<u64>);

// SAFETY: a block is written only through `&mut`, and reading terms out of it writes nothing: the
// binaries in it are none that can be appended to.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// Copies a key and a value into a block of at most `most` bytes, with the payloads of binaries.
    ///
    /// Keys of maps may lie in `shapes`, which must stay as long as the terms are read; dropping the
    /// image reads none.
    ///
    /// `None` where some part cannot be laid out: funs, identifiers of other nodes, handles of
    /// resources, bitstrings of no whole bytes, binaries over 64 KiB, and everything on a VM whose
    /// layout is not known.
    pub fn build(
        env: Env,
        shapes: &Shapes,
        key: ErlNifTerm,
        value: ErlNifTerm,
        most: u64,
    ) -> Option<Image> {
        let layout = layout::layout()?;
        let front = [0, 0, 0, bits(key), bits(value)];
        let mut space = Space::new();
        let laid = Laid::out(
            env,
            layout,
            shapes,
            front,
            most.min(LARGEST) as usize,
            &mut space,
        )?;
        let payloads = laid.payloads.len();
        let words = laid.len + if payloads > 0 { payloads + 1 } else { 0 };
        let payload_bytes = laid.payload_bytes() as u64;
        // SAFETY: the block has `words` words, written here from the first to the last.
        unsafe {
            let block = NonNull::new(alloc(memory(words)).cast::<u64>())?;
            let start = block.as_ptr();
            laid.copy_to(start.cast());
            start.add(META).cast::<Meta>().write(Meta::new());
            *start.add(FRONT) = Front::new(words, payloads).0;
            if payloads > 0 {
                let mut at = start.add(laid.len);
                for payload in laid.payloads {
                    *at = payload.into_reference() as u64;
                    at = at.add(1);
                }
                *at = payload_bytes;
            }
            Some(Image(block))
        }
    }

    /// The key, to be read and not to be kept.
    #[inline]
    pub fn key(&self) -> ErlNifTerm {
        self.term(KEY)
    }

    /// The value as [`Self::key`].
    #[inline]
    pub fn value(&self) -> ErlNifTerm {
        self.term(VALUE)
    }

    /// Replaces the value where it lies: what has no words of its own by such, a float by a float.
    /// Whether that fits; where it does not, nothing has changed.
    pub fn set_value(&mut self, value: ErlNifTerm) -> bool {
        let old = self.value();
        match (is_immediate(old), is_immediate(value)) {
            (true, true) => {
                self.set(VALUE, bits(value) as u64);
                true
            }
            (false, false) => self.set_float(old, value),
            _ => false,
        }
    }

    fn set_float(&mut self, old: ErlNifTerm, new: ErlNifTerm) -> bool {
        let float = layout::layout().map(|layout| layout.float);
        let is_float = |term| {
            // SAFETY: the term is alive and no immediate; it is boxed where its tag is 2.
            bits(term) & 3 == 2 && Some(unsafe { word(term, 0) }) == float
        };
        if !is_float(old) || !is_float(new) {
            return false;
        }
        // SAFETY: a float is a header and a word; the old one lies in this block.
        unsafe { *((bits(old) & !3) as *mut usize).add(1) = word(new, 1) };
        true
    }

    /// Gives the block away, as a pointer.
    pub fn into_raw(self) -> NonNull<u64> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Takes it back.
    ///
    /// # Safety
    /// The pointer is what [`Self::into_raw`] gave, and whoever takes it back does so once, or
    /// keeps what this gives from being dropped.
    #[inline]
    pub unsafe fn from_raw(block: NonNull<u64>) -> Image {
        Image(block)
    }

    /// Bytes of the block, and of the payloads of binaries that it holds.
    pub fn bytes(&self) -> u64 {
        let front = self.front();
        let payloads = match front.payloads() {
            0 => 0,
            _ => self.at(front.words() - 1),
        };
        front.words() as u64 * WORD + payloads
    }

    #[inline]
    fn front(&self) -> Front {
        Front(self.at(FRONT))
    }

    #[inline]
    fn term(&self, at: usize) -> ErlNifTerm {
        // SAFETY: `ErlNifTerm` is a transparent wrapper of the word, which is a term.
        unsafe { std::mem::transmute(self.at(at)) }
    }

    #[inline]
    fn at(&self, at: usize) -> u64 {
        // SAFETY: every place asked for is in the block.
        unsafe { *self.0.as_ptr().add(at) }
    }

    fn set(&mut self, at: usize, word: u64) {
        // SAFETY: as above.
        unsafe { *self.0.as_ptr().add(at) = word }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let front = self.front();
        // SAFETY: nobody else has the block; its references are let go of once, here.
        unsafe {
            let (words, payloads) = (front.words(), front.payloads());
            if payloads > 0 {
                for at in words - 1 - payloads..words - 1 {
                    payload::release(self.at(at) as *mut _);
                }
            }
            dealloc(self.0.as_ptr().cast(), memory(words));
        }
    }
}

/// The memory of a block.
///
/// # Safety
/// `words` is that of a block: from [`lay::FRONT`] to what [`LARGEST`] allows.
unsafe fn memory(words: usize) -> Memory {
    let bytes = words.max(lay::FRONT) * size_of::<u64>();
    // SAFETY: the size is far from overflow, and the alignment is a power of two.
    unsafe { Memory::from_size_align_unchecked(bytes, align_of::<u64>()) }
}
