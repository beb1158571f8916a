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
    let mut frame = Frame::new(input, checksums)?;
    resize(out, frame.bound())?;
    let _tables = tables(frame.block_size.min(input.len()));
    let mut watch = Watch::new(wanted);
    loop {
        let done = frame.step(input, out)?;
        if done == 0 {
            return frame.finish(out);
        }
        watch.step(done)?;
    }
}

/// The same block by block, for callers that stop and go on: the input has to be the same each
/// time.
pub struct Frame {
    input: usize,
    /// How much of the input is in the frame.
    done: usize,
    /// How long the frame is so far.
    at: usize,
    bound: usize,
    block_size: usize,
    block_code: u8,
    worthwhile: bool,
    sealed: bool,
    checksums: Checksum,
}

impl Frame {
    /// For an input.
    pub fn new(input: &[u8], checksums: Checksum) -> Result<Self, Error> {
        let (block_size, block_code) = block_size(input.len());
        let worthwhile = probe::worthwhile(input)?;
        let sealed = match checksums {
            Checksum::Auto => worthwhile,
            Checksum::Always => true,
            Checksum::Never => false,
        };
        Ok(Frame {
            input: input.len(),
            done: 0,
            at: header::WRITTEN,
            bound: bound(input.len(), block_size, worthwhile, sealed)?,
            block_size,
            block_code,
            worthwhile,
            sealed,
            checksums,
        })
    }

    /// Room that the frame may take while it is written: not all of it has to be there at once.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Compresses a block (up to 256 KiB, 0.4 ms), and says how many bytes of the input that were: 0
    /// at its end.
    pub fn step(&mut self, input: &[u8], out: &mut impl Buffer) -> Result<usize, Error> {
        let rest = self.input.min(input.len()).saturating_sub(self.done);
        let size = rest.min(self.block_size);
        let chunk = &input[self.done..][..size];
        if chunk.is_empty() {
            return Ok(0);
        }
        let room = self.at + 8 + END_MARK + block::get_maximum_output_size(chunk.len());
        if out.bytes().len() < room.min(self.bound) {
            resize(out, room.min(self.bound))?;
        }
        let mut writer = Writer::at(out.bytes(), self.at);
        let compressed = writer.block(chunk, self.worthwhile);
        // One block alone shows by itself whether it compresses.
        if self.checksums == Checksum::Auto && size == self.input {
            self.sealed = compressed;
        }
        if self.sealed {
            writer.seal();
        }
        self.at = writer.at;
        self.done += size;
        Ok(size)
    }

    /// Writes the header and the end mark: `out` is the frame then.
    pub fn finish(self, out: &mut impl Buffer) -> Result<(), Error> {
        if self.done < self.input {
            return Err(Error::Truncated("the input"));
        }
        resize(out, self.at + END_MARK)?;
        let header = header::write(self.input as u64, self.block_code, self.sealed);
        Writer::at(out.bytes(), self.at).finish(header);
        Ok(())
    }
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
    /// Behind what is written, and behind room for the header, which is known at the end.
    fn at(out: &'a mut [u8], at: usize) -> Self {
        Writer { out, at, block: at }
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

    /// Writes the header and the end mark.
    fn finish(mut self, header: [u8; header::WRITTEN]) {
        self.out[..header::WRITTEN].copy_from_slice(&header);
        self.word(0);
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
