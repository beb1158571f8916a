//! Searches for leaked binaries, against a model that marks every byte.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use foundation_core::leaks::{
    Fault, Listing, Look, Meanwhile, Range, Ranges, Summary, Tally, Visible,
};
use proptest::collection::vec;
use proptest::prelude::*;

const FRONT: u64 = 24;
const EVERYTHING: usize = usize::MAX;

fn listing(elements: &[(u64, u64, u64)]) -> Listing {
    let mut listing = Listing::default();
    for (id, size, count) in elements {
        listing.push(*id, *size, *count).expect("there is room");
    }
    listing
}

/// Bytes `from..to` of the binary at this address.
fn part(id: u64, from: u64, to: u64) -> Range {
    Range {
        start: id + FRONT + from,
        end: id + FRONT + to,
    }
}

fn ranges(parts: &[Range]) -> Ranges {
    let mut ranges = Ranges::default();
    assert!(parts.iter().all(|range| ranges.push(*range)));
    ranges
}

fn whole(young: u64) -> Visible {
    Visible { young, old: 0 }
}

/// Lists, and what of it is reached.
fn look(tally: &mut Tally, key: u64, elements: &[(u64, u64, u64)], parts: &[Range]) {
    let size = elements.iter().map(|element| element.1).sum();
    tally
        .list(key, listing(elements), whole(size))
        .expect("listed");
    tally.reached(key, ranges(parts)).expect("known");
    tally.looked(key, Look::Whole).expect("known");
}

fn summary(tally: &mut Tally, key: u64) -> Summary {
    let (_, found) = tally.report(0, EVERYTHING).expect("a report");
    let found = found.into_iter().find(|summary| summary.key == key);
    found.expect("the holder is there")
}

#[test]
fn a_part_wastes_the_rest_of_its_binary() {
    let mut tally = Tally::default();
    look(&mut tally, 1, &[(1000, 5000, 1)], &[part(1000, 10, 110)]);
    let found = summary(&mut tally, 1);
    assert_eq!((found.held, found.sole, found.seen), (5000, 5000, 5000));
    assert_eq!((found.parts, found.unreachable), (4900, 0));
}

#[test]
fn what_nothing_leads_to_is_unreachable_until_a_collection_shows_that_something_does() {
    let mut tally = Tally::default();
    let listed = [(1000, 5000, 1), (9000, 700, 1)];
    look(&mut tally, 1, &listed, &[]);
    assert_eq!(summary(&mut tally, 1).unreachable, 5700);

    assert_eq!(
        tally.again(1, listing(&listed[1..]), Meanwhile::Collected),
        Ok(5000)
    );
    let found = summary(&mut tally, 1);
    assert_eq!((found.held, found.freed, found.wasted()), (700, 5000, 0));
}

#[test]
fn overlapping_parts_count_once_and_wherever_they_come_from() {
    let mut tally = Tally::default();
    let parts = [
        part(1000, 0, 100),
        part(1000, 50, 150),
        part(1000, 900, 950),
    ];
    look(&mut tally, 1, &[(1000, 1000, 5)], &parts);
    let more = [part(1000, 140, 160)];
    look(&mut tally, 2, &[(1000, 1000, 5), (1000, 1000, 5)], &more);
    assert_eq!(summary(&mut tally, 1).wasted(), 0, "references are missing");
    let references = [(1000, 1000, 5); 3];
    look(&mut tally, 2, &references, &more);
    look(&mut tally, 3, &[(1000, 1000, 5)], &[]);
    assert_eq!(summary(&mut tally, 2).references, 3);
    let wasted: Vec<_> = [1, 2, 3].map(|key| summary(&mut tally, key)).into();
    assert_eq!(
        wasted.iter().map(Summary::wasted).sum::<u64>(),
        1000 - 160 - 50
    );
    assert!(wasted.iter().all(|summary| summary.involved == 790));
    assert_eq!((wasted[2].parts, wasted[2].unreachable), (0, 263));
}

