//! What the VM's terms look like to code that reads many of them.
//!
//! The NIF interface says what a term is, but not what every term weighs: it sizes no bignum, no
//! reference and no part of a binary. Their header words do. The layout is not part of the
//! interface, so it is tried at load on terms whose size is known; on a VM that fails the trial,
//! sizes of those terms are estimates and nothing is read past the interface.
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rustler::sys::*;
use rustler::{Env, Term};

/// Atoms that answers are made of.
pub mod atoms {
    rustler::atoms! {
        ok, error, dirty, improper, nif_panicked, no_handle,
        send, sent, fetch, take, live, expired, released, path_not_found, at,
        more, idle, foundation_janitor_step,
        nil, infinity, r#true = "true", r#false = "false",
        no_store, gone, missing, packed, pack, taken, noproc, conflict, too_large, always, absent,
        default, not_a_number, big, over, large, keys, entries, done, invalid,
        foundation_store_transfer,
        // leaks
        worked, looked, collected,
    }
}

/// A tuple of terms of one environment. Takes no memory on the way, as rustler's own does.
#[inline]
pub fn tuple<'a, const N: usize>(env: Env<'a>, terms: [Term<'a>; N]) -> Term<'a> {
    let words = terms.map(|term| term.as_c_arg());
    // SAFETY: there are as many, and they are of this environment.
    unsafe {
        let tuple = enif_make_tuple_from_array(env.as_c_arg(), words.as_ptr(), N as u32);
        Term::new(env, tuple)
    }
}

/// A term as a word.
#[inline]
pub fn bits(term: ErlNifTerm) -> usize {
    // SAFETY: `ErlNifTerm` is a transparent wrapper of this word.
    unsafe { std::mem::transmute(term) }
}

/// Small integers, atoms, local pids and ports, and the empty list: nothing behind the word.
#[inline]
pub fn is_immediate(term: ErlNifTerm) -> bool {
    bits(term) & 3 == 3
}

/// Whether the word points to a list cell.
#[inline]
pub fn is_cons(term: ErlNifTerm) -> bool {
    bits(term) & 3 == 1
}

/// How this VM lays binaries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binaries {
    /// Up to OTP 26, by header word: a part of another is five words that end in the whole, the
    /// whole is a reference to bytes elsewhere, and a small one holds its bytes.
    Parts {
        part: usize,
        whole: usize,
        small: usize,
    },
    /// From OTP 27 on, by header word: what is larger than 64 bytes is a range of bits in another,
    /// from its third word up to its fourth; a small one holds its bits, counted in its second.
    Ranges { range: usize, small: usize },
    /// Not known: they are sized outside the walk.
    Unknown,
}

/// What the trial at load found.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Whether anything behind the interface may be read: cells, tuples and header words.
    pub known: bool,
    /// The kinds of header, one bit each, whose words the header counts and that refer to nothing.
    pub plain: u16,
    /// Whether a small integer is its word without the four low bits, which are all set.
    pub small: bool,
    /// The header of floats, where their bits are the word behind it.
    pub float: Option<usize>,
    /// The header of a map that keeps its keys in a tuple, where such maps lie as the trial expects.
    pub record: Option<usize>,
    /// How binaries lie.
    pub binaries: Binaries,
}

const UNKNOWN: Layout = Layout {
    known: false,
    plain: 0,
    small: false,
    float: None,
    record: None,
    binaries: Binaries::Unknown,
};

static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// What [`learn`] found.
#[inline]
pub fn layout() -> Layout {
    LAYOUT.get().copied().unwrap_or(UNKNOWN)
}

/// Tries the layout on terms of known size. Once, at load.
///
/// `FOUNDATION_NIF_LAYOUT=unknown` skips the trial, to see what an unknown VM would.
pub fn learn() {
    LAYOUT.get_or_init(|| {
        if std::env::var_os("FOUNDATION_NIF_LAYOUT").is_some_and(|value| value == "unknown") {
            return UNKNOWN;
        }
        // SAFETY: the environment is ours alone, and freed when the trial is over.
        unsafe {
            let env = enif_alloc_env();
            let found = trial(env);
            enif_free_env(env);
            found
        }
    });
}

