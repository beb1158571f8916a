//! Frames and blocks against `lz4_flex`'s own reader and writer, and against input that lies.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
use std::io::{Read, Write};

use foundation_core::compression::{
    Checksum, Error, Fault, MAX_BLOCK_INPUT, check_external, compress_block, compress_frame,
    decode_block, decompress_block, decompress_frame,
};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX: u64 = 64 * 1024 * 1024;
const CHECKSUMS: [Checksum; 3] = [Checksum::Auto, Checksum::Always, Checksum::Never];

fn frame_of(data: &[u8], checksum: Checksum) -> Vec<u8> {
    let mut out = Vec::new();
    compress_frame(data, &mut out, checksum, &mut || true).unwrap();
    out
}

fn content_of(frame: &[u8], max: u64) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    decompress_frame(frame, &mut out, max, &mut || true).map(|()| out)
}

fn block_of(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress_block(data, &mut out).unwrap();
    out
}

fn block_content(block: &[u8], max: u64) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    decompress_block(block, &mut out, max).map(|()| out)
}

fn flex_frame(data: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that no compressor shortens, from a generator that needs no state of its own.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let lines =
        (0..).flat_map(|n: u64| format!("{{\"id\":{n},\"at\":{}}}\n", n * n % 977).into_bytes());
    lines.take(len).collect()
}

/// Data as LZ4 meets it: runs, repeats at any distance, and parts that do not repeat.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..2000usize).prop_map(|(byte, len)| vec![byte; len]),
        (vec(any::<u8>(), 1..40), 1..60usize).prop_map(|(unit, times)| unit.repeat(times)),
        (0..3000usize).prop_map(text),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn frames_come_back_and_lz4_flex_reads_them(data in data(), kind in 0..3usize) {
        let frame = frame_of(&data, CHECKSUMS[kind]);
        prop_assert_eq!(&content_of(&frame, MAX).unwrap(), &data);
        let mut theirs = Vec::new();
        FrameDecoder::new(&frame[..]).read_to_end(&mut theirs).unwrap();
        prop_assert_eq!(theirs, data);
    }

    #[test]
    fn frames_of_lz4_flex_are_read(
        pieces in vec(data(), 1..4),
        linked in any::<bool>(),
        block_checksums in any::<bool>(),
        content_checksum in any::<bool>(),
        sized in any::<bool>(),
        large in any::<bool>(),
    ) {
        // Over 64 KiB, so that blocks refer to those before them.
        let mut all = pieces.concat();
        all.extend(all.repeat(3));
        all.extend(text(90_000));
        let info = FrameInfo::new()
            .block_mode(if linked { BlockMode::Linked } else { BlockMode::Independent })
            .block_size(if large { BlockSize::Max1MB } else { BlockSize::Max64KB })
            .block_checksums(block_checksums)
            .content_checksum(content_checksum)
            .content_size(sized.then_some(all.len() as u64));
        prop_assert_eq!(content_of(&flex_frame(&all, info), MAX).unwrap(), all);
    }

    #[test]
    fn blocks_go_both_ways_with_lz4_flex(data in data()) {
        let block = block_of(&data);
        prop_assert_eq!(&lz4_flex::block::decompress_size_prepended(&block).unwrap(), &data);
        let theirs = lz4_flex::block::compress_prepend_size(&data);
        prop_assert_eq!(block_content(&theirs, MAX).unwrap(), data);
    }

    /// Both decoders accept the same blocks and make the same of them, also of damaged ones.
    #[test]
    fn the_decoder_agrees_with_lz4_flex(data in data(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), size in 0..6000usize) {
        let mut block = lz4_flex::block::compress(&data);
        for (index, byte) in flips {
            let at = index.index(block.len());
            block[at] = byte;
        }
        agree(&block, data.len())?;
        agree(&block, size)?;
    }

    #[test]
    fn the_decoder_agrees_with_lz4_flex_on_noise(block in vec(any::<u8>(), 0..200), size in 0..2000usize) {
        agree(&block, size)?;
    }

    #[test]
    fn no_bytes_break_the_readers(mut bytes in vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        if magic {
            bytes.splice(0..0, [0x04, 0x22, 0x4D, 0x18]);
        }
        let _ = content_of(&bytes, 10_000);
        let _ = block_content(&bytes, 10_000);
    }
}