#[test]
fn a_holder_that_nobody_looked_into_uses_what_it_shows() {
    let mut tally = Tally::default();
    let many: Vec<_> = (0..10).map(|n| (n * 10_000, 1000, 1)).collect();
    // Of one binary 60 bytes, in the other nine anything up to the whole.
    tally.list(1, listing(&many), whole(9060)).expect("listed");
    assert_eq!(summary(&mut tally, 1).parts, 10_000 - 9060 - 70);

    tally
        .list(2, listing(&[(500_000, 1000, 2)]), whole(100))
        .expect("listed");
    assert_eq!(summary(&mut tally, 2).parts, 0, "a reference is missing");
    look(
        &mut tally,
        3,
        &[(500_000, 1000, 2)],
        &[part(500_000, 0, 50)],
    );
    let (totals, _) = tally.report(0, EVERYTHING).expect("a report");
    assert_eq!(
        summary(&mut tally, 2).parts,
        (1000 - 107 - 50u64).div_ceil(2)
    );
    assert_eq!(totals.wasted, 870 + 843);
    assert_eq!((totals.held, totals.binaries), (11_000, 11));
}

#[test]
fn a_doubtful_look_makes_doubtful_what_it_has_part_in() {
    let mut tally = Tally::default();
    look(
        &mut tally,
        1,
        &[(1000, 5000, 2), (9000, 100, 1)],
        &[part(1000, 0, 1)],
    );
    look(&mut tally, 2, &[(1000, 5000, 2)], &[]);
    tally.looked(2, Look::Partial).expect("known");
    let found = summary(&mut tally, 1);
    assert_eq!(
        (found.parts, found.unreachable, found.doubtful),
        (2500, 100, 2500)
    );
}

#[test]
fn collecting_frees_what_the_last_holder_lets_go_of() {
    let mut tally = Tally::default();
    let shared = [(1000, 5000, 3), (1000, 5000, 3)];
    tally
        .list(1, listing(&shared), whole(10_000))
        .expect("listed");
    tally
        .list(2, listing(&shared[..1]), whole(5000))
        .expect("listed");
    assert_eq!(tally.again(1, listing(&[]), Meanwhile::Collected), Ok(0));
    assert_eq!(
        tally.again(2, listing(&[(70_000, 1000, 1)]), Meanwhile::Collected),
        Ok(4000)
    );
    assert_eq!(
        tally.again(3, listing(&[]), Meanwhile::Collected),
        Err(Fault::Unknown)
    );
    let (totals, found) = tally.report(1, EVERYTHING).expect("a report");
    assert_eq!((totals.freed, totals.held, found.len()), (4000, 0, 1));
}

#[test]
fn what_was_handed_to_somebody_since_is_not_proven_to_be_waste() {
    let mut tally = Tally::default();
    let (before, now) = ([(1000, 5000, 1)], [(1000, 5000, 2)]);
    look(&mut tally, 1, &before, &[]);
    assert_eq!(summary(&mut tally, 1).unreachable, 5000);
    assert_eq!(tally.again(1, listing(&now), Meanwhile::Looked), Ok(0));
    let found = summary(&mut tally, 1);
    assert_eq!((found.held, found.seen, found.wasted()), (5000, 0, 0));

    // Of two references one was let go of, and somebody else took one.
    let mut tally = Tally::default();
    look(&mut tally, 1, &[(1000, 5000, 2), (1000, 5000, 2)], &[]);
    assert_eq!(tally.again(1, listing(&now), Meanwhile::Worked), Ok(0));
    assert_eq!(summary(&mut tally, 1).wasted(), 0);
}

#[test]
fn what_was_let_go_of_since_counts_no_more_and_what_is_new_does_not() {
    let mut tally = Tally::default();
    look(&mut tally, 1, &[(1000, 5000, 1), (9000, 700, 1)], &[]);
    let now = [(9000, 700, 1), (20_000, 300, 1)];
    assert_eq!(tally.again(1, listing(&now), Meanwhile::Worked), Ok(0));
    let found = summary(&mut tally, 1);
    assert_eq!((found.held, found.unreachable, found.freed), (700, 700, 0));

    // Nothing but a look in between: that was garbage.
    let went = tally.again(1, listing(&[]), Meanwhile::Looked);
    let found = summary(&mut tally, 1);
    assert_eq!(
        (went, found.held, found.wasted(), found.freed),
        (Ok(700), 0, 0, 700)
    );
}

