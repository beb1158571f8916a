//! Frames, written.
use lz4_flex::block;

use super::{Buffer, Checksum, Error, Watch, header, probe, resize, tables};

const END_MARK: usize = 4;

/// 256 KiB compress as well as 4 MiB to about 1 per cent, stay in the second-level cache and take
/// 0.4 ms.
const LARGE_BLOCK: (usize, u8) = (256 * 1024, 5);
const SMALL_BLOCK: (usize, u8) = (64 * 1024, 4);

/// 4 MiB: the largest block there is, so that there are few.
const STORED_BLOCK: (usize, u8) = (4 * 1024 * 1024, 7);

/// The parts of a frame that stores its content as it is: what to write before each range of the
/// input, and at the end.
pub struct Stored {
    /// The header.
    pub header: [u8; header::WRITTEN],
    /// The blocks: what stands before each, and what it holds.
    pub blocks: Vec<([u8; 4], std::ops::Range<usize>)>,
    /// The end mark.
    pub end: [u8; END_MARK],
}

/// The frame that stores the input, where that is large and does not compress: for the caller to
/// put together without another pass over the data. `None` where compressing is worth a try.
pub fn stored(input: &[u8]) -> Result<Option<Stored>, Error> {
    if probe::worthwhile(input)? {
        return Ok(None);
    }
    let (size, code) = STORED_BLOCK;
    let blocks = (0..input.len()).step_by(size).map(|start| {
        let end = input.len().min(start + size);
        (
            ((end - start) as u32 | header::STORED).to_le_bytes(),
            start..end,
        )
    });
    Ok(Some(Stored {
        header: header::write(input.len() as u64, code, false),
        blocks: blocks.collect(),
        end: [0; END_MARK],
    }))
}

/// Writes `input` as one frame of independent blocks with its content size into `out`, which
/// afterwards holds the frame and nothing else. Blocks that do not get smaller are stored as they
/// are, so that a frame is never longer than the input by more than 19 bytes and 8 for each block.
pub fn compress(
    input: &[u8],
    out: &mut impl Buffer,
    checksums: Checksum,
    wanted: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let (block_size, block_code) = block_size(input.len());
    let worthwhile = probe::worthwhile(input)?;
    let mut sealed = match checksums {
        Checksum::Auto => worthwhile,
        Checksum::Always => true,
        Checksum::Never => false,
    };
    resize(out, bound(input.len(), block_size, worthwhile, sealed)?)?;
    let _tables = tables(block_size.min(input.len()));
    let mut writer = Writer::new(out.bytes());
    let mut watch = Watch::new(wanted);
    for chunk in input.chunks(block_size) {
        let compressed = writer.block(chunk, worthwhile);
        // One block alone shows by itself whether it compresses.
        if checksums == Checksum::Auto && chunk.len() == input.len() {
            sealed = compressed;
        }
        if sealed {
            writer.seal();
        }
        watch.step(chunk.len())?;
    }
    let end = writer.finish(header::write(input.len() as u64, block_code, sealed));
    resize(out, end)
}

fn block_size(input: usize) -> (usize, u8) {
    if input <= SMALL_BLOCK.0 {
        SMALL_BLOCK
    } else {
        LARGE_BLOCK
    }
}

/// Room for the frame, and where blocks are compressed, for what LZ4 may write before a block turns
/// out not to get smaller. What is only stored gets exactly its size: making a large binary smaller
/// again costs the VM pages that it could have used the next time.
fn bound(input: usize, block_size: usize, worthwhile: bool, sealed: bool) -> Result<usize, Error> {
    let blocks = input.div_ceil(block_size);
    let word = if worthwhile || sealed { 8 } else { 4 };
    let widest = if worthwhile {
        block::get_maximum_output_size(block_size.min(input))
    } else {
        0
    };
    (blocks * word + header::WRITTEN + END_MARK + widest)
        .checked_add(input)
        .ok_or(Error::OutOfMemory { bytes: u64::MAX })
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    /// Where the data of the last block begins.
    block: usize,
}

impl<'a> Writer<'a> {
    /// Leaves room for the header, which is known at the end.
    fn new(out: &'a mut [u8]) -> Self {
        Writer {
            out,
            at: header::WRITTEN,
            block: header::WRITTEN,
        }
    }

    /// Writes a block, and says whether it is compressed.
    fn block(&mut self, chunk: &[u8], worthwhile: bool) -> bool {
        self.block = self.at + 4;
        if worthwhile && let Some(size) = shrink(chunk, &mut self.out[self.block..]) {
            self.word(size as u32);
            self.at += size;
            return true;
        }
        self.word(chunk.len() as u32 | header::STORED);
        self.bytes(chunk);
        false
    }

    /// Writes the checksum of the last block.
    fn seal(&mut self) {
        self.word(header::checksum(&self.out[self.block..self.at]));
    }

    /// Writes the header and the end mark, and returns the length of the frame.
    fn finish(mut self, header: [u8; header::WRITTEN]) -> usize {
        self.out[..header::WRITTEN].copy_from_slice(&header);
        self.word(0);
        self.at
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Compresses into `room`, where that makes it smaller.
fn shrink(chunk: &[u8], room: &mut [u8]) -> Option<usize> {
    let size = block::compress_into(chunk, room).ok()?;
    (size < chunk.len()).then_some(size)
}
