//! Which bytes of binaries a term leads to.
use foundation_core::leaks::{Range, Ranges};
use foundation_core::measure::{Shape, Size, Source};
use rustler::Env;
use rustler::sys::*;

use crate::image;
use crate::measure::Terms;
use crate::terms::{Binaries, bits, word};

/// Bytes in which a binary has its payload, by its address. Where a resource lends its memory as a
/// binary, the payload is elsewhere.
const NEAR: usize = 64;

/// A walk that collects the payloads it meets. Asking the interface for one would take from its
/// owner the room to append to it, so this reads where they lie.
pub struct Reach {
    terms: Terms,
    binaries: Binaries,
    range_reference: usize,
    /// What was met.
    pub ranges: Ranges,
    /// Whether all of it was.
    pub complete: bool,
}

impl Reach {
    /// `None` on a VM whose layout is not known.
    pub fn new(env: Env) -> Option<Reach> {
        let layout = image::layout()?;
        Some(Reach {
            terms: Terms::new(env),
            binaries: layout.binaries,
            range_reference: layout.range_reference,
            ranges: Ranges::default(),
            complete: true,
        })
    }

    /// Funs, which no NIF call enters.
    pub fn apart(&self) -> &[ErlNifTerm] {
        &self.terms.apart
    }

    /// The address of a binary, of its payload, and the first and the last byte that the term shows.
    fn payload(&self, term: ErlNifTerm) -> Option<[usize; 4]> {
        if bits(term) & 3 != 2 {
            return None;
        }
        // SAFETY: the term is alive and boxed; the trial at load showed these words behind these
        // headers, and that the last word of both is boxed.
        unsafe {
            let header = word(term, 0);
            match self.binaries {
                Binaries::Parts { whole, .. } if header == whole => {
                    Some([word(term, 3), word(term, 4), 0, word(term, 1)])
                }
                Binaries::Parts { part, whole, .. } if header == part => {
                    let parent = (word(term, 4) & !3) as *const [usize; 5];
                    if parent.cast::<usize>().read() != whole {
                        return None;
                    }
                    let [_, _, _, id, data] = parent.read();
                    // One byte each: the bits past the last byte, and before the first.
                    let loose = word(term, 3).to_ne_bytes();
                    let loose = (usize::from(loose[0]) + usize::from(loose[1])).div_ceil(8);
                    let first = word(term, 2);
                    Some([id, data, first, first + word(term, 1) + loose])
                }
                Binaries::Ranges { range, .. } if header == range => {
                    let [header, id] = ((word(term, 4) & !3) as *const [usize; 2]).read();
                    let (first, last) = (word(term, 2) / 8, word(term, 3).div_ceil(8));
                    let data = word(term, 1) & !3;
                    (header == self.range_reference).then_some([id, data, first, last])
                }
                _ => None,
            }
        }
    }

    fn enter(&mut self, [id, data, first, last]: [usize; 4]) {
        let near = data.wrapping_sub(id) <= NEAR;
        // What a resource lends is met, and no more than that is known.
        let (start, end) = if near {
            (data.wrapping_add(first), data.wrapping_add(last))
        } else {
            (id, id.wrapping_add(1))
        };
        self.complete &= self.ranges.push(Range {
            start: start as u64,
            end: end as u64,
        });
    }
}

impl<'a> Source<'a> for Reach {
    type Term = ErlNifTerm;

    #[inline]
    fn is_immediate(&self, term: ErlNifTerm) -> bool {
        self.terms.is_immediate(term)
    }

    #[inline]
    fn look(&mut self, term: ErlNifTerm, size: &mut Size) -> Shape<'a, ErlNifTerm> {
        if let Some(payload) = self.payload(term) {
            self.enter(payload);
        }
        let shape = self.terms.look(term, size);
        // The limit is for what is walked.
        size.binary_bytes = 0;
        shape
    }

    fn entries(&mut self, map: ErlNifTerm, mut each: impl FnMut(&mut Self, ErlNifTerm)) {
        let mut parts = Vec::new();
        self.terms.entries(map, |_, part| parts.push(part));
        for part in parts {
            each(self, part);
        }
    }

    fn keep_going(&self) -> bool {
        self.complete && self.terms.keep_going()
    }
}
