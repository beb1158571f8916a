//! The descriptor that a frame starts with.
use std::ops::RangeInclusive;

use twox_hash::XxHash32;

use super::Error;

/// The first four bytes of a frame, little-endian.
pub const MAGIC: u32 = 0x184D_2204;
/// Those of a frame that holds something else and is passed over.
pub const SKIPPABLE: RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;
const LEGACY_MAGIC: u32 = 0x184C_2102;

const VERSION: u8 = 0b0100_0000;
const VERSION_MASK: u8 = 0b1100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;

/// Bytes of the header that this library writes: magic, two bytes, content size, checksum.
pub const WRITTEN: usize = 15;
/// In a block's size: the block is stored as it is.
pub const STORED: u32 = 0x8000_0000;

/// The hash that all of LZ4's checksums use.
pub fn checksum(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

/// What the descriptor says.
#[derive(Debug)]
pub struct Header {
    pub independent: bool,
    pub block_checksums: bool,
    pub content_checksum: bool,
    pub content_size: Option<u64>,
    pub block_size: usize,
}

/// What stands at the start of the input.
pub enum Start<'a> {
    Frame(Header, &'a [u8]),
    /// A skippable frame has been passed over.
    Skipped(&'a [u8]),
}

/// Reads what the input starts with, and returns it with the rest.
pub fn read(input: &[u8]) -> Result<Start<'_>, Error> {
    let Some((magic, rest)) = input.split_first_chunk() else {
        return Err(short_magic(input));
    };
    match u32::from_le_bytes(*magic) {
        MAGIC => descriptor(rest).map(|(header, rest)| Start::Frame(header, rest)),
        LEGACY_MAGIC => Err(Error::Unsupported("frames in LZ4's legacy format")),
        magic if SKIPPABLE.contains(&magic) => skip(rest).map(Start::Skipped),
        _ => Err(Error::NotLz4),
    }
}

/// Fewer than four bytes may still be the start of a frame.
fn short_magic(input: &[u8]) -> Error {
    if !input.is_empty() && MAGIC.to_le_bytes().starts_with(input) {
        Error::Truncated("the frame's header")
    } else {
        Error::NotLz4
    }
}

fn skip(input: &[u8]) -> Result<&[u8], Error> {
    let short = Error::Truncated("a skippable frame");
    let (size, rest) = input.split_first_chunk().ok_or(short.clone())?;
    rest.get(u32::from_le_bytes(*size) as usize..).ok_or(short)
}

fn descriptor(input: &[u8]) -> Result<(Header, &[u8]), Error> {
    let short = || Error::Truncated("the frame's header");
    let &[flags, sizes] = input.first_chunk().ok_or_else(short)?;
    check_flags(flags, sizes)?;
    let length = 2 + if flags & CONTENT_SIZE == 0 { 0 } else { 8 };
    let (fields, rest) = input.split_at_checked(length).ok_or_else(short)?;
    let (&check, rest) = rest.split_first().ok_or_else(short)?;
    if check != (checksum(fields) >> 8) as u8 {
        return Err(Error::Corrupt("the checksum of the frame's header differs"));
    }
    let header = Header {
        independent: flags & INDEPENDENT != 0,
        block_checksums: flags & BLOCK_CHECKSUMS != 0,
        content_checksum: flags & CONTENT_CHECKSUM != 0,
        content_size: fields[2..]
            .first_chunk()
            .map(|size| u64::from_le_bytes(*size)),
        block_size: 1 << (8 + 2 * usize::from(sizes >> 4)),
    };
    Ok((header, rest))
}

fn check_flags(flags: u8, sizes: u8) -> Result<(), Error> {
    if flags & VERSION_MASK != VERSION || flags & RESERVED != 0 {
        return Err(Error::Unsupported("frames of another version"));
    }
    if flags & DICTIONARY != 0 {
        return Err(Error::Unsupported("frames that need a dictionary"));
    }
    // 64 KiB, 256 KiB, 1 MiB and 4 MiB are 4 to 7; the other bits are reserved.
    if sizes & 0b1000_1111 != 0 || sizes >> 4 < 4 {
        return Err(Error::Corrupt("the frame's block size is none of LZ4's"));
    }
    Ok(())
}

/// The header of a frame of independent blocks.
pub fn write(content_size: u64, block_code: u8, block_checksums: bool) -> [u8; WRITTEN] {
    let mut bytes = [0; WRITTEN];
    bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4] = VERSION | INDEPENDENT | CONTENT_SIZE;
    if block_checksums {
        bytes[4] |= BLOCK_CHECKSUMS;
    }
    bytes[5] = block_code << 4;
    bytes[6..14].copy_from_slice(&content_size.to_le_bytes());
    bytes[14] = (checksum(&bytes[4..14]) >> 8) as u8;
    bytes
}
