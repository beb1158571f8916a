//! Sums over all binaries: one pass, in order of their addresses.

use super::ranges::merge;
use super::{FRONT, Fault, Held, Holder, Look, Place, Range, Summary, Tally, Totals};

impl Tally {
    /// What is known by now, with those holders, `most` at most, of whose binaries at least `least`
    /// bytes were seen with every reference or went when it was collected; the largest first.
    pub fn report(&mut self, least: u64, most: usize) -> Result<(Totals, Vec<Summary>), Fault> {
        self.sort()?;
        let mut totals = Totals::default();
        let mut sums: Vec<Sum> = self.holders.iter().map(Sum::new).collect();
        let mut used = Used::default();
        for group in self.order.chunk_by(|left, right| left.id == right.id) {
            self.weigh(group, &mut sums, &mut totals, &mut used);
        }
        for (holder, sum) in self.holders.iter().zip(&mut sums) {
            sum.bound(holder);
            totals.wasted += sum.summary.wasted();
            totals.doubtful += sum.summary.doubtful;
            totals.freed += holder.freed;
            let hidden = holder.visible.all().saturating_sub(holder.referenced);
            totals.hidden = totals.hidden.saturating_add(hidden);
        }
        let large = |summary: &Summary| (summary.seen.max(summary.freed), summary.key);
        let mut found: Vec<Summary> = sums.into_iter().map(|sum| sum.summary).collect();
        found.retain(|summary| large(summary).0 >= least);
        found.sort_unstable_by_key(|summary| std::cmp::Reverse(large(summary)));
        found.truncate(most);
        Ok((totals, found))
    }

    /// Enters one binary, whose places these are, into the sums of its holders.
    fn weigh(&self, group: &[Place], sums: &mut [Sum], totals: &mut Totals, used: &mut Used) {
        let held = |place: &Place| &self.holders[place.holder as usize].held[place.at as usize];
        // Those that let go of it when they were collected hold it no more.
        let holders = || group.iter().filter(|place| held(place).references > 0);
        let (mut size, mut count, mut references, mut number) = (0, 0, 0u64, 0u64);
        for pair in holders().map(held) {
            (size, count) = (pair.size.max(size), pair.count.max(count));
            (references, number) = (references + u64::from(pair.references), number + 1);
        }
        if number == 0 {
            return;
        }
        totals.binaries += 1;
        totals.held += size;
        used.clear();
        let seen = references >= u64::from(count);
        for place in holders() {
            let (sum, holder) = (&mut sums[place.holder as usize], place.holder as usize);
            sum.hold(held(place), size, seen, number == 1);
            sum.reach(&self.holders[holder], place.id, size, used);
        }
        let wasted = if seen { used.left(size) } else { 0 };
        if wasted == 0 {
            return;
        }
        // What does not divide goes to the first.
        let (share, mut odd) = (wasted / number, wasted % number);
        for place in holders() {
            sums[place.holder as usize].waste(share + odd, wasted, used.doubtful);
            odd = 0;
        }
    }
}

/// What of one binary is used.
#[derive(Default)]
struct Used {
    /// Where holders reach it.
    ranges: Vec<Range>,
    /// Bytes that others may use: nobody knows which.
    bytes: u64,
    doubtful: bool,
}

impl Used {
    fn clear(&mut self) {
        self.ranges.clear();
        (self.bytes, self.doubtful) = (0, false);
    }

    /// What is left of a binary of this size.
    fn left(&mut self, size: u64) -> u64 {
        if self.ranges.len() > 1 {
            merge(&mut self.ranges);
        }
        let reached = self.ranges.iter().map(|range| range.end - range.start);
        size.saturating_sub(self.bytes.saturating_add(reached.sum()))
    }
}

/// What is known of one holder so far.
struct Sum {
    summary: Summary,
    /// The first of its ranges that lies in no binary before this one.
    next: usize,
    /// Whether it may reach the binary at hand.
    reaches: bool,
}

impl Sum {
    fn new(holder: &Holder) -> Self {
        let summary = Summary {
            key: holder.key,
            freed: holder.freed,
            visible: holder.visible,
            look: holder.look,
            ..Summary::default()
        };
        Sum {
            summary,
            next: 0,
            reaches: true,
        }
    }

    fn hold(&mut self, held: &Held, size: u64, seen: bool, alone: bool) {
        let summary = &mut self.summary;
        summary.binaries += 1;
        summary.references += u64::from(held.references);
        summary.held += size;
        if seen {
            summary.seen += size;
            summary.sole += if alone { size } else { 0 };
        }
    }

    /// Adds what this holder uses of the binary at hand.
    fn reach(&mut self, holder: &Holder, id: u64, size: u64, used: &mut Used) {
        self.reaches = true;
        if holder.look == Look::None {
            used.bytes = used.bytes.saturating_add(holder.most_used().min(size));
            return;
        }
        used.doubtful |= holder.look == Look::Partial;
        let ranges = &holder.ranges;
        while ranges.get(self.next).is_some_and(|range| range.start < id) {
            self.next += 1;
        }
        let end = id.saturating_add(FRONT).saturating_add(size);
        let before = self.next;
        while let Some(range) = ranges.get(self.next).filter(|range| range.start < end) {
            used.ranges.push(*range);
            self.next += 1;
        }
        self.reaches = self.next > before;
        // What a collection left is reached from where nobody looked.
        if !self.reaches && holder.collected {
            self.reaches = true;
            used.bytes = used.bytes.saturating_add(size);
        }
    }

    fn waste(&mut self, share: u64, all: u64, doubtful: bool) {
        let summary = &mut self.summary;
        summary.involved += all;
        summary.doubtful += if doubtful { share } else { 0 };
        if self.reaches {
            summary.parts += share;
        } else {
            summary.unreachable += share;
        }
    }

    /// Of a holder that was not looked into, all that it holds alone is compared with all that its
    /// references show: that may prove more than binary by binary.
    fn bound(&mut self, holder: &Holder) {
        let summary = &mut self.summary;
        let proven = summary.sole.saturating_sub(holder.most_used());
        if holder.look == Look::None && proven > summary.parts {
            summary.parts = proven;
            summary.involved = summary.involved.max(proven);
        }
    }
}