#[test]
fn what_shows_more_than_it_lists_hides_the_rest() {
    let mut tally = Tally::default();
    tally
        .list(1, listing(&[(1, 100, 1), (1, 100, 1)]), whole(150))
        .expect("listed");
    tally
        .list(2, listing(&[]), Visible { young: 3, old: 4 })
        .expect("listed");
    assert_eq!(tally.report(0, 0).expect("a report").0.hidden, 7);
}

#[test]
fn many_are_summed_as_few_are() {
    for step in [1u64, 8, 4096 * 7919, 1 << 50] {
        let mut tally = Tally::default();
        let address = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 6000 * step;
        let addresses: Vec<_> = (0..20_000).map(address).collect();
        for (holder, ids) in addresses.chunks(10_000).enumerate() {
            let elements: Vec<_> = ids.iter().map(|id| (*id, 10, 1)).collect();
            tally
                .list(holder as u64, listing(&elements), whole(0))
                .expect("listed");
        }
        let all: BTreeSet<_> = addresses.iter().collect();
        let (totals, found) = tally.report(0, EVERYTHING).expect("a report");
        assert_eq!(totals.binaries, all.len() as u64, "step {step}");
        let references: u64 = found.iter().map(|summary| summary.references).sum();
        assert_eq!(references, 20_000);
        for (holder, ids) in addresses.chunks(10_000).enumerate() {
            let own: BTreeSet<_> = ids.iter().collect();
            assert_eq!(
                summary(&mut tally, holder as u64).binaries,
                own.len() as u64
            );
        }
    }
}

#[test]
fn ranges_are_bounded_over_all_holders() {
    let mut tally = Tally::default();
    let apart = |n: u64| Range {
        start: n * 2,
        end: n * 2 + 1,
    };
    let mut taken = 0;
    for key in 0..5 {
        let mut ranges = Ranges::default();
        assert!((0..1_000_000).all(|n| ranges.push(apart(n))));
        tally
            .list(key, listing(&[(1, 100, 1)]), whole(0))
            .expect("listed");
        match tally.reached(key, ranges) {
            Ok(()) => taken += 1,
            Err(fault) => assert_eq!((fault, key), (Fault::Full, 4)),
        }
    }
    assert_eq!(taken, 4);
    // What a new list replaces makes room.
    tally
        .list(0, listing(&[(1, 100, 1)]), whole(0))
        .expect("listed");
    assert_eq!(tally.reached(4, ranges(&[apart(1)])), Ok(()));
}

#[test]
fn hostile_figures_overflow_nothing() {
    let mut tally = Tally::default();
    let most = u64::MAX;
    let listed = [(most, most, most), (0, most, 0), (most, 0, 1), (0, 0, 0)];
    let visible = Visible {
        young: most,
        old: most,
    };
    tally.list(most, listing(&listed), visible).expect("listed");
    tally
        .list(0, listing(&listed), Visible::default())
        .expect("listed");
    let odd = [(0, most), (most, 0), (most, most), (5, 4)];
    let odd = odd.map(|(start, end)| Range { start, end });
    tally.reached(0, ranges(&odd)).expect("known");
    tally.looked(0, Look::Whole).expect("known");
    tally.report(0, EVERYTHING).expect("a report");
    assert!(
        tally
            .again(0, listing(&[(7, most, most)]), Meanwhile::Collected)
            .is_ok()
    );
    tally.report(most, EVERYTHING).expect("a report");
}

/// A holder of the model: references by binary, and reached bytes of each.
type Held = BTreeMap<u64, (u64, BTreeSet<u64>)>;

const SIZE: u64 = 40;

