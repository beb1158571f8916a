//! Sorting a run of keys by their bytes, least first, of those bytes in which the keys differ.
//!
//! Measured on 16,384 keys of 64 bits in any order: 11 ns a key where all bytes differ, as
//! `sort_unstable` takes; 4 ns for values below a million, where that takes 12.
use super::number::Key;

/// Below it, counting bytes costs more than comparing keys.
const SMALL: usize = 512;

/// Sorts the keys, with as much room beside them.
pub(super) fn sort<K: Key>(keys: &mut [K], room: &mut [K]) {
    if keys.len() < SMALL || room.len() < keys.len() {
        return keys.sort_unstable();
    }
    if keys.is_sorted() {
        return;
    }
    let (or, and) = keys.iter().fold((0, u64::MAX), |(or, and), key| {
        (or | key.wide(), and & key.wide())
    });
    let room = &mut room[..keys.len()];
    let mut moved = false;
    for shift in (0..size_of::<K>() as u32 * 8).step_by(8) {
        if ((or ^ and) >> shift) & 0xFF == 0 {
            continue;
        }
        if moved {
            pass(room, keys, shift);
        } else {
            pass(keys, room, shift);
        }
        moved = !moved;
    }
    if moved {
        keys.copy_from_slice(room);
    }
}

/// Moves keys in the order of one byte; those of the same byte stay in order.
fn pass<K: Key>(from: &[K], to: &mut [K], shift: u32) {
    let byte = |key: &K| (key.wide() >> shift) as u8 as usize;
    let mut places = [0u32; 256];
    for key in from {
        places[byte(key)] += 1;
    }
    let mut sum = 0;
    for place in &mut places {
        (*place, sum) = (sum, sum + *place);
    }
    for key in from {
        let place = &mut places[byte(key)];
        to[*place as usize] = *key;
        *place += 1;
    }
}
