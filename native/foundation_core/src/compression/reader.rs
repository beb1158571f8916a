//! Frames, read.
use std::hash::Hasher;

use twox_hash::XxHash32;

use super::header::{self, Header, Start};
use super::{Buffer, Error, Fault, MAX_RATIO, Watch, decode_block, resize};

/// As far as a match can reach back.
const WINDOW: usize = 64 * 1024;

/// Reads all frames of `input` and writes what they hold, one after the other, into `out`, which
/// afterwards holds that and nothing else. Skippable frames are passed over.
pub fn decompress(
    input: &[u8],
    out: &mut impl Buffer,
    max: u64,
    wanted: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let mut reader = Reader {
        input,
        size: out.bytes().len(),
        out,
        at: 0,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        watch: Watch::new(wanted),
    };
    let first = header::read(input)?;
    reader.section(first)?;
    while !reader.input.is_empty() {
        let next = header::read(reader.input).map_err(|error| match error {
            Error::NotLz4 => Error::Corrupt("there are bytes after the last frame"),
            other => other,
        })?;
        reader.section(next)?;
    }
    let end = reader.at;
    resize(out, end)
}

struct Reader<'a, 'w, B> {
    input: &'a [u8],
    out: &'a mut B,
    /// Bytes allocated in `out`.
    size: usize,
    /// Bytes written.
    at: usize,
    max: usize,
    watch: Watch<'w>,
}

impl<'a, B: Buffer> Reader<'a, '_, B> {
    fn section(&mut self, start: Start<'a>) -> Result<(), Error> {
        match start {
            Start::Frame(header, rest) => {
                self.input = rest;
                self.frame(&header)
            }
            Start::Skipped(rest) => {
                self.watch.step(self.input.len() - rest.len())?;
                self.input = rest;
                Ok(())
            }
        }
    }

    fn frame(&mut self, header: &Header) -> Result<(), Error> {
        let start = self.at;
        let end = self.announced(header)?;
        let mut content = header.content_checksum.then(|| XxHash32::with_seed(0));
        while let Some((data, stored)) = self.block(header)? {
            let from = self.at;
            if stored {
                self.copy(data, end)?;
            } else {
                let base = if header.independent {
                    from
                } else {
                    start.max(from.saturating_sub(WINDOW))
                };
                self.decode(data, base, header.block_size, end)?;
            }
            if let Some(hash) = &mut content {
                hash.write(&self.out.bytes()[from..self.at]);
            }
            self.watch.step(data.len() + self.at - from + 4)?;
        }
        if end.is_some_and(|end| end != self.at) {
            return Err(Error::Corrupt("the frame is shorter than its content size"));
        }
        match content {
            Some(hash) if self.word("a checksum")? != hash.finish() as u32 => {
                Err(Error::Corrupt("the checksum of the content differs"))
            }
            _ => Ok(()),
        }
    }

    /// Where the content of the frame will end, if the frame says so; then there is room for all of
    /// it.
    fn announced(&mut self, header: &Header) -> Result<Option<usize>, Error> {
        let Some(size) = header.content_size else {
            return Ok(None);
        };
        if size > (self.max - self.at) as u64 {
            return Err(self.too_large(Some(size)));
        }
        if size > self.input.len() as u64 * MAX_RATIO {
            return Err(Error::Corrupt(
                "the content size is more than LZ4 can make of the data",
            ));
        }
        let end = self.at + size as usize;
        self.room(end)?;
        Ok(Some(end))
    }

    /// The data of the next block, and whether it is stored. `None` at the end of the frame.
    fn block(&mut self, header: &Header) -> Result<Option<(&'a [u8], bool)>, Error> {
        let word = self.word("a block")?;
        if word == 0 {
            return Ok(None);
        }
        let size = (word & !header::STORED) as usize;
        if size > header.block_size {
            return Err(Error::Corrupt(
                "a block is longer than the frame's block size",
            ));
        }
        let (data, rest) = self
            .input
            .split_at_checked(size)
            .ok_or(Error::Truncated("a block"))?;
        self.input = rest;
        if header.block_checksums && self.word("a checksum")? != header::checksum(data) {
            return Err(Error::Corrupt("the checksum of a block differs"));
        }
        Ok(Some((data, word & header::STORED != 0)))
    }

    fn copy(&mut self, data: &[u8], end: Option<usize>) -> Result<(), Error> {
        let to = self.at + data.len();
        if to > end.unwrap_or(self.max) {
            return Err(self.overrun(end));
        }
        self.room(to)?;
        self.out.bytes()[self.at..to].copy_from_slice(data);
        self.at = to;
        Ok(())
    }

    fn decode(
        &mut self,
        data: &[u8],
        base: usize,
        block_size: usize,
        end: Option<usize>,
    ) -> Result<(), Error> {
        let widest = block_size.min(data.len().saturating_mul(MAX_RATIO as usize));
        let to = self.at.saturating_add(widest).min(end.unwrap_or(self.max));
        self.room(to)?;
        let window = &mut self.out.bytes()[base..to];
        match decode_block(data, window, self.at - base) {
            Ok(size) => {
                self.at += size;
                Ok(())
            }
            Err(Fault::Full) if to - self.at < widest => Err(self.overrun(end)),
            Err(Fault::Full) => Err(Error::Corrupt(
                "a block holds more than the frame's block size",
            )),
            Err(Fault::Malformed) => Err(Error::Corrupt("a block is malformed")),
        }
    }

    /// Makes room up to `to`, and for what is likely to follow: twice what there is, as long as the
    /// limit and the rest of the input allow for it.
    fn room(&mut self, to: usize) -> Result<(), Error> {
        if to <= self.size {
            return Ok(());
        }
        let possible = self.input.len().saturating_mul(MAX_RATIO as usize);
        let likely = (2 * self.size)
            .min(self.max)
            .min(self.at.saturating_add(possible));
        let size = to.max(likely);
        resize(self.out, size)?;
        self.size = size;
        Ok(())
    }

    fn word(&mut self, what: &'static str) -> Result<u32, Error> {
        let (word, rest) = self
            .input
            .split_first_chunk()
            .ok_or(Error::Truncated(what))?;
        self.input = rest;
        Ok(u32::from_le_bytes(*word))
    }

    fn overrun(&self, end: Option<usize>) -> Error {
        match end {
            Some(_) => Error::Corrupt("the frame is longer than its content size"),
            None => self.too_large(None),
        }
    }

    fn too_large(&self, size: Option<u64>) -> Error {
        Error::TooLarge {
            size,
            max: self.max as u64,
        }
    }
}
