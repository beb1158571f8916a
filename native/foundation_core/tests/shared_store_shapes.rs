//! Rows that are kept once, by one thread and by many.

use std::collections::HashMap;

use foundation_core::shared_store::shapes::Shapes;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_row_is_kept_once_and_as_it_is(
        rows in proptest::collection::vec(proptest::collection::vec(0..4usize, 0..40), 1..400),
    ) {
        let shapes = Shapes::new();
        prop_assert_eq!(shapes.bytes(), 0);
        let mut places = HashMap::new();
        for row in &rows {
            let Some(kept) = shapes.keep(row) else { continue };
            prop_assert_eq!(kept, row.as_slice());
            let place = *places.entry(row.clone()).or_insert(kept.as_ptr());
            prop_assert_eq!(place, kept.as_ptr());
        }
        // What is found once is found again, where it was.
        for (row, place) in places {
            prop_assert_eq!(shapes.keep(&row).map(<[usize]>::as_ptr), Some(place));
        }
    }
}

#[test]
fn rows_without_number_take_bounded_memory_and_the_first_stay() {
    let shapes = Shapes::new();
    let first = shapes.keep(&[1, 2, 3]).map(<[usize]>::as_ptr);
    let kept = (0..100_000usize)
        .filter(|n| shapes.keep(&[*n, 7]).is_some())
        .count();
    assert!((200..=256).contains(&kept), "{kept}");
    assert!(shapes.bytes() <= 257 * (24 + 24), "{}", shapes.bytes());
    assert_eq!(shapes.keep(&[1, 2, 3]).map(<[usize]>::as_ptr), first);
    assert_eq!(Shapes::new().keep(&[0; 34]), None);
}

#[test]
fn threads_at_once_get_the_same_row() {
    for _ in 0..200 {
        let shapes = Shapes::new();
        let places: Vec<usize> = std::thread::scope(|scope| {
            let keep = || {
                let row = shapes.keep(&[5, 6, 7]);
                row.map_or(0, |row| row.as_ptr() as usize)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(keep)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        });
        assert!(places[0] != 0 && places.iter().all(|place| *place == places[0]));
    }
}
