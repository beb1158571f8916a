//! Terms of the VM as a source for the walk of `foundation_core::measure`.
use std::mem::MaybeUninit;

use foundation_core::measure::{self, Outcome, Shape, Size, Source};
use rustler::sys::*;
use rustler::{Encoder, Env, NifResult, Term};

use crate::raw::raw_nif;
use crate::terms::{self, Binaries, Layout};

/// Payloads of at most this many bytes lie on the heap.
const HEAP_BINARY: usize = 64;

/// Terms kept apart in one walk. A part that is shared is met again and again, so that a small term can
/// hold more of them than there is memory to list: a walk that meets this many ends there.
const MOST_APART: usize = 1 << 20;

/// What is counted here of a term that is kept apart, so that a limit holds for many of them. The
/// rest is counted where they are sized (`lib/foundation/beam/term/size.ex`).
const FUN_WORDS: u64 = 5;
const BITSTRING_WORDS: u64 = 2;

/// What a walk over terms of one environment needs.
pub struct Terms {
    env: *mut ErlNifEnv,
    layout: Layout,
    /// Funs, which no NIF call enters, and bitstrings on a VM whose layout is not known: asking for
    /// the bytes of one that does not begin on a byte would copy them.
    pub apart: Vec<ErlNifTerm>,
}

impl Terms {
    /// A source for the terms of `env`.
    pub fn new(env: Env) -> Self {
        Terms {
            env: env.as_c_arg(),
            layout: terms::layout(),
            apart: Vec::new(),
        }
    }

    /// Whether there were funs, of which the walk counts no variables.
    fn met_funs(&self) -> bool {
        // SAFETY: the terms are alive during the call that made this source.
        let is_fun = |term: &ErlNifTerm| unsafe { enif_is_fun(self.env, *term) != 0 };
        self.apart.iter().any(is_fun)
    }

    /// A container by the interface alone.
    fn container<'a>(&self, term: ErlNifTerm, size: &mut Size) -> Option<Shape<'a, ErlNifTerm>> {
        // SAFETY: the term is alive during the call that made this source, and each value is read
        // only where the call before it said that it was filled.
        unsafe {
            let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            if enif_get_list_cell(self.env, term, head.as_mut_ptr(), tail.as_mut_ptr()) != 0 {
                return Some(Shape::Cons(head.assume_init(), tail.assume_init()));
            }
            let (mut arity, mut elements) = (0, std::ptr::null());
            if enif_get_tuple(self.env, term, &mut arity, &mut elements) != 0 {
                let elements: &[ErlNifTerm] = match arity {
                    0 => &[],
                    _ => std::slice::from_raw_parts(elements, arity as usize),
                };
                return Some(tuple(elements, size));
            }
        }
        self.map(term, size)
    }

    fn map<'a>(&self, term: ErlNifTerm, size: &mut Size) -> Option<Shape<'a, ErlNifTerm>> {
        let mut keys = 0;
        // SAFETY: the term is alive during the call that made this source.
        if unsafe { enif_get_map_size(self.env, term, &mut keys) } == 0 {
            return None;
        }
        size.heap_words += measure::map_words(keys as u64);
        Some(if keys == 0 { Shape::Leaf } else { Shape::Map })
    }

    /// What is neither a container nor of a kind whose header says its size.
    fn leaf(&mut self, term: ErlNifTerm, size: &mut Size) {
        use ErlNifTermType::*;
        // SAFETY: the term is alive during the call that made this source.
        match unsafe { enif_term_type(self.env, term) } {
            ERL_NIF_TERM_TYPE_BITSTRING => self.keep_apart(term, BITSTRING_WORDS, size),
            ERL_NIF_TERM_TYPE_FUN => self.keep_apart(term, FUN_WORDS, size),
            // SAFETY: identifiers have a header that counts their words, as references do.
            _ if self.layout.known => size.leaf(unsafe { terms::words_of(term) }, 0),
            ERL_NIF_TERM_TYPE_FLOAT => size.leaf(2, 0),
            ERL_NIF_TERM_TYPE_INTEGER => size.leaf(self.bignum_words(term), 0),
            ERL_NIF_TERM_TYPE_REFERENCE => size.leaf(3, 0),
            // A pid or port of another node.
            _ => size.leaf(5, 0),
        }
    }

