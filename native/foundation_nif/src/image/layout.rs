//! What it takes to write terms, beyond what `terms` learns to read them.
//!
//! A word read wrongly costs a wrong size, a word written wrongly the VM. So nothing here is optional
//! but tries: where any other part of the trial fails, no term is laid out at all.
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rustler::sys::*;

use super::payload::Payload;
use crate::terms::{self, Binaries, bits, kind, word, words_of};

/// The low half of the word behind the header of a reference that is no more than its words. A handle
/// of a resource has a counted pointer in that word, which is aligned, so that its low half is another.
const PLAIN_REFERENCE: usize = 0xFFFF_FFFF;

/// Payload bytes of the trial's binary; any number that does not lie on a heap.
const TRIAL_BYTES: usize = 100;

/// The words of terms, as the VM writes them.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The six low bits of an atom, and of nothing else.
    pub atom: usize,
    /// The header of a float.
    pub float: usize,
    /// The kinds of floats and bignums, one bit each.
    pub numbers: u16,
    /// The kind of references of this node.
    pub reference: usize,
    /// The header of a map with a tuple of keys.
    pub record: usize,
    /// The only tuple without elements, which all of the VM shares and nobody frees.
    pub empty_tuple: usize,
    /// How binaries lie.
    pub binaries: Binaries,
    /// From OTP 27 on: the header of what a range of bits refers to.
    pub range_reference: usize,
    /// Whether larger maps are tries of the nodes that [`Layout::node`] describes.
    pub tries: bool,
}

static LAYOUT: OnceLock<Option<Layout>> = OnceLock::new();

/// `None` on a VM where terms cannot be laid out.
#[inline]
pub fn layout() -> Option<&'static Layout> {
    LAYOUT.get_or_init(learn).as_ref()
}

fn learn() -> Option<Layout> {
    let read = terms::layout();
    if !read.known {
        return None;
    }
    // SAFETY: the environments are ours alone, and freed when the trial is over.
    unsafe {
        let (env, other) = (enif_alloc_env(), enif_alloc_env());
        let found = trial(env, other, read);
        enif_free_env(env);
        enif_free_env(other);
        found
    }
}

/// # Safety
/// The environments are valid and used by nobody else; `read` was learned on this VM.
unsafe fn trial(env: *mut ErlNifEnv, other: *mut ErlNifEnv, read: terms::Layout) -> Option<Layout> {
    // SAFETY: the terms are made in `env`; the trial at load showed that those whose words are read
    // here are boxed and have that many.
    unsafe {
        let (float, reference) = (enif_make_double(env, 1.5), enif_make_ref(env));
        let reference_kind = kind(word(reference, 0));
        let empty = [env, other].map(|env| enif_make_tuple_from_array(env, std::ptr::null(), 0));
        let atoms = [c"ok", c"error"].map(|name| bits(enif_make_atom(env, name.as_ptr())) & 0x3F);
        let others = [
            enif_make_list_from_array(env, std::ptr::null(), 0),
            enif_make_uint64(env, 0),
            enif_make_uint64(env, 3),
        ];
        let fits = atoms[0] == atoms[1]
            && atoms[0] & 3 == 3
            && others.iter().all(|other| bits(*other) & 0x3F != atoms[0])
            && word(float, 1) == 1.5f64.to_bits() as usize
            && word(reference, 1) & PLAIN_REFERENCE == PLAIN_REFERENCE
            && kind(word(float, 0)) != reference_kind
            && bits(empty[0]) & 3 == 2
            && bits(empty[0]) == bits(empty[1])
            && word(empty[0], 0) == 0;
        if !fits {
            return None;
        }
        let mut layout = Layout {
            atom: atoms[0],
            float: word(float, 0),
            numbers: read.plain & !(1 << reference_kind),
            reference: reference_kind,
            record: read.record?,
            empty_tuple: bits(empty[0]),
            binaries: read.binaries,
            range_reference: 0,
            tries: false,
        };
        layout.range_reference = payload(env, &read.binaries)?;
        layout.tries = [33, 40, 64, 500].iter().all(|size| layout.trie(env, *size));
        Some(layout)
    }
}