fn agree(block: &[u8], size: usize) -> Result<(), TestCaseError> {
    let (mut ours, mut theirs) = (vec![0; size], vec![0; size]);
    let our_size = decode_block(block, &mut ours, 0);
    match lz4_flex::block::decompress_into(block, &mut theirs) {
        Ok(their_size) => {
            prop_assert_eq!(our_size, Ok(their_size));
            prop_assert_eq!(&ours[..their_size], &theirs[..their_size]);
        }
        Err(_) => prop_assert!(our_size.is_err()),
    }
    Ok(())
}

#[test]
fn sizes_around_every_border_come_back() {
    for size in [
        0, 1, 12, 13, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_000_000,
    ] {
        for data in [text(size), noise(size), vec![7; size]] {
            for checksum in CHECKSUMS {
                assert_eq!(content_of(&frame_of(&data, checksum), MAX).unwrap(), data);
            }
            assert_eq!(block_content(&block_of(&data), MAX).unwrap(), data);
        }
    }
}

#[test]
fn what_does_not_compress_is_stored() {
    for size in [100, 70_000, 3_000_000] {
        let frame = frame_of(&noise(size), Checksum::Auto);
        assert_eq!(
            frame.len(),
            size + 19 + 4 * size.div_ceil(262_144),
            "{size} bytes of noise"
        );
    }
    assert!(block_of(&noise(100_000)).len() <= 100_000 + 100_000 / 250 + 20);
}

#[test]
fn noise_in_front_does_not_hide_what_compresses() {
    let mut data = noise(500_000);
    data.extend(text(500_000));
    assert!(frame_of(&data, Checksum::Auto).len() < 720_000);
    // Noise that repeats at a distance compresses, though no sample of 4 KiB shows it.
    assert!(frame_of(&noise(10_000).repeat(100), Checksum::Auto).len() < 70_000);
}

#[test]
fn every_truncation_is_an_error() {
    let mut data = text(3_000);
    data.extend(noise(100));
    let frames = [
        frame_of(&data, Checksum::Auto),
        frame_of(&noise(300), Checksum::Auto),
        flex_frame(&data, FrameInfo::new().content_checksum(true)),
    ];
    for frame in frames {
        for len in 0..frame.len() {
            assert!(
                content_of(&frame[..len], MAX).is_err(),
                "{len} of {} bytes",
                frame.len()
            );
        }
    }
    let block = block_of(&data);
    for len in 0..block.len() {
        assert!(
            block_content(&block[..len], MAX).is_err(),
            "{len} of {} bytes",
            block.len()
        );
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let data = text(5_000);
    let frame = frame_of(&data, Checksum::Auto);
    let mut unnoticed = 0;
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match content_of(&damaged, MAX) {
            Ok(content) => {
                assert_eq!(content, data, "bit {bit}");
                unnoticed += 1;
            }
            Err(_) => continue,
        }
    }
    assert_eq!(unnoticed, 0);
}

