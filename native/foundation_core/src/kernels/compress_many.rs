//! Each of many binaries as an LZ4 frame (`Value::Binaries`), as `compression::compress_frame` makes
//! it. Large ones block by block, so that no step is longer for them.
use std::ops::Range;

use super::cursor::{Cursor, strides};
use super::value::boxed;
use super::{Args, Buffer, Cost, Error, Input, Kernel, Made, Step, Value, same};
use crate::compression::{self, Checksum, Frame};

/// Bytes between two looks at the clock: half a block.
const STRIDE: usize = 32 * 1024;

/// Frames of a piece, and their bytes from which on there is a new one: freed in less than a slice.
const PIECE: usize = 4096;
const PIECE_BYTES: usize = 4 << 20;

pub(super) fn cost(_: usize, _: &Args) -> Cost {
    Cost::of(3_300).each(800_000)
}

pub(super) fn new(_: &Input, range: Range<usize>, _: &mut Args) -> Made {
    Ok(Box::new(Compress {
        cursor: Cursor::new(range),
        frame: None,
        pieces: Vec::new(),
        bytes: 0,
    }))
}

struct Compress {
    cursor: Cursor,
    /// Of the binary at the cursor, and the room it is written to.
    frame: Option<(Frame, Buffer<u8>)>,
    /// One by one frames are not moved again: that would take as long as there are many.
    pieces: Vec<Buffer<Buffer<u8>>>,
    /// Of the last piece.
    bytes: usize,
}

impl Compress {
    /// Compresses a block, and says how many bytes that were.
    fn work(&mut self, item: &[u8]) -> Result<usize, Error> {
        let (mut frame, mut out) = match self.frame.take() {
            Some(begun) => begun,
            None => {
                let frame = Frame::new(item, Checksum::Auto)?;
                let room = Buffer::with_room(frame.bound())?;
                (frame, room)
            }
        };
        let _tables = compression::tables(item.len());
        let done = frame.step(item, out.vec())?;
        if done > 0 {
            self.frame = Some((frame, out));
            return Ok(done);
        }
        frame.finish(out.vec())?;
        self.push(out.trimmed()?)?;
        self.cursor.advance(1);
        // A binary costs something, however short it is.
        Ok(1024)
    }

    fn push(&mut self, frame: Buffer<u8>) -> Result<(), Error> {
        self.bytes += frame.len();
        let open = |piece: &&mut Buffer<Buffer<u8>>| piece.len() < PIECE;
        if let Some(piece) = self.pieces.last_mut().filter(open)
            && self.bytes < PIECE_BYTES
        {
            piece.vec().push(frame);
            return Ok(());
        }
        let left = self.cursor.range().end - self.cursor.at();
        let mut piece = Buffer::with_room(left.min(PIECE))?;
        self.bytes = frame.len();
        piece.vec().push(frame);
        self.pieces.push(piece);
        Ok(())
    }
}

impl Kernel for Compress {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        strides(STRIDE, more, || {
            if self.cursor.is_done() {
                return Ok(None);
            }
            self.work(input.item(self.cursor.at())?).map(Some)
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        self.cursor.join(&next.cursor)?;
        self.pieces.extend(next.pieces);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        Ok(Value::Binaries(self.pieces))
    }

    fn pieces(&mut self) -> Vec<Box<dyn Send>> {
        boxed(std::mem::take(&mut self.pieces))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
