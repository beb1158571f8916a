//! Binaries in a block: among its words, or a payload elsewhere that the block has a reference to.
use std::mem::MaybeUninit;

use rustler::sys::*;

use super::lay::{Laid, WORD};
use super::payload::Payload;
use crate::terms::{Binaries, kind};

/// Binaries of at most this many bytes lie among the words.
const SMALL_BINARY: usize = 64;

/// Larger binaries are not copied: what refers to them should be one that can be shared.
const LARGEST_BINARY: usize = 64 * 1024;

impl Laid<'_, '_> {
    /// A binary that begins and ends on a byte; nothing else that is left can be laid out.
    ///
    /// # Safety
    /// `term` is boxed and alive, and `source` is where.
    #[inline(never)]
    pub unsafe fn binary(&mut self, at: usize, term: usize, source: *const usize) -> Option<()> {
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
