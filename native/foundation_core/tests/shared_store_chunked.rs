//! The arrays and lists that a store is made of, against the standard library's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, VecDeque};

use foundation_core::shared_store::chunked::{Chunked, Sparse};
use foundation_core::shared_store::links::{Links, List};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Step {
    Push(u16),
    Pop(u16),
    SwapRemove(Index),
    Replace(Index, u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..600u16).prop_map(Step::Push),
        (1..600u16).prop_map(Step::Pop),
        any::<Index>().prop_map(Step::SwapRemove),
        (any::<Index>(), any::<u64>()).prop_map(|(at, item)| Step::Replace(at, item)),
    ]
}

proptest! {
    #[test]
    fn a_chunked_array_is_a_vector(steps in vec(steps(), 1..40)) {
        let (mut array, mut model) = (Chunked::new(), Vec::new());
        for step in steps {
            match step {
                Step::Push(times) => for n in 0..u64::from(times) {
                    prop_assert_eq!(array.push(n) as usize, model.len());
                    model.push(n);
                },
                Step::Pop(times) => for _ in 0..times {
                    prop_assert_eq!(array.pop(), model.pop());
                },
                Step::SwapRemove(at) => {
                    let at = at.index(model.len() + 1);
                    let expected = (at < model.len()).then(|| model.swap_remove(at));
                    prop_assert_eq!(array.swap_remove(at as u32), expected);
                }
                Step::Replace(at, item) if !model.is_empty() => {
                    let at = at.index(model.len());
                    array[at as u32] = item;
                    model[at] = item;
                    prop_assert_eq!(array.get_mut(at as u32), Some(&mut item.clone()));
                }
                Step::Replace(..) => prop_assert!(array.is_empty()),
            }
            let len = model.len() as u32;
            prop_assert_eq!(array.len(), len);
            prop_assert_eq!(array.get(len), None);
            prop_assert!((0..len).all(|at| array[at] == model[at as usize]));
            // The last chunk and one kept.
            prop_assert!(array.bytes() <= (model.len() + 2 * 256) * 8 + 64 * 24);
        }
    }

    #[test]
    fn a_sparse_array_is_a_map_with_defaults(
        sets in vec((prop_oneof![0..700u32, 0..1_000_000u32], 0..3u8), 1..2000)
    ) {
        let (mut array, mut model) = (Sparse::new(), HashMap::new());
        for (at, item) in sets {
            prop_assert_eq!(array.set(at, item), model.insert(at, item).unwrap_or(0));
            prop_assert_eq!(array.get(at), item);
        }
        for (at, item) in &model {
            prop_assert_eq!(array.get(*at), *item);
            prop_assert_eq!(array.get(*at + 1_000_000), 0);
        }
        for at in model.keys() {
            array.set(*at, 0);
        }
        // One chunk is kept, and some of the directory of the others.
        prop_assert!(array.bytes() <= 256 + 2 * 16 * 1_000_000 / 256, "{}", array.bytes());
    }

    #[test]
    fn lists_keep_their_order_while_slots_move(
        steps in vec((0..3usize, prop_oneof![Just(None), any::<Index>().prop_map(Some)]), 1..300)
    ) {
        let mut links = Links::new();
        let mut lists = [const { List::new() }; 3];
        // Which list each slot is in, and its name; the lists of names.
        let mut slots: Vec<(usize, usize)> = Vec::new();
        let mut model = [const { VecDeque::new() }; 3];
        for (name, (list, hole)) in steps.into_iter().enumerate() {
            match hole {
                Some(hole) if !slots.is_empty() => {
                    let hole = hole.index(slots.len());
                    let (list, name) = slots.swap_remove(hole);
                    links.remove(&mut lists[list], hole as u32);
                    model[list].retain(|other| *other != name);
                    if let Some((list, _)) = slots.get(hole) {
                        links.moved(&mut lists[*list], slots.len() as u32, hole as u32);
                    }
                }
                _ => {
                    links.push_back(&mut lists[list], slots.len() as u32);
                    slots.push((list, name));
                    model[list].push_back(name);
                }
            }
            for (list, model) in lists.iter().zip(&model) {
                let front = links.front(list).map(|slot| slots[slot as usize].1);
                prop_assert_eq!(front, model.front().copied());
                prop_assert_eq!(list.len() as usize, model.len());
            }
        }
        for (list, model) in lists.iter_mut().zip(&mut model) {
            while let Some(slot) = links.front(list) {
                prop_assert_eq!(Some(slots[slot as usize].1), model.pop_front());
                links.remove(list, slot);
            }
            prop_assert!(list.is_empty() && model.is_empty());
        }
    }
}

#[test]
fn a_small_array_is_small() {
    let mut array = Chunked::new();
    assert_eq!(array.bytes(), 0);
    for item in 0..10u64 {
        array.push(item);
    }
    assert!(array.bytes() <= 16 * 8 + 4 * 24, "{}", array.bytes());
}