/// # Safety
/// `env` is valid and used by nobody else.
unsafe fn trial(env: *mut ErlNifEnv) -> Layout {
    // SAFETY: terms are made in `env`, and read only once they are known to be boxed.
    unsafe {
        let plain = [
            (enif_make_double(env, 1.5), 2),
            (enif_make_uint64(env, u64::MAX), 2),
            (bignum(env, 0), 4),
            (bignum(env, 1), 4),
            (enif_make_ref(env), 3),
        ];
        let (first, second) = (plain[0].0, plain[1].0);
        let pair = [first, second];
        let cell = enif_make_list_cell(env, first, second);
        let tuple = enif_make_tuple_from_array(env, pair.as_ptr(), 2);
        let known = plain
            .iter()
            .all(|(term, words)| is_boxed(*term) && words_of(*term) == *words)
            && is_cons(cell)
            && cell_of(cell).map(bits) == pair.map(bits)
            && is_boxed(tuple)
            && kind(word(tuple, 0)) == TUPLE
            && elements_of(tuple)
                .iter()
                .map(|term| bits(*term))
                .eq(pair.map(bits));
        if !known {
            return UNKNOWN;
        }
        let kinds = plain
            .iter()
            .fold(0, |kinds, (term, _)| kinds | 1 << kind(word(*term, 0)));
        Layout {
            known,
            plain: kinds,
            small: small(env),
            float: (word(first, 1) == 1.5f64.to_bits() as usize).then(|| word(first, 0)),
            record: record(env, pair),
            binaries: binaries(env),
        }
    }
}

/// Numbers of small integers, the least and the greatest with them.
const SMALL: [i64; 7] = [0, 1, -1, 77, 1 << 47, (1 << 59) - 1, -(1 << 59)];

/// # Safety
/// As [`trial`].
unsafe fn small(env: *mut ErlNifEnv) -> bool {
    SMALL.iter().all(|number| {
        // SAFETY: the term is made here.
        let made = unsafe { enif_make_int64(env, *number) };
        bits(made) == small_integer(*number)
    })
}

/// The word of a small integer, where [`Layout::small`] says that it is.
#[inline]
pub fn small_integer(number: i64) -> usize {
    (number as usize) << 4 | 15
}

/// A bignum of three digits and the given sign, the empty list where it cannot be made.
///
/// # Safety
/// As [`trial`].
unsafe fn bignum(env: *mut ErlNifEnv, sign: u8) -> ErlNifTerm {
    let mut written = [7u8; 21];
    written[..4].copy_from_slice(&[131, 110, 17, sign]);
    let mut term = MaybeUninit::uninit();
    // SAFETY: the term is read only where it was made.
    unsafe {
        match enif_binary_to_term(env, written.as_ptr(), written.len(), term.as_mut_ptr(), 0) {
            0 => enif_make_list_from_array(env, std::ptr::null(), 0),
            _ => term.assume_init(),
        }
    }
}

/// # Safety
/// As [`trial`], on a VM whose header words are known.
unsafe fn record(env: *mut ErlNifEnv, values: [ErlNifTerm; 2]) -> Option<usize> {
    let mut map = MaybeUninit::uninit();
    // SAFETY: the map is read only where it was made, and each word of it only once those before
    // it are as expected.
    unsafe {
        let keys = [1, 2].map(|key| enif_make_uint64(env, key));
        let (from, to) = (keys.as_ptr(), values.as_ptr());
        if enif_make_map_from_arrays(env, from, to, 2, map.as_mut_ptr()) == 0 {
            return None;
        }
        let map = map.assume_init();
        let fits = is_boxed(map) && word(map, 1) == 2 && word(map, 2) & 3 == 2 && {
            let (own_keys, own_values) = record_of(map);
            own_keys.iter().map(|key| bits(*key)).eq(keys.map(bits))
                && own_values
                    .iter()
                    .map(|value| bits(*value))
                    .eq(values.map(bits))
        };
        fits.then(|| word(map, 0))
    }
}