fn holder() -> impl Strategy<Value = Held> {
    let one = (1u64..4, vec((0..SIZE, 0..SIZE), 0..3));
    proptest::collection::btree_map(0u64..6, one, 0..6).prop_map(|held| {
        let bytes = |parts: Vec<(u64, u64)>| parts.into_iter().flat_map(|(from, to)| from..to);
        let each = held.into_iter();
        each.map(|(id, (references, parts))| (id * 1000, (references, bytes(parts).collect())))
            .collect()
    })
}

/// Bytes of consecutive places as ranges.
fn as_ranges(id: u64, bytes: &BTreeSet<u64>) -> Vec<Range> {
    bytes.iter().map(|byte| part(id, *byte, byte + 1)).collect()
}

proptest! {
    #[test]
    fn waste_is_what_no_holder_reaches(
        holders in vec(holder(), 1..6),
        outside in proptest::collection::btree_map(0u64..6, 1u64..3, 0..3),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut count: BTreeMap<u64, u64> = outside.iter().map(|(id, n)| (id * 1000, *n)).collect();
        for (id, (references, _)) in holders.iter().flatten() {
            *count.entry(*id).or_default() += references;
        }
        let mut tally = Tally::default();
        let first = turn.index(holders.len());
        // In any order, and twice: what comes again replaces what was there.
        for key in (0..holders.len()).chain([first]) {
            let held = &holders[key];
            let mut elements = Vec::new();
            for (id, (references, _)) in held {
                elements.extend((0..*references).map(|_| (*id, SIZE, count[id])));
            }
            elements.reverse();
            let parts: Vec<_> = held.iter().flat_map(|(id, (_, bytes))| as_ranges(*id, bytes)).collect();
            let again = part(99_000, 0, 10);
            look(&mut tally, key as u64, &elements, &[&parts[..], &[again], &parts[..]].concat());
        }
        let (totals, found) = tally.report(0, EVERYTHING).expect("a report");
        let mut wasted = 0;
        let mut by_holder = vec![(0, 0, 0); holders.len()];
        for id in count.keys() {
            let of: Vec<_> = (0..holders.len()).filter(|key| holders[*key].contains_key(id)).collect();
            if of.is_empty() || outside.contains_key(&(id / 1000)) {
                continue;
            }
            let used: BTreeSet<_> = of.iter().flat_map(|key| &holders[*key][id].1).collect();
            let rest = SIZE - used.len() as u64;
            wasted += rest;
            for key in of.iter() {
                let sums = &mut by_holder[*key];
                let reached = !holders[*key][id].1.is_empty();
                *(if reached { &mut sums.0 } else { &mut sums.1 }) += rest / of.len() as u64;
                sums.2 += rest;
            }
        }
        let held: BTreeSet<_> = holders.iter().flat_map(|held| held.keys()).collect();
        prop_assert_eq!((totals.held, totals.wasted), (held.len() as u64 * SIZE, wasted));
        prop_assert_eq!(found.iter().map(Summary::wasted).sum::<u64>(), wasted);
        for summary in found {
            let (parts, unreachable, involved) = by_holder[summary.key as usize];
            // One byte may be odd for each binary.
            prop_assert!((parts..parts + 6 * 6).contains(&summary.parts));
            prop_assert!((unreachable..unreachable + 6 * 6).contains(&summary.unreachable));
            prop_assert_eq!(summary.involved, involved);
        }
    }

    #[test]
    fn merged_ranges_hold_each_byte_once(parts in vec((0u64..500, 0u64..30), 0..80)) {
        let parts: Vec<_> = parts.iter().map(|(start, len)| Range { start: *start, end: start + len }).collect();
        let merged = ranges(&parts).into_merged();
        let bytes: BTreeSet<_> = parts.iter().flat_map(|range| range.start..range.end).collect();
        let left: Vec<_> = merged.iter().flat_map(|range| range.start..range.end).collect();
        prop_assert_eq!(left, bytes.into_iter().collect::<Vec<_>>());
        prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}