    /// Words of a bignum where headers cannot be read: its digits, as it is written out.
    fn bignum_words(&self, term: ErlNifTerm) -> u64 {
        let mut written = MaybeUninit::uninit();
        // SAFETY: the binary is initialised by the call, and released here.
        unsafe {
            if enif_term_to_binary(self.env, term, written.as_mut_ptr()) == 0 {
                return 2;
            }
            let mut written = written.assume_init();
            // Version, tag, a length of one or four bytes, the sign.
            let digits = written
                .size
                .saturating_sub(if written.size <= 259 { 4 } else { 7 });
            enif_release_binary(&mut written);
            1 + digits.div_ceil(8) as u64
        }
    }

    fn keep_apart(&mut self, term: ErlNifTerm, counted: u64, size: &mut Size) {
        self.apart.push(term);
        size.leaf(counted, 0);
    }

    /// A bitstring, where the layout tells its size.
    ///
    /// # Safety
    /// `term` is boxed and alive, on a VM with this layout; `header` is its first word.
    #[inline]
    unsafe fn bitstring(&self, term: ErlNifTerm, header: usize, size: &mut Size) -> bool {
        let kind = terms::kind(header);
        // SAFETY: the trial at load showed which words these headers are followed by.
        unsafe {
            match self.layout.binaries {
                Binaries::Parts { part, whole, .. } if header == part => part_of(term, whole, size),
                Binaries::Parts { whole, .. } if header == whole => {
                    size.leaf(terms::words_of(term), payload(terms::word(term, 1)));
                }
                Binaries::Parts { small, .. } if kind == small => {
                    size.leaf(terms::words_of(term), 0);
                }
                Binaries::Ranges { range, .. } if header == range => {
                    bits(
                        terms::word(term, 3).wrapping_sub(terms::word(term, 2)),
                        size,
                    );
                }
                Binaries::Ranges { small, .. } if kind == small => bits(terms::word(term, 1), size),
                _ => return false,
            }
        }
        true
    }
}

/// Whether all of a term is of at most `most` bytes. The walk sees no variables of funs: terms with some
/// are only where `funs` says so.
pub fn is_within(env: Env, term: ErlNifTerm, most: u64, funs: bool) -> bool {
    if terms::is_immediate(term) {
        return true;
    }
    let mut source = Terms::new(env);
    let (_, outcome) = measure::measure(&mut source, term, most);
    outcome == Outcome::Complete && (funs || !source.met_funs())
}

/// A bitstring from OTP 27 on: on the heap up to 64 bytes, else a range of bits (five words) and a
/// reference to where they are (three).
fn bits(bits: usize, size: &mut Size) {
    let bytes = bits.div_ceil(8);
    match payload(bytes) {
        0 => size.leaf(2 + bytes.div_ceil(8) as u64, 0),
        payload => size.leaf(8, payload),
    }
}

fn tuple<'a>(elements: &'a [ErlNifTerm], size: &mut Size) -> Shape<'a, ErlNifTerm> {
    // The empty tuple is one for all of the VM.
    if elements.is_empty() {
        return Shape::Leaf;
    }
    size.heap_words += 1 + elements.len() as u64;
    Shape::Tuple(elements)
}

/// Payload that lies outside the heap.
fn payload(bytes: usize) -> u64 {
    if bytes > HEAP_BINARY { bytes as u64 } else { 0 }
}

/// A part of a binary as OTP 26 and older lay it out. Copying it takes the whole's reference where
/// that is shared, else the bytes; a part that does not begin and end on a byte keeps its own five
/// words.
///
/// # Safety
/// `term` is such a part, alive, on a VM with this layout.
unsafe fn part_of(term: ErlNifTerm, whole: usize, size: &mut Size) {
    // SAFETY: a part has five words, the last of which is the boxed whole.
    unsafe {
        let bytes = terms::word(term, 1);
        // One byte each: the bits past the last byte, and before the first.
        let loose = terms::word(term, 3).to_ne_bytes();
        let extra = match usize::from(loose[0]) + usize::from(loose[1]) {
            0 => 0,
            1..=8 => 1,
            _ => 2,
        };
        let own = if extra == 0 { 0 } else { 5 };
        let parent = ((terms::word(term, 4) & !3) as *const usize).read();
        if parent == whole {
            size.leaf(own + (whole >> 6) as u64 + 1, payload(bytes));
        } else {
            size.leaf(own + 2 + (bytes + extra).div_ceil(8) as u64, 0);
        }
    }
}

