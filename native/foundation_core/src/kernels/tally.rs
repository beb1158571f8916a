//! Words counted, without copies of them: a word is known by where it first was.
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::whitespace::load;
use super::{Error, Input};
use crate::memory::{Charge, Owner};

/// Tables, so that none is so large that its growth takes a slice: of a million words it is one
/// of 4,000.
const SHARDS: usize = 256;

/// A word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Up to eight bytes themselves; of more, a hash.
    key: u64,
    item: usize,
    start: usize,
    len: usize,
    /// How often it occurs.
    pub count: u64,
}

impl Word {
    #[inline]
    fn hash(&self, rules: &Rules) -> u64 {
        rules.mix(self.key, self.len)
    }

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
    fn reserve(&mut self, rules: &Rules) -> Result<(), Error> {
        if self.table.len() < self.table.capacity() {
            return Ok(());
        }
        let grown = self.table.try_reserve(1, |word| word.hash(rules));
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
    shards: Box<[Shard; SHARDS]>,
    rules: Rules,
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
            shards: Box::new(std::array::from_fn(|_| shard())),
            rules: Rules::new(lowercase),
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
        self.rules.lowercase
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

    /// Counts a word of a text, which is an item of the input; nothing where it is empty.
    #[inline(always)] // measured: with `put` a quarter of the time is calling
    pub(super) fn add(
        &mut self,
        input: &Input,
        text: &[u8],
        item: usize,
        range: Range<usize>,
    ) -> Result<(), Error> {
        let (start, len) = (range.start, range.len());
        let key = match len {
            0 => return Ok(()),
            1..=SHORT => self.rules.short(text, start, len),
            _ => self.rules.long(text.get(range).ok_or(Error::Mismatch)?),
        };
        let place = (item, start);
        self.put(key, len, place, 1, input)
    }

    #[inline(always)]
    fn put(
        &mut self,
        key: u64,
        len: usize,
        (item, start): (usize, usize),
        count: u64,
        input: &Input,
    ) -> Result<(), Error> {
        let word = || Word {
            key,
            item,
            start,
            len,
            count,
        };
        let hash = self.rules.mix(key, len);
        let shard = &mut self.shards[shard(hash)];
        let known = shard.table.find_mut(hash, |known| {
            known.key == key
                && known.len == len
                && (len <= SHORT || self.rules.equal(known, &word(), input))
        });
        match known {
            Some(known) => known.count += count,
            None => self.insert(hash, word())?,
        }
        Ok(())
    }

    #[cold]
    fn insert(&mut self, hash: u64, word: Word) -> Result<(), Error> {
        if self.len == self.max {
            return Err(Error::TooManyWords { max: self.max });
        }
        let (rules, shard) = (&self.rules, &mut self.shards[shard(hash)]);
        shard.reserve(rules)?;
        let table = &mut shard.table;
        table.insert_unique(hash, word, |word| word.hash(rules));
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
            let place = (word.item, word.start);
            self.put(word.key, word.len, place, word.count, input)?;
        }
        Ok(true)
    }

    /// Whether the other one counts by the same rules.
    pub(super) fn fits(&self, other: &Words) -> bool {
        (self.lowercase(), self.max) == (other.lowercase(), other.max)
    }
}

/// The table of a hash, of which tables use the lowest and the highest bits.
fn shard(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// Bytes of a word that is its own key.
const SHORT: usize = size_of::<u64>();

/// Bytes that are made lower case at once.
const PIECE: usize = 128;

/// Which words are the same, and where they lie in tables: hashes that nobody outside can foresee,
/// because words that share one would make a table a list.
#[derive(Debug)]
struct Rules {
    lowercase: bool,
    seeds: [u64; 2],
}

impl Rules {
    fn new(lowercase: bool) -> Self {
        static SEEDS: OnceLock<[u64; 2]> = OnceLock::new();
        let seeds = *SEEDS.get_or_init(|| [0, 1].map(|n| RandomState::new().hash_one(n)));
        Rules { lowercase, seeds }
    }

    /// The key of a word of up to eight bytes.
    #[inline]
    fn short(&self, text: &[u8], start: usize, len: usize) -> u64 {
        let unused = 8 * (SHORT - len) as u32;
        let bytes = load(text, start) & u64::MAX.checked_shr(unused).unwrap_or(0);
        if self.lowercase {
            u64::from_le_bytes(bytes.to_le_bytes().map(|byte| byte.to_ascii_lowercase()))
        } else {
            bytes
        }
    }

    /// The key of a longer one.
    #[inline(never)]
    fn long(&self, text: &[u8]) -> u64 {
        let seed = self.seeds[0];
        if !self.lowercase {
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

    /// Where a key lies.
    #[inline]
    fn mix(&self, key: u64, len: usize) -> u64 {
        let odd = self.seeds[1] | 1;
        let wide = u128::from(key ^ self.seeds[0]) * u128::from(odd ^ ((len as u64) << 1));
        wide as u64 ^ (wide >> 64) as u64
    }

    /// Whether longer words of one key are the same.
    #[inline(never)]
    fn equal(&self, one: &Word, two: &Word, input: &Input) -> bool {
        match (one.text(input), two.text(input)) {
            (Some(one), Some(two)) if self.lowercase => one.eq_ignore_ascii_case(two),
            (Some(one), Some(two)) => one == two,
            _ => false,
        }
    }
}
