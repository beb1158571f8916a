//! The books of native memory. One test: they are the program's, and tests of one program run side
//! by side.

mod common;

use common::witness::{Drops, Witness, keeper};
use foundation_core::memory::{Charge, OWNERS, Owner, held};
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
