//! The size of a term: what a copy of it would take, and the payload that a copy would share.
//!
//! A bounded walk with its own stack: terms nest deeper than any thread's stack goes, and the caller
//! that only asks "over ten kilobytes?" pays for ten kilobytes, whatever the term.
//!
//! Generic over [`Source`], so that the walk is tested here with plain Rust values; the NIF crate
//! supplies the terms of the VM.

use smallvec::SmallVec;

/// Bytes of a machine word on the VM that a size is given for.
pub const WORD: u64 = 8;

/// No copy of this size has a future. Terms that share their parts expand beyond every bound
/// (sixty nested pairs make 2^60 words): an unlimited walk ends here, incomplete.
pub const LARGEST: u64 = 1 << 36;

/// How many containers are entered between two looks at [`Source::keep_going`].
const STRIDE: u32 = 1 << 14;

/// What a walk found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Words on the heap that a copy takes, sharing expanded.
    pub heap_words: u64,
    /// Bytes of binaries that a copy refers to and does not hold.
    pub binary_bytes: u64,
}

impl Size {
    /// Bytes on the heap that a copy takes.
    pub fn heap_bytes(&self) -> u64 {
        self.heap_words * WORD
    }

    /// Heap and payload together.
    pub fn total(&self) -> u64 {
        self.heap_bytes() + self.binary_bytes
    }

    /// Adds a leaf.
    pub fn leaf(&mut self, words: u64, payload: u64) {
        self.heap_words += words;
        self.binary_bytes += payload;
    }
}

/// The end of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of the term was seen.
    Complete,
    /// The limit was passed, so the size is a lower bound.
    Limited,
    /// The source asked to stop.
    Stopped,
}

/// A container and where its parts are.
pub enum Shape<'a, T> {
    /// Nothing to enter; its size is in the tally.
    Leaf,
    /// A list cell.
    Cons(T, T),
    /// The elements of a tuple, whose own words are in the tally.
    Tuple(&'a [T]),
    /// The keys and the values of a map, whose own words are in the tally.
    Record(&'a [T], &'a [T]),
    /// A map as above, whose parts only [`Source::entries`] has.
    Map,
}

/// Terms that can be measured.
pub trait Source<'a> {
    /// A term: a word that is cheap to copy.
    type Term: Copy + 'a;

    /// Whether the term has no words of its own.
    fn is_immediate(&self, term: Self::Term) -> bool;

    /// Adds the term's own words (none for a cell, which the walk counts) and says what to enter.
    fn look(&mut self, term: Self::Term, size: &mut Size) -> Shape<'a, Self::Term>;

    /// Calls `each` with every key and value of a map.
    fn entries(&mut self, map: Self::Term, each: impl FnMut(&mut Self, Self::Term));

    /// Asked now and then in long walks.
    fn keep_going(&self) -> bool {
        true
    }
}

/// What is left to do at one level.
enum Rest<'a, T> {
    One(T),
    Many(&'a [T]),
}

/// Measures `term`, stopping once `limit` bytes are passed.
pub fn measure<'a, S: Source<'a>>(source: &mut S, term: S::Term, limit: u64) -> (Size, Outcome) {
    let mut size = Size::default();
    let limit = limit.min(LARGEST);
    if source.is_immediate(term) {
        return (size, Outcome::Complete);
    }
    let mut rest: SmallVec<[Rest<'a, S::Term>; 16]> = SmallVec::new();
    let mut next = Some(term);
    let mut steps = 0u32;

    while let Some(term) = next.take().or_else(|| pop(source, &mut rest)) {
        match source.look(term, &mut size) {
            Shape::Leaf => {}
            Shape::Cons(head, tail) => {
                size.heap_words += 2;
                match (source.is_immediate(head), source.is_immediate(tail)) {
                    (true, true) => {}
                    (true, false) => next = Some(tail),
                    (false, true) => next = Some(head),
                    (false, false) => {
                        rest.push(Rest::One(tail));
                        next = Some(head);
                    }
                }
            }
            Shape::Tuple(elements) => rest.push(Rest::Many(elements)),
            Shape::Record(keys, values) => {
                rest.push(Rest::Many(keys));
                rest.push(Rest::Many(values));
            }
            // A map larger than the limit is not entered: its own words passed it.
            Shape::Map if size.total() <= limit => source.entries(term, |source, part| {
                if !source.is_immediate(part) {
                    rest.push(Rest::One(part));
                }
            }),
            Shape::Map => {}
        }
        if size.total() > limit {
            return (size, Outcome::Limited);
        }
        steps += 1;
        if steps.is_multiple_of(STRIDE) && !source.keep_going() {
            return (size, Outcome::Stopped);
        }
    }
    (size, Outcome::Complete)
}

/// The next term that has words of its own.
fn pop<'a, S: Source<'a>>(
    source: &S,
    rest: &mut SmallVec<[Rest<'a, S::Term>; 16]>,
) -> Option<S::Term> {
    loop {
        match rest.pop()? {
            Rest::One(term) => return Some(term),
            Rest::Many(terms) => {
                let Some(at) = terms.iter().position(|term| !source.is_immediate(*term)) else {
                    continue;
                };
                if at + 1 < terms.len() {
                    rest.push(Rest::Many(&terms[at + 1..]));
                }
                return Some(terms[at]);
            }
        }
    }
}

/// Words of a map with `keys` keys: exact up to 32, an estimate of the hash trie above it.
///
/// A flat map has three words, a key tuple (none where it is empty) and its values. Above that each key has a leaf cell of
/// two words, a pointer to it, and a share of the inner nodes: 0.4 a key (the VM's own estimate),
/// each with a header and a pointer of its own.
pub fn map_words(keys: u64) -> u64 {
    match keys {
        0 => 3,
        1..=32 => keys * 2 + 4,
        _ => keys * 3 + keys * 4 / 5 + 1,
    }
}