/// Whether a binary whose payload lies elsewhere is written as [`Layout::payload`] writes it; the
/// header of what a range refers to, 0 where there are no ranges.
///
/// # Safety
/// As [`trial`].
unsafe fn payload(env: *mut ErlNifEnv, binaries: &Binaries) -> Option<usize> {
    let held = Payload::copy_of(&[7; TRIAL_BYTES])?;
    let (data, reference) = (held.data as usize, held.reference as usize);
    let mut binary = held.into_binary(TRIAL_BYTES);
    // SAFETY: the term takes the payload over. Its words are read only as far as its headers count.
    unsafe {
        let term = enif_make_binary(env, &mut binary);
        if bits(term) & 3 != 2 {
            return None;
        }
        match *binaries {
            Binaries::Parts { whole, .. } => {
                let fits = word(term, 0) == whole
                    && words_of(term) == 6
                    && word(term, 1) == TRIAL_BYTES
                    && [3, 4, 5].map(|at| word(term, at)) == [reference, data, 0];
                fits.then_some(0)
            }
            Binaries::Ranges { range, .. } => {
                let fits = word(term, 0) == range
                    && words_of(term) == 5
                    && [1, 2, 3].map(|at| word(term, at)) == [data, 0, TRIAL_BYTES * 8]
                    && word(term, 4) & 3 == 2;
                if !fits {
                    return None;
                }
                let [header, held] = ((word(term, 4) & !3) as *const [usize; 2]).read();
                (header >> 6 == 2 && held == reference).then_some(header)
            }
            Binaries::Unknown => None,
        }
    }
}

impl Layout {
    /// Words of a node of a trie, and how many of them come before its children: by its header,
    /// which has the type of the node in the two bits above the kind, and a bit for each child in its
    /// third and fourth byte. The first node also counts the keys, and is of type 2 or 3; type 0 is
    /// that of a map with a tuple of keys.
    #[inline]
    pub fn node(&self, header: usize) -> Option<(usize, usize)> {
        if kind(header) != kind(self.record) || !self.tries {
            return None;
        }
        node(header)
    }

    /// Whether a map of `size` keys is such a trie, and no word of it is left over.
    ///
    /// # Safety
    /// As [`trial`].
    unsafe fn trie(&self, env: *mut ErlNifEnv, size: usize) -> bool {
        let mut map = MaybeUninit::uninit();
        // SAFETY: a node's words are read once its header is one that the layout knows.
        unsafe {
            let keys: Vec<_> = (0..size as u64).map(|n| enif_make_uint64(env, n)).collect();
            let (from, to) = (keys.as_ptr(), map.as_mut_ptr());
            if enif_make_map_from_arrays(env, from, from, size, to) == 0 {
                return false;
            }
            let map = map.assume_init();
            let first = |map| node(word(map, 0)).is_some_and(|(_, before)| before == 2);
            if bits(map) & 3 != 2 || !first(map) || word(map, 1) != size {
                return false;
            }
            let (mut found, mut nodes) = (vec![0; size], vec![map]);
            while let Some(at) = nodes.pop() {
                let header = word(at, 0);
                let Some((words, before)) =
                    node(header).filter(|_| kind(header) == kind(self.record))
                else {
                    return false;
                };
                for child in before..words {
                    let child = std::mem::transmute::<usize, ErlNifTerm>(word(at, child));
                    match bits(child) & 3 {
                        1 => {
                            let [key, value] = terms::cell_of(child).map(bits);
                            let Some(at) = keys.iter().position(|each| bits(*each) == key) else {
                                return false;
                            };
                            found[at] += usize::from(key == value);
                        }
                        2 => nodes.push(child),
                        _ => return false,
                    }
                }
            }
            found.iter().all(|times| *times == 1)
        }
    }

    /// Whether a reference of this node is no more than its words.
    ///
    /// # Safety
    /// `first` is the word behind the header of a reference.
    #[inline]
    pub fn is_plain_reference(&self, first: usize) -> bool {
        first & PLAIN_REFERENCE == PLAIN_REFERENCE
    }
}

fn node(header: usize) -> Option<(usize, usize)> {
    let children = ((header >> 16) & 0xFFFF).count_ones() as usize;
    let before = match (header >> 6) & 3 {
        1 => 1,
        2 | 3 => 2,
        _ => return None,
    };
    (header >> 32 == 0 && children > 0).then_some((before + children, before))
}
