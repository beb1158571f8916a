//! Each of many binaries as an LZ4 frame (`Value::Binaries`), as `compression::compress_frame` makes
//! it. Large ones block by block, so that no step is longer for them.
use std::ops::Range;

use super::cursor::Cursor;
use super::{Args, Buffer, Error, Input, Kernel, Made, Step, Value, same};
use crate::compression::{self, Checksum, Frame};

/// Bytes between two looks at the clock: half a block.
const STRIDE: usize = 32 * 1024;

pub(super) fn new(_: &Input, range: Range<usize>, _: &mut Args) -> Made {
    let mut frames = Vec::new();
    let bytes = range.len().saturating_mul(size_of::<Buffer<u8>>()) as u64;
    frames
        .try_reserve_exact(range.len())
        .map_err(|_| Error::OutOfMemory { bytes })?;
    Ok(Box::new(Compress {
        cursor: Cursor::new(range),
        frame: None,
        frames,
        joined: Vec::new(),
    }))
}

struct Compress {
    cursor: Cursor,
    /// Of the binary at the cursor, and the room it is written to.
    frame: Option<(Frame, Buffer<u8>)>,
    frames: Vec<Buffer<u8>>,
    joined: Vec<Vec<Buffer<u8>>>,
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
        self.frames.push(out.trimmed()?);
        self.cursor.advance(1);
        // A binary costs something, however short it is.
        Ok(1024)
    }
}

impl Kernel for Compress {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let mut done = 0;
        while !self.cursor.is_done() {
            done += self.work(input.item(self.cursor.at())?)?;
            if done >= STRIDE {
                done = 0;
                if !more() {
                    return Ok(Step::More);
                }
            }
        }
        Ok(Step::Done)
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        self.cursor.join(&next.cursor)?;
        self.joined.push(next.frames);
        self.joined.extend(next.joined);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        // One by one they are not moved again: that would take as long as there are many.
        self.joined.insert(0, self.frames);
        Ok(Value::Binaries(self.joined))
    }

    fn progress(&self) -> (u64, u64) {
        self.cursor.progress()
    }
}
