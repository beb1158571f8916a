//! Bytes that are used, by address.

/// From an address up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// Ranges kept at most, of 16 bytes each.
const MOST: usize = 1 << 21;

/// Ranges that are being collected, in any order and overlapping.
#[derive(Debug, Default)]
pub struct Ranges {
    ranges: Vec<Range>,
    /// How many there were after the last merging.
    merged: usize,
}

impl From<Vec<Range>> for Ranges {
    fn from(ranges: Vec<Range>) -> Self {
        Ranges { ranges, merged: 0 }
    }
}

impl Ranges {
    /// Takes another one. Whether there was room.
    #[inline]
    pub fn push(&mut self, range: Range) -> bool {
        if range.end <= range.start {
            return true;
        }
        if let Some(last) = self.ranges.last_mut()
            && last.start <= range.start
            && range.start <= last.end
        {
            last.end = last.end.max(range.end);
            return true;
        }
        if self.ranges.len() == self.ranges.capacity() && !self.grow() {
            return false;
        }
        self.ranges.push(range);
        true
    }

    /// Sorted, apart from each other.
    pub fn into_merged(mut self) -> Vec<Range> {
        merge(&mut self.ranges);
        self.ranges.shrink_to_fit();
        self.ranges
    }

    /// Merges what there is, and takes more memory where that did not help much.
    #[cold]
    fn grow(&mut self) -> bool {
        if self.ranges.len() >= 2 * self.merged {
            merge(&mut self.ranges);
            self.merged = self.ranges.len();
        }
        let len = self.ranges.len();
        if len > MOST {
            return false;
        }
        len < self.ranges.capacity() / 2 || self.ranges.try_reserve_exact(len.max(16)).is_ok()
    }
}

/// Sorts the ranges and joins those that touch.
pub(super) fn merge(ranges: &mut Vec<Range>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touch = next.start <= kept.end;
        if touch {
            kept.end = kept.end.max(next.end);
        }
        touch
    });
}
