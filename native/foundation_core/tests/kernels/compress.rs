//! Frames of many, against reading them.
use foundation_core::compression::{Checksum, compress_frame, decompress_frame};
use foundation_core::kernels::{Args, Buffer, Input, Value, find};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::run::{Cuts, cuts, run};

fn frames(items: &[&[u8]], cuts: &Cuts) -> Vec<Buffer<u8>> {
    match run("compress_many", Input::Many(items), Args::new(), cuts) {
        Ok(Value::Binaries(mut pieces)) => {
            let mut frames = Vec::new();
            while let Some(piece) = pieces.last_mut() {
                match piece.pop() {
                    Some(frame) => frames.push(frame),
                    None => drop(pieces.pop()),
                }
            }
            frames.reverse();
            frames
        }
        other => panic!("{other:?}"),
    }
}

fn frame(item: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_frame(item, &mut out, Checksum::Auto, &mut || true).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_is_a_frame_that_holds_it(
        items in vec((vec(any::<u8>(), 0..600), 0..600usize), 0..12), cuts in cuts(),
    ) {
        let items: Vec<Vec<u8>> = items.iter().map(|(unit, times)| unit.repeat(*times)).collect();
        let many: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let frames = frames(&many, &cuts);
        prop_assert_eq!(frames.len(), items.len());
        for (made, item) in frames.iter().zip(&items) {
            let mut content = Vec::new();
            decompress_frame(made, &mut content, 1 << 20, &mut || true).unwrap();
            prop_assert_eq!(&content, item);
            prop_assert_eq!(&made[..], &frame(item)[..]);
        }
    }
}

#[test]
fn large_ones_are_compressed_block_by_block() {
    let text = b"to be or not to be, ".repeat(100_000);
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1_000_000)
    .collect();
    let items: [&[u8]; 3] = [&text, &noise, b""];
    let input = Input::Many(&items);
    let mut kernel = find("compress_many")
        .unwrap()
        .create(&input, 0..3, Args::new())
        .unwrap();
    let mut steps = 0;
    while kernel.step(&input, &mut || false).unwrap() == foundation_core::kernels::Step::More {
        steps += 1;
    }
    assert!(
        steps >= 8 + 4,
        "{steps} steps for 2 MB and 1 MB in blocks of 256 KiB"
    );
    for (made, item) in frames(&items, &Cuts::short()).iter().zip(items) {
        assert_eq!(made[..], frame(item)[..]);
        assert!(made.room() < item.len() as u64 + 4096);
    }
}
