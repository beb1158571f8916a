//! A single LZ4 block behind its size, a little-endian 32-bit number, as `lz4_flex`'s
//! `compress_prepend_size` and Python's `lz4.block` write it.
use lz4_flex::block;

use super::{Buffer, Error, Fault, MAX_RATIO, decode_block, resize, tables};

/// The most bytes that LZ4 compresses into one block (`LZ4_MAX_INPUT_SIZE`).
pub const MAX_INPUT: usize = 0x7E00_0000;
const PREFIX: usize = 4;

/// Writes `input` into `out`, which afterwards holds that and nothing else. There is no way to
/// store data: what does not compress becomes longer by up to 0.4 per cent and 20 bytes.
pub fn compress(input: &[u8], out: &mut impl Buffer) -> Result<(), Error> {
    if input.len() > MAX_INPUT {
        return Err(Error::InputTooLarge {
            size: input.len() as u64,
            max: MAX_INPUT as u64,
        });
    }
    let bound = PREFIX + block::get_maximum_output_size(input.len());
    resize(out, bound)?;
    let _tables = tables(input.len());
    let bytes = out.bytes();
    bytes[..PREFIX].copy_from_slice(&(input.len() as u32).to_le_bytes());
    let size =
        block::compress_into(input, &mut bytes[PREFIX..]).map_err(|_| Error::OutOfMemory {
            bytes: bound as u64,
        })?;
    resize(out, PREFIX + size)
}

/// Reads one block into `out`, which afterwards holds its content and nothing else.
pub fn decompress(input: &[u8], out: &mut impl Buffer, max: u64) -> Result<(), Error> {
    let (prefix, rest) = input
        .split_first_chunk()
        .ok_or(Error::Truncated("the size"))?;
    let size = u32::from_le_bytes(*prefix) as usize;
    if size as u64 > max {
        return Err(Error::TooLarge {
            size: Some(size as u64),
            max,
        });
    }
    if size as u64 > rest.len() as u64 * MAX_RATIO {
        return Err(Error::Corrupt(
            "the size is more than LZ4 can make of the data",
        ));
    }
    resize(out, size)?;
    match decode_block(rest, out.bytes(), 0) {
        Ok(written) if written == size => Ok(()),
        Ok(_) => Err(Error::Corrupt("the block is shorter than its size")),
        Err(Fault::Full) => Err(Error::Corrupt("the block is longer than its size")),
        Err(Fault::Malformed) => Err(Error::Corrupt("the block is malformed")),
    }
}
