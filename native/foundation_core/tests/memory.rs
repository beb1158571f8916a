//! The books of native memory. One test for each owner: they are the program's, and tests of one
//! program run side by side.

mod common;

use common::witness::{Drops, Witness, keeper};
use foundation_core::compression::{Checksum, compress_frame};
use foundation_core::leaks::{Listing, Range, Ranges, Tally, Visible};
use foundation_core::memory::{Charge, OWNERS, Owner, TIDE, Tide, held, held_by_all};
use foundation_core::reaper::{NEVER, Next};
use foundation_core::shared_term::{SMALL, SharedTerm};

#[test]
fn what_is_held_is_in_the_books_until_it_is_freed() {
    let held = || held(Owner::SharedTerms);
    assert_eq!(held(), 0);
    for (at, (owner, name)) in OWNERS.iter().enumerate() {
        assert_eq!((*owner as usize, name.is_empty()), (at, false));
    }

    let (one, two) = (
        Charge::new(Owner::SharedTerms, 7),
        Charge::new(Owner::SharedTerms, 5),
    );
    assert_eq!((one.bytes(), two.bytes(), held()), (7, 5, 12));
    drop(one);
    assert_eq!(held(), 5);
    drop(two);
    assert_eq!(held(), 0);

    let searches = || foundation_core::memory::held(Owner::LeakSearches);
    let mut tally = Tally::default();
    for holder in 0..10 {
        let mut listing = Listing::default();
        assert!((0..1000).all(|id| listing.push(id, 100, 1).is_ok()));
        assert_eq!(tally.list(holder % 9, listing, Visible::default()), Ok(()));
    }
    let listed = searches();
    assert!(
        (9 * 24_000..300_000).contains(&listed),
        "{listed} bytes of lists"
    );
    assert!(tally.report(0, 1).is_ok());
    assert_eq!(searches() - listed, 9 * 16_000, "all pairs in order");
    let mut ranges = Ranges::default();
    assert!((0..100).all(|n| ranges.push(Range {
        start: n * 2,
        end: n * 2 + 1
    })));
    assert_eq!(tally.reached(0, ranges), Ok(()));
    assert_eq!(searches() - listed, 9 * 16_000 + 1600, "what is reached");
    drop(tally);
    assert_eq!(searches(), 0);

    let (keeper, drops) = (keeper(), Drops::default());
    let handle = {
        let term = SharedTerm::new(Witness::small(1, &drops), 0, NEVER, keeper);
        let handle = held() - term.bytes();
        term.release();
        assert_eq!(held(), handle, "the copy is gone, the handle is not");
        handle
    };
    assert!((1..=256).contains(&handle), "{handle} bytes for a handle");
    assert_eq!(held(), 0);

    // A large one counts until a step has freed it.
    keeper.attend(true);
    let term = SharedTerm::new(Witness::large(1, &drops), 0, 10, keeper);
    assert_eq!(held(), handle + SMALL + 1);
    drop(term);
    assert_eq!((held(), keeper.planned()), (SMALL + 1, 0));
    assert_eq!(keeper.step(0, || false), Next::Idle);
    assert_eq!((held(), drops.count()), (0, 2));
}

const MIB: u64 = 1 << 20;

#[test]
fn memory_goes_back_after_a_quarter_and_16_mib_were_freed() {
    let tide = Tide::new();
    tide.rise(100 * MIB);
    tide.rise(90 * MIB);
    for held in [100 * MIB, 120 * MIB, 80 * MIB, 76 * MIB] {
        assert!(!tide.has_ebbed(held), "less than a quarter below 100 MiB");
    }
    assert!(tide.has_ebbed(75 * MIB));
    assert!(!tide.has_ebbed(75 * MIB), "once");
    assert!(
        !tide.has_ebbed(60 * MIB),
        "a quarter of what there was then"
    );
    assert!(tide.has_ebbed(0));

    tide.rise(15 * MIB);
    assert!(!tide.has_ebbed(0), "all of it, but under 16 MiB");
}

#[test]
fn the_most_that_was_held_is_seen_while_it_is_let_go() {
    let tides = [64 * MIB, 96 * MIB].map(|bytes| {
        let held: Vec<_> = (0..bytes / 4096)
            .map(|_| Charge::new(Owner::SharedStores, 4096))
            .collect();
        drop(held);
        TIDE.has_ebbed(held_by_all())
    });
    assert_eq!(tides, [true, true]);
    assert!(!TIDE.has_ebbed(held_by_all()));
}

#[test]
#[allow(clippy::unwrap_used)]
fn tables_of_codecs_are_in_the_books_while_they_are_used() {
    let text = b"to be or not to be, ".repeat(100_000);
    let mut seen = Vec::new();
    let mut look = || {
        seen.push(held(Owner::Codecs));
        true
    };
    let mut out = Vec::new();
    compress_frame(&text, &mut out, Checksum::Auto, &mut look).unwrap();
    assert_eq!(seen, [16 * 1024; 7]);
    compress_frame(&text[..1000], &mut out, Checksum::Auto, &mut || true).unwrap();
    assert_eq!(held(Owner::Codecs), 0);
}
