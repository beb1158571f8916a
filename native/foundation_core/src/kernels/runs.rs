//! Sorting in slices: runs that are sorted one by one, and merges that stop and go on anywhere.
use super::number::Key;
use super::{Buffer, Error, radix};

/// Keys of a run: up to 180 microseconds to sort.
pub(super) const RUN: usize = 16 * 1024;

/// Keys merged between two looks at the clock.
pub(super) const MERGED: usize = 32 * 1024;

/// A merge of two sorted lists on the way.
#[derive(Clone, Copy, Default)]
pub(super) struct Merge {
    left: usize,
    right: usize,
}

impl Merge {
    /// Where the next key goes.
    fn at(&self) -> usize {
        self.left + self.right
    }

    /// Fills up to `out` from where it left off. What both lists hold has to fill it.
    fn fill<K: Key>(&mut self, left: &[K], right: &[K], mut out: &mut [K]) {
        while !out.is_empty() {
            let (ones, twos) = (&left[self.left..], &right[self.right..]);
            // As many as neither list can run out of, so that the inner loop need not look.
            let sure = ones.len().min(twos.len()).min(out.len());
            let (now, later) = if sure == 0 {
                self.rest(ones, twos, out)
            } else if ones[sure - 1] <= twos[0] {
                self.left += sure;
                copy(&ones[..sure], out)
            } else {
                self.weave(ones, twos, out, sure)
            };
            debug_assert!(!now.is_empty());
            out = later;
        }
    }

    /// One of the lists is done.
    fn rest<'a, K: Key>(
        &mut self,
        ones: &[K],
        twos: &[K],
        out: &'a mut [K],
    ) -> (&'a mut [K], &'a mut [K]) {
        if ones.is_empty() {
            self.right += out.len();
            copy(&twos[..out.len()], out)
        } else {
            self.left += out.len();
            copy(&ones[..out.len()], out)
        }
    }

    /// Without a branch on what is less, which no processor could foresee.
    fn weave<'a, K: Key>(
        &mut self,
        ones: &[K],
        twos: &[K],
        out: &'a mut [K],
        sure: usize,
    ) -> (&'a mut [K], &'a mut [K]) {
        let (now, later) = out.split_at_mut(sure);
        let (mut one, mut two) = (0, 0);
        for place in now.iter_mut() {
            let (a, b) = (ones[one], twos[two]);
            let second = b < a;
            *place = if second { b } else { a };
            two += usize::from(second);
            one += usize::from(!second);
        }
        self.left += one;
        self.right += two;
        (now, later)
    }
}

fn copy<'a, K: Key>(keys: &[K], out: &'a mut [K]) -> (&'a mut [K], &'a mut [K]) {
    let (now, later) = out.split_at_mut(keys.len());
    now.copy_from_slice(keys);
    (now, later)
}

/// Makes room in a list whose memory is reserved, only as far as it is needed now: what is never
/// touched costs nothing, and one slice does not clear all of it.
fn reach<T: Clone + Default>(list: &mut Buffer<T>, len: usize) {
    if list.len() < len {
        list.vec().resize(len, T::default());
    }
}

/// Two sorted lists that become one.
pub(super) struct Pair<K> {
    left: Buffer<K>,
    right: Buffer<K>,
    out: Buffer<K>,
    merge: Merge,
    /// How many of the result are wanted.
    take: usize,
}

impl<K: Key> Pair<K> {
    pub fn new(left: Buffer<K>, right: Buffer<K>, take: usize) -> Result<Self, Error> {
        let take = take.min(left.len() + right.len());
        Ok(Pair {
            out: Buffer::with_room(take)?,
            left,
            right,
            merge: Merge::default(),
            take,
        })
    }

    /// How many there will be.
    pub fn len(&self) -> usize {
        self.take
    }

    /// Goes on for a while, and says how far.
    pub fn go(&mut self) -> usize {
        let at = self.merge.at();
        let to = self.take.min(at + MERGED);
        reach(&mut self.out, to);
        self.merge
            .fill(&self.left, &self.right, &mut self.out[at..to]);
        to - at
    }

    pub fn is_done(&self) -> bool {
        self.merge.at() == self.take
    }

    pub fn into_sorted(self) -> Buffer<K> {
        self.out
    }
}

/// Keys that become sorted, run by run and level by level.
pub(super) struct Runs<K> {
    keys: Buffer<K>,
    /// Beside a run.
    room: Buffer<K>,
    /// What a level merges into.
    spare: Option<Buffer<K>>,
    /// Keys of a run at this level.
    width: usize,
    /// Where the two runs begin that are merged now.
    pair: usize,
    merge: Merge,
}

impl<K: Key> Runs<K> {
    /// For so many keys.
    pub fn new(count: usize) -> Result<Self, Error> {
        Ok(Runs {
            keys: Buffer::with_room(count)?,
            room: Buffer::filled(K::default(), count.min(RUN))?,
            spare: None,
            width: RUN,
            pair: 0,
            merge: Merge::default(),
        })
    }

    /// How often each key is touched: once as part of a run, and once at each level.
    pub fn passes(count: usize) -> u64 {
        let runs = count.div_ceil(RUN).max(1);
        1 + u64::from(runs.next_power_of_two().ilog2())
    }

    /// Adds a run. All but the last have [`RUN`] keys.
    pub fn add(&mut self, keys: impl Iterator<Item = K>) {
        let at = self.keys.len();
        self.keys.vec().extend(keys);
        radix::sort(&mut self.keys[at..], &mut self.room);
    }

    /// Adds keys that [`Runs::seal`] is told of.
    pub fn keys(&mut self) -> &mut Vec<K> {
        self.keys.vec()
    }

    /// Sorts one run of what was added unsorted; false where there is none.
    pub fn seal(&mut self, run: usize) -> bool {
        let to = self.keys.len().min((run + 1) * RUN);
        let Some(keys) = self.keys.get_mut(run * RUN..to) else {
            return false;
        };
        radix::sort(keys, &mut self.room);
        !keys.is_empty()
    }

    pub fn is_sorted(&self) -> bool {
        self.width >= self.keys.len()
    }

    /// Merges for a while, and says how many keys.
    pub fn go(&mut self) -> Result<usize, Error> {
        let len = self.keys.len();
        let spare = match &mut self.spare {
            Some(spare) => spare,
            none => none.insert(Buffer::with_room(len)?),
        };
        let mut merged = 0;
        while merged < MERGED && self.pair < len {
            let middle = len.min(self.pair + self.width);
            let end = len.min(middle + self.width);
            let (left, right) = (&self.keys[self.pair..middle], &self.keys[middle..end]);
            let at = self.pair + self.merge.at();
            let to = end.min(at + MERGED - merged);
            reach(spare, to);
            self.merge.fill(left, right, &mut spare[at..to]);
            merged += to - at;
            if to == end {
                (self.pair, self.merge) = (end, Merge::default());
            }
        }
        if self.pair == len {
            std::mem::swap(&mut self.keys, spare);
            (self.pair, self.width) = (0, self.width.saturating_mul(2));
        }
        Ok(merged)
    }

    pub fn into_sorted(self) -> Buffer<K> {
        self.keys
    }
}