#[test]
fn concatenated_and_skippable_frames_are_read_as_one() {
    let mut input = vec![0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
    input.extend(frame_of(b"one, ", Checksum::Auto));
    input.extend(flex_frame(
        b"two, ",
        FrameInfo::new().content_checksum(true),
    ));
    input.extend([0x5F, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]);
    input.extend(frame_of(b"three", Checksum::Never));
    assert_eq!(content_of(&input, 15).unwrap(), b"one, two, three");
    assert_eq!(
        content_of(&input, 14),
        Err(Error::TooLarge {
            size: Some(5),
            max: 14
        })
    );
    input.push(0);
    let after = Error::Corrupt("there are bytes after the last frame");
    assert_eq!(content_of(&input, 15), Err(after));
}

#[test]
fn headers_are_checked() {
    let frame = frame_of(b"abc", Checksum::Never);
    let with = |at: usize, byte: u8| {
        let mut changed = frame.clone();
        changed[at] = byte;
        changed[14] = (twox_hash::XxHash32::oneshot(0, &changed[4..14]) >> 8) as u8;
        content_of(&changed, MAX).unwrap_err().reason()
    };
    assert_eq!(content_of(b"", MAX), Err(Error::NotLz4));
    assert_eq!(content_of(b"PK\x03\x04", MAX), Err(Error::NotLz4));
    assert_eq!(
        content_of(&frame[..2], MAX).unwrap_err().reason(),
        "truncated"
    );
    assert_eq!(with(0, 5), "not_lz4");
    assert_eq!(with(4, frame[4] & 0x3F), "unsupported");
    assert_eq!(with(4, frame[4] | 0b01), "unsupported");
    assert_eq!(with(4, frame[4] | 0b10), "unsupported");
    assert_eq!(with(5, 0x30), "corrupt");
    assert_eq!(with(6, 2), "corrupt");
    assert_eq!(with(6, 4), "corrupt");
    assert_eq!(
        content_of(&[2, 0x21, 0x4C, 0x18, 0], MAX)
            .unwrap_err()
            .reason(),
        "unsupported"
    );
}

#[test]
fn a_block_never_writes_past_its_frames_block_size() {
    // One block of 70,000 zeros in a frame whose blocks hold 64 KiB.
    let block = lz4_flex::block::compress(&[0; 70_000]);
    let mut frame = vec![0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82];
    frame.extend((block.len() as u32).to_le_bytes());
    frame.extend(&block);
    frame.extend([0; 4]);
    let longer = Error::Corrupt("a block holds more than the frame's block size");
    assert_eq!(content_of(&frame, MAX), Err(longer));
}

#[test]
fn matches_stay_inside_what_has_been_decoded() {
    // One literal, then a match that starts before it.
    assert_eq!(
        decode_block(&[0x10, 1, 2, 0, 0x00], &mut [0; 64], 0),
        Err(Fault::Malformed)
    );
    // With history in front of it, the same match is good.
    let mut out = [9; 64];
    assert_eq!(decode_block(&[0x10, 1, 2, 0, 0x00], &mut out, 1), Ok(5));
    assert_eq!(out[..6], [9, 1, 9, 1, 9, 1]);
    assert_eq!(decode_block(&[0x00], &mut [0; 4], 5), Err(Fault::Full));
}

#[test]
fn work_stops_when_nobody_waits_for_it() {
    let data = text(4_000_000);
    let frame = frame_of(&data, Checksum::Auto);
    let mut looks = 0;
    let mut wanted = || {
        looks += 1;
        looks < 3
    };
    let compressed = compress_frame(&data, &mut Vec::new(), Checksum::Auto, &mut wanted);
    assert_eq!(compressed, Err(Error::Cancelled));
    let read = decompress_frame(&frame, &mut Vec::new(), MAX, &mut || false);
    assert_eq!(read, Err(Error::Cancelled));
    assert_eq!(looks, 3);
}

#[test]
fn a_block_has_a_limit() {
    assert_eq!(MAX_BLOCK_INPUT, 2_113_929_216);
    let four_gigabytes = [0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0x00];
    let claim = Error::TooLarge {
        size: Some(u64::from(u32::MAX)),
        max: MAX,
    };
    assert_eq!(block_content(&four_gigabytes, MAX), Err(claim));
    assert_eq!(
        block_content(&four_gigabytes, u64::MAX)
            .unwrap_err()
            .reason(),
        "corrupt"
    );
}

#[test]
fn compressed_terms_announce_a_size_that_can_be_true() {
    let term =
        |size: u32, rest: usize| [&[131, 80][..], &size.to_be_bytes(), &vec![0; rest]].concat();
    assert_eq!(check_external(&[131, 106], 2), Ok(()));
    let long = Error::TooLarge {
        size: Some(2),
        max: 1,
    };
    assert_eq!(check_external(&[131, 106], 1), Err(long));
    assert_eq!(check_external(&[131], 10), Err(Error::NotATerm));
    assert_eq!(
        check_external(&[131, 80, 0, 0, 0], 10),
        Err(Error::NotATerm)
    );
    assert_eq!(check_external(b"{}", 10), Err(Error::NotATerm));
    assert_eq!(check_external(&term(1032, 1), 1032), Ok(()));
    let claim = Error::TooLarge {
        size: Some(1033),
        max: 1032,
    };
    assert_eq!(check_external(&term(1033, 10), 1032), Err(claim));
    assert_eq!(
        check_external(&term(1033, 1), 2000).unwrap_err().reason(),
        "corrupt"
    );
}