/// # Safety
/// As [`trial`], on a VM whose header words are known.
unsafe fn binaries(env: *mut ErlNifEnv) -> Binaries {
    let (mut whole, mut small) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the terms are made here, and a part is read only once its size is known.
    unsafe {
        enif_make_new_binary(env, 100, whole.as_mut_ptr());
        enif_make_new_binary(env, 10, small.as_mut_ptr());
        let (whole, small) = (whole.assume_init(), small.assume_init());
        let part = enif_make_sub_binary(env, whole, 1, 10);
        // The header of a part does not count the whole, which is its last word.
        let sizes = [(part, 4), (whole, 6), (small, 4)];
        let fits = sizes
            .iter()
            .all(|(term, words)| is_boxed(*term) && words_of(*term) == *words);
        if fits && word(part, 1) == 10 && word(part, 4) == bits(whole) && word(small, 1) == 10 {
            let small = kind(word(small, 0));
            return Binaries::Parts {
                part: word(part, 0),
                whole: word(whole, 0),
                small,
            };
        }
        let part = enif_make_sub_binary(env, whole, 1, 80);
        let fits = is_boxed(part) && words_of(part) >= 4 && is_boxed(small) && words_of(small) >= 4;
        if fits && word(part, 2) == 8 && word(part, 3) == 648 && word(small, 1) == 80 {
            return Binaries::Ranges {
                range: word(part, 0),
                small: kind(word(small, 0)),
            };
        }
    }
    Binaries::Unknown
}

/// The kind of a tuple's header.
pub const TUPLE: usize = 0;

/// Which of sixteen kinds a header word is of.
#[inline]
pub fn kind(header: usize) -> usize {
    (header >> 2) & 15
}

#[inline]
fn is_boxed(term: ErlNifTerm) -> bool {
    bits(term) & 3 == 2
}

/// Word `at` of a boxed term.
///
/// # Safety
/// The term is boxed, alive, and has more than `at` words.
#[inline]
pub unsafe fn word(term: ErlNifTerm, at: usize) -> usize {
    // SAFETY: the tag is in the two low bits; the rest is the address of the header.
    unsafe { *((bits(term) & !3) as *const usize).add(at) }
}

/// Words of a boxed term by its header.
///
/// # Safety
/// The term is boxed, alive, and of a kind whose header counts its words.
#[inline]
pub unsafe fn words_of(term: ErlNifTerm) -> u64 {
    // SAFETY: a boxed term has a header; the six low bits are its tag.
    unsafe { (word(term, 0) >> 6) as u64 + 1 }
}

/// Head and tail of a list cell.
///
/// # Safety
/// The term is a cell, alive, on a VM whose layout is known.
#[inline]
pub unsafe fn cell_of(term: ErlNifTerm) -> [ErlNifTerm; 2] {
    // SAFETY: the tag is in the two low bits; a cell is two terms.
    unsafe { *((bits(term) & !3) as *const [ErlNifTerm; 2]) }
}

/// The elements of a tuple.
///
/// # Safety
/// The term is a tuple, alive for `'a`, on a VM whose layout is known.
#[inline]
pub unsafe fn elements_of<'a>(term: ErlNifTerm) -> &'a [ErlNifTerm] {
    // SAFETY: a tuple's header counts the elements behind it.
    unsafe {
        let first = ((bits(term) & !3) as *const ErlNifTerm).add(1);
        std::slice::from_raw_parts(first, word(term, 0) >> 6)
    }
}

/// Keys and values of a map with a tuple of keys.
///
/// # Safety
/// The term is such a map, alive, on a VM whose layout is known.
#[inline]
pub unsafe fn record_of<'a>(term: ErlNifTerm) -> (&'a [ErlNifTerm], &'a [ErlNifTerm]) {
    // SAFETY: header, number of keys, tuple of keys, and as many values as the tuple has elements.
    unsafe {
        let words = (bits(term) & !3) as *const ErlNifTerm;
        let keys = elements_of(*words.add(2));
        (keys, std::slice::from_raw_parts(words.add(3), keys.len()))
    }
}
