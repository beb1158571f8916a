//! XXH3 of 64 or 128 bits: of one binary (`Value::Unsigned`), or of each of many (`Value::Hashes`).
//!
//! The hash of the reference implementation, with `seed` (0). Not cryptographic. One binary cannot
//! be shared out.
use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

use super::cursor::{Cursor, strides};
use super::{Arg, Args, Buffer, Cost, Error, Input, Kernel, Made, Step, Value, same};

/// Bytes between two looks at the clock.
const STRIDE: usize = 256 * 1024;

pub(super) fn cost(_: usize, _: &Args) -> Cost {
    Cost::of(100).each(100_000)
}

pub(super) fn short(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    Hash::boxed(input, range, args, false)
}

pub(super) fn long(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    Hash::boxed(input, range, args, true)
}

struct Hash {
    cursor: Cursor,
    many: bool,
    long: bool,
    seed: u64,
    /// Of a binary that takes more than one stride, and how far it is read.
    stream: Option<(Box<Xxh3>, usize)>,
    hashes: Buffer<u128>,
    joined: Vec<Buffer<u128>>,
}

impl Hash {
    fn boxed(input: &Input, range: Range<usize>, args: &mut Args, long: bool) -> Made {
        let seed = match args.take("seed") {
            None => Ok(0),
            Some(Arg::Int(seed)) => u64::try_from(seed).map_err(|_| ()),
            Some(_) => Err(()),
        };
        let seed = seed.map_err(|()| Error::Argument {
            name: "seed",
            expected: "an integer of 64 bits, not negative",
        })?;
        let many = matches!(input, Input::Many(_));
        let count = if many { range.len() } else { 1 };
        // One binary is one item, whatever its length: the range is that of its bytes.
        Ok(Box::new(Hash {
            cursor: Cursor::new(range),
            many,
            long,
            seed,
            stream: None,
            hashes: Buffer::with_room(count)?,
            joined: Vec::new(),
        }))
    }

    fn push(&mut self, hash: u128) {
        self.hashes.vec().push(hash);
    }

    /// Reads on in one binary, and says how far it is read.
    fn read(&mut self, bytes: &[u8]) -> usize {
        if self.stream.is_none() && bytes.len() <= STRIDE {
            self.push(match self.long {
                false => xxh3_64_with_seed(bytes, self.seed).into(),
                true => xxh3_128_with_seed(bytes, self.seed),
            });
            return bytes.len();
        }
        let seed = self.seed;
        let fresh = || (Box::new(Xxh3::with_seed(seed)), 0);
        let (hasher, at) = self.stream.get_or_insert_with(fresh);
        let to = bytes.len().min(*at + STRIDE);
        // Another input than before may be shorter.
        hasher.update(bytes.get(*at..to).unwrap_or(&[]));
        *at = to;
        if to == bytes.len() {
            let hash = match self.long {
                false => hasher.digest().into(),
                true => hasher.digest128(),
            };
            self.stream = None;
            self.push(hash);
        }
        to
    }

    /// Whether one binary or all of many have their hashes.
    fn is_done(&self) -> bool {
        self.cursor.is_done() && (self.many || !self.hashes.is_empty())
    }
}

impl Kernel for Hash {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        strides(STRIDE, more, || {
            if self.is_done() {
                return Ok(None);
            }
            let item = if self.many { self.cursor.at() } else { 0 };
            let bytes = input.item(item)?;
            let to = self.read(bytes);
            match self.many {
                true if self.stream.is_none() => self.cursor.advance(1),
                true => {}
                false => self.cursor.advance_to(to),
            }
            Ok(Some(to.min(STRIDE) + 64))
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        if !self.many || !next.many || (self.long, self.seed) != (next.long, next.seed) {
            return Err(Error::Mismatch);
        }
        self.cursor.join(&next.cursor)?;
        self.joined.push(next.hashes);
        self.joined.extend(next.joined);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, Error> {
        if !self.is_done() {
            return Err(Error::Unfinished);
        }
        if !self.many {
            return Ok(Value::Unsigned(self.hashes.first().copied().unwrap_or(0)));
        }
        // One by one they are not moved again: that would take as long as there are many.
        self.joined.insert(0, self.hashes);
        Ok(Value::Hashes(self.joined))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
