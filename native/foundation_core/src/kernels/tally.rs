//! Words counted, without copies of them: a word is known by where it first was.
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Error, Input};
use crate::memory::{Charge, Owner};

/// Tables, so that none is so large that its growth takes a slice: of a million words it is one
/// of 4,000.
const SHARDS: usize = 256;

/// A word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    hash: u64,
    item: usize,
    start: usize,
    len: usize,
    /// How often it occurs.
    pub count: u64,
}

impl Word {
    /// The word where it first was; `None` where the input is not the one that was counted.
    pub fn text<'a>(&self, input: &Input<'a>) -> Option<&'a [u8]> {
        let text = input.item(self.item).ok()?;
        text.get(self.start..self.start.checked_add(self.len)?)
    }
}

#[derive(Debug)]
struct Shard {
    table: HashTable<Word>,
    charge: Charge,
}

impl Shard {
    /// Makes room for one more word.
    fn reserve(&mut self) -> Result<(), Error> {
        if self.table.len() < self.table.capacity() {
            return Ok(());
        }
        let grown = self.table.try_reserve(1, |word| word.hash);
        grown.map_err(|_| Error::OutOfMemory {
            bytes: (self.table.allocation_size() as u64).saturating_mul(2),
        })?;
        self.charge = Charge::new(Owner::Kernels, self.table.allocation_size() as u64);
        Ok(())
    }
}

/// Distinct words and how often they occur.
#[derive(Debug)]
pub struct Words {
    shards: Vec<Shard>,
    lowercase: bool,
    max: u64,
    len: u64,
    /// Shard and place of the next word that [`Words::pop`] hands out.
    next: (usize, usize),
}

pub(super) use Words as Tally;

impl Words {
    pub(super) fn new(lowercase: bool, max: u64) -> Self {
        let shard = || Shard {
            table: HashTable::new(),
            charge: Charge::new(Owner::Kernels, 0),
        };
        Words {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            lowercase,
            max,
            len: 0,
            next: (0, 0),
        }
    }

    /// How many are distinct.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether words that differ in the case of ASCII letters are one, to be read as lower case.
    pub fn lowercase(&self) -> bool {
        self.lowercase
    }

    /// The words, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Word> {
        self.shards.iter().flat_map(|shard| shard.table.iter())
    }

    /// The next word, of all in no order; what held those before is freed by and by.
    pub fn pop(&mut self) -> Option<Word> {
        loop {
            let shard = self.shards.get_mut(self.next.0)?;
            if self.next.1 == shard.table.num_buckets() {
                shard.table = HashTable::new();
                shard.charge.set(0);
                self.next = (self.next.0 + 1, 0);
                continue;
            }
            self.next.1 += 1;
            if let Some(word) = shard.table.get_bucket(self.next.1 - 1) {
                self.len -= 1;
                return Some(*word);
            }
        }
    }

    /// Counts a word.
    pub(super) fn add(
        &mut self,
        input: &Input,
        item: usize,
        range: Range<usize>,
    ) -> Result<(), Error> {
        let mut word = Word {
            hash: 0,
            item,
            start: range.start,
            len: range.len(),
            count: 1,
        };
        let text = word.text(input).ok_or(Error::Mismatch)?;
        word.hash = hash(text, self.lowercase);
        self.put(word, text, input)
    }

    fn put(&mut self, word: Word, text: &[u8], input: &Input) -> Result<(), Error> {
        let shard = &mut self.shards[(word.hash >> 32) as usize % SHARDS];
        let lowercase = self.lowercase;
        let known = shard.table.find_mut(word.hash, |known| {
            known.hash == word.hash
                && known
                    .text(input)
                    .is_some_and(|known| equal(known, text, lowercase))
        });
        if let Some(known) = known {
            known.count += word.count;
            return Ok(());
        }
        if self.len == self.max {
            return Err(Error::TooManyWords { max: self.max });
        }
        shard.reserve()?;
        shard.table.insert_unique(word.hash, word, |word| word.hash);
        self.len += 1;
        Ok(())
    }

    /// Takes over a shard of another count; false where there is none of that number.
    pub(super) fn take(
        &mut self,
        other: &mut Words,
        shard: usize,
        input: &Input,
    ) -> Result<bool, Error> {
        let Some(shard) = other.shards.get_mut(shard) else {
            return Ok(false);
        };
        for word in shard.table.drain() {
            let text = word.text(input).ok_or(Error::Mismatch)?;
            self.put(word, text, input)?;
        }
        Ok(true)
    }

    /// Whether the other one counts by the same rules.
    pub(super) fn fits(&self, other: &Words) -> bool {
        (self.lowercase, self.max) == (other.lowercase, other.max)
    }
}

fn equal(one: &[u8], two: &[u8], lowercase: bool) -> bool {
    if lowercase {
        one.eq_ignore_ascii_case(two)
    } else {
        one == two
    }
}

/// Bytes that are made lower case at once.
const PIECE: usize = 128;

/// A hash that nobody outside can foresee: words that share one would make a table a list.
fn hash(text: &[u8], lowercase: bool) -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| RandomState::new().hash_one(()));
    if !lowercase {
        return xxh3_64_with_seed(text, seed);
    }
    text.chunks(PIECE).fold(seed, |seed, piece| {
        let mut lower = [0; PIECE];
        let lower = &mut lower[..piece.len()];
        lower.copy_from_slice(piece);
        lower.make_ascii_lowercase();
        xxh3_64_with_seed(lower, seed)
    })
}
