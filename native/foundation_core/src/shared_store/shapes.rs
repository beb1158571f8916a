//! Rows of words that many entries have in common, kept once: the keys of maps of one kind.

use std::sync::OnceLock;

/// Rows that a store keeps. A program has few kinds of maps; where they are more, the others are
/// kept with each entry.
const SHAPES: usize = 256;

/// Places that a row may have, from the one that its hash names.
const PROBES: usize = 8;

/// A row has at most this many words.
const LONGEST: usize = 33;

type Row = OnceLock<Box<[usize]>>;

/// Rows of words, each once. They stay where they are until all of them go, and take no memory before
/// the first.
#[derive(Debug, Default)]
pub struct Shapes {
    rows: OnceLock<Box<[Row]>>,
}

impl Shapes {
    /// No rows.
    pub const fn new() -> Self {
        Shapes {
            rows: OnceLock::new(),
        }
    }

    /// The kept row with these words, if there is one or room for it.
    #[inline]
    pub fn keep(&self, words: &[usize]) -> Option<&[usize]> {
        let rows = self
            .rows
            .get_or_init(|| std::iter::repeat_with(Row::new).take(SHAPES).collect());
        let first = hash(words);
        for probe in 0..PROBES {
            let row = &rows[(first + probe) % SHAPES];
            let kept = match row.get() {
                Some(kept) => kept,
                None if words.len() > LONGEST => return None,
                // Somebody else's may have come in between: then it is compared as any other.
                None => row.get_or_init(|| words.into()),
            };
            if **kept == *words {
                return Some(kept);
            }
        }
        None
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        let Some(rows) = self.rows.get() else {
            return 0;
        };
        let kept = rows.iter().filter_map(Row::get);
        let words = kept.map(|row| size_of_val::<[usize]>(row)).sum::<usize>();
        (size_of_val::<[Row]>(rows) + words) as u64
    }
}

#[inline]
fn hash(words: &[usize]) -> usize {
    let mixed = words.iter().fold(0u64, |hash, word| {
        (hash.rotate_left(5) ^ *word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    (mixed >> 40) as usize
}