impl<'a> Source<'a> for Terms {
    type Term = ErlNifTerm;

    #[inline]
    fn is_immediate(&self, term: ErlNifTerm) -> bool {
        terms::is_immediate(term)
    }

    #[inline]
    fn look(&mut self, term: ErlNifTerm, size: &mut Size) -> Shape<'a, ErlNifTerm> {
        if self.layout.known {
            // SAFETY: the trial at load showed this layout, and the term is alive during the call
            // that made this source.
            unsafe {
                if terms::is_cons(term) {
                    let [head, tail] = terms::cell_of(term);
                    return Shape::Cons(head, tail);
                }
                let header = terms::word(term, 0);
                let kind = terms::kind(header);
                if kind == terms::TUPLE {
                    return tuple(terms::elements_of(term), size);
                }
                if self.layout.record == Some(header) {
                    let (keys, values) = terms::record_of(term);
                    size.heap_words += measure::map_words(keys.len() as u64);
                    return Shape::Record(keys, values);
                }
                if self.layout.plain & 1 << kind != 0 {
                    size.leaf(terms::words_of(term), 0);
                    return Shape::Leaf;
                }
                if self.bitstring(term, header, size) {
                    return Shape::Leaf;
                }
            }
        }
        self.container(term, size).unwrap_or_else(|| {
            self.leaf(term, size);
            Shape::Leaf
        })
    }

    fn entries(&mut self, map: ErlNifTerm, mut each: impl FnMut(&mut Self, ErlNifTerm)) {
        let mut iterator = MaybeUninit::uninit();
        let head = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
        // SAFETY: the iterator is destroyed before the map can go, and a pair is read only where
        // there is one.
        unsafe {
            if enif_map_iterator_create(self.env, map, iterator.as_mut_ptr(), head) == 0 {
                return;
            }
            let mut iterator = iterator.assume_init();
            let (mut key, mut value) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            while enif_map_iterator_get_pair(
                self.env,
                &mut iterator,
                key.as_mut_ptr(),
                value.as_mut_ptr(),
            ) != 0
            {
                each(self, key.assume_init());
                each(self, value.assume_init());
                enif_map_iterator_next(self.env, &mut iterator);
            }
            enif_map_iterator_destroy(self.env, &mut iterator);
        }
    }

    fn keep_going(&self) -> bool {
        // SAFETY: the environment is that of the running call.
        self.apart.len() < MOST_APART && unsafe { enif_is_current_process_alive(self.env) != 0 }
    }
}

/// `{heap_bytes, binary_bytes, complete?}`, and what is to be sized elsewhere, where there is any and
/// nothing else is over the limit.
fn term_measure<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let mut source = Terms::new(env);
    let (size, outcome) = measure::measure(&mut source, args[0].as_c_arg(), args[1].decode()?);
    spend(env, &size);
    let (heap, binary) = (size.heap_bytes(), size.binary_bytes);
    let complete = outcome == Outcome::Complete;
    if source.apart.is_empty() || !complete {
        return Ok((heap, binary, complete).encode(env));
    }
    // SAFETY: the terms are of this environment.
    let apart = source
        .apart
        .iter()
        .map(|term| unsafe { Term::new(env, *term) });
    let apart: Vec<Term> = apart.collect();
    Ok((heap, binary, complete, apart).encode(env))
}

/// Tells the VM how long the walk was: a percent of a time slice is about 10 us.
fn spend(env: Env, size: &Size) {
    const WORDS_PER_PERCENT: u64 = 8 * 1024;
    let percent = size.heap_words / WORDS_PER_PERCENT;
    if percent > 0 {
        rustler::schedule::consume_timeslice(env, percent.min(100) as i32);
    }
}

raw_nif!("measure_term", 2, Normal, term_measure);
raw_nif!("measure_term_dirty", 2, DirtyCpu, term_measure);
