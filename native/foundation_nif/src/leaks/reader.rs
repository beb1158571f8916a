//! Elements of a list of binaries, read where they lie.
use std::mem::MaybeUninit;

use rustler::Env;
use rustler::sys::*;

use crate::terms::{self, bits};

/// The four low bits of a small integer.
const SMALL: usize = 15;

/// What is known of the layout of terms on this VM.
pub struct Reader {
    env: *mut ErlNifEnv,
    /// Cells and tuples.
    known: bool,
    /// Small integers: the number lies above their four low bits.
    small: bool,
}

impl Reader {
    pub fn new(env: Env) -> Self {
        let env = env.as_c_arg();
        let small = [0, 1, 77, 1 << 47].iter().all(|number| {
            // SAFETY: the environment is that of the running call.
            let made = bits(unsafe { enif_make_uint64(env, *number) });
            made == (*number as usize) << 4 | SMALL
        });
        let known = terms::layout().known;
        Reader { env, known, small }
    }

    /// Head and tail.
    ///
    /// # Safety
    /// The term is of the environment of this reader.
    #[inline]
    pub unsafe fn cell(&self, term: ErlNifTerm) -> Option<[ErlNifTerm; 2]> {
        let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: as above; a cell's parts are read only where there is one.
        unsafe {
            if self.known {
                return terms::is_cons(term).then(|| terms::cell_of(term));
            }
            let (to_head, to_tail) = (head.as_mut_ptr(), tail.as_mut_ptr());
            let found = enif_get_list_cell(self.env, term, to_head, to_tail) != 0;
            found.then(|| [head.assume_init(), tail.assume_init()])
        }
    }

    /// A tuple of three numbers that are not negative.
    ///
    /// # Safety
    /// As [`Self::cell`].
    #[inline]
    pub unsafe fn element(&self, term: ErlNifTerm) -> Option<[u64; 3]> {
        let (mut arity, mut elements) = (0, std::ptr::null());
        // SAFETY: as above; a tuple has as many elements as it says.
        let elements = unsafe {
            let boxed = bits(term) & 3 == 2;
            if self.known && boxed && terms::kind(terms::word(term, 0)) == terms::TUPLE {
                terms::elements_of(term)
            } else if enif_get_tuple(self.env, term, &mut arity, &mut elements) != 0 && arity > 0 {
                std::slice::from_raw_parts(elements, arity as usize)
            } else {
                return None;
            }
        };
        let [id, size, count]: [ErlNifTerm; 3] = elements.try_into().ok()?;
        Some([self.number(id)?, self.number(size)?, self.number(count)?])
    }

    #[inline]
    fn number(&self, term: ErlNifTerm) -> Option<u64> {
        if self.small && bits(term) & SMALL == SMALL {
            return u64::try_from(bits(term) as isize >> 4).ok();
        }
        let mut number = 0;
        // SAFETY: the term is of the environment of this reader.
        (unsafe { enif_get_uint64(self.env, term, &mut number) } != 0).then_some(number)
    }
}
