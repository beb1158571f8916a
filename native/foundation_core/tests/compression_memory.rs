//! What the readers allocate, counted by the allocator itself. One test, so that no other counts
//! with it.
#![allow(missing_docs, clippy::unwrap_used, unsafe_code)]
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foundation_core::compression::{
    Checksum, Error, compress_frame, decompress_block, decompress_frame,
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            NOW.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's block and layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        NOW.fetch_sub(layout.size(), Relaxed);
        PEAK.fetch_max(NOW.fetch_add(size, Relaxed) + size, Relaxed);
        // SAFETY: the caller's block, layout and size.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of `work` and the most bytes that were allocated beyond those at its start.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let start = NOW.load(Relaxed);
    PEAK.store(start, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed) - start)
}

fn read(input: &[u8], max: u64) -> (Result<usize, Error>, usize) {
    peak(|| {
        let mut out = Vec::new();
        decompress_frame(input, &mut out, max, &mut || true).map(|()| out.len())
    })
}

fn header(flags: u8, content_size: Option<u64>) -> Vec<u8> {
    let mut fields = vec![0x60 | flags, 0x70];
    fields.extend(content_size.iter().flat_map(|size| size.to_le_bytes()));
    let check = (twox_hash::XxHash32::oneshot(0, &fields) >> 8) as u8;
    [&[0x04, 0x22, 0x4D, 0x18][..], &fields, &[check]].concat()
}

fn zeros(content_size: Option<u64>, blocks: usize) -> Vec<u8> {
    let block = lz4_flex::block::compress(&vec![0; 4 << 20]);
    let mut frame = header(if content_size.is_some() { 8 } else { 0 }, content_size);
    for _ in 0..blocks {
        frame.extend((block.len() as u32).to_le_bytes());
        frame.extend(&block);
    }
    frame.extend([0; 4]);
    frame
}

#[test]
fn nothing_allocates_past_the_limit() {
    const MIB: usize = 1 << 20;
    let small = 4 * MIB as u64;

    // 64 MiB of zeros in a small frame, with their size and without.
    let bomb = zeros(None, 16);
    assert!(bomb.len() < 270_000);
    let (result, bytes) = read(&bomb, small);
    assert_eq!(
        result,
        Err(Error::TooLarge {
            size: None,
            max: small
        })
    );
    assert!(bytes <= 4 * MIB, "{bytes}");
    let (result, bytes) = read(&zeros(Some(64 << 20), 16), small);
    assert_eq!(
        result,
        Err(Error::TooLarge {
            size: Some(64 << 20),
            max: small
        })
    );
    assert!(bytes < 1000, "{bytes}");

    // The same, allowed: the limit is the size, not more.
    let (result, bytes) = read(&bomb, 64 << 20);
    assert_eq!(result, Ok(64 * MIB));
    assert!(bytes <= 64 * MIB, "{bytes}");

    // Sizes that no input of that length can have.
    for claim in [1 << 63, u64::MAX, 200 << 20] {
        let (result, bytes) = read(&zeros(Some(claim), 1)[..100], 1 << 62);
        assert!(result.is_err());
        assert!(bytes < 1000, "{bytes}");
    }

    // Frames one after the other count as one.
    let chain = zeros(Some(4 << 20), 1).repeat(100);
    let (result, bytes) = read(&chain, 10 << 20);
    assert_eq!(
        result,
        Err(Error::TooLarge {
            size: Some(4 << 20),
            max: 10 << 20
        })
    );
    assert!(bytes <= 10 * MIB, "{bytes}");

    // Blocks that could hold 4 MiB and hold nothing get as much as they can fill.
    let mut hollow = header(0, None);
    hollow.extend([1, 0, 0, 0, 0x00].repeat(1000));
    let (result, bytes) = read(&hollow, 1 << 40);
    assert_eq!(result, Err(Error::Truncated("a block")));
    assert!(bytes <= hollow.len() * 255, "{bytes}");

    // A block that claims 4 GB.
    let (result, bytes) = peak(|| {
        decompress_block(
            &[0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0],
            &mut Vec::new(),
            u64::MAX,
        )
    });
    assert!(result.is_err());
    assert!(bytes < 1000, "{bytes}");

    // Writing takes the input and its tenth at most, and leaves the frame alone.
    let data = vec![1; 8 * MIB];
    let (frame, bytes) = peak(|| {
        let mut out = Vec::new();
        compress_frame(&data, &mut out, Checksum::Auto, &mut || true).map(|()| out)
    });
    assert!(bytes < 9 * MIB, "{bytes}");
    assert!(frame.unwrap().len() < 40_000);
}
