//! LZ4: frames that the `lz4` tool reads and writes, and single blocks behind their size.
//!
//! `lz4_flex` compresses; decoding and the framing are here, by measurement. Its frame reader
//! decodes into a buffer of its own and copies, 0.8 of the speed of decoding into the result; its
//! frame writer copies each block into a buffer of its own and out of another; neither can write
//! into the VM's memory. Why its block decoder is not used is said in `decode`.
//!
//! Nothing that the input says is believed before it is checked: a size that is over the caller's
//! limit, or over 255 times what is left of the input (LZ4's highest ratio), is refused before
//! anything is allocated. Where a frame does not say its size, the output grows as blocks arrive,
//! within the same bounds.

#[allow(unsafe_code)] // measured: see there
mod decode;
mod external;
mod frame;
mod header;
mod prefixed;
mod probe;
mod reader;

use crate::memory::{Charge, Owner};

pub use decode::{Fault, decode as decode_block};
pub use external::check as check_external;
pub use frame::{Frame, Stored, compress as compress_frame, stored as stored_frame};
pub use prefixed::{
    MAX_INPUT as MAX_BLOCK_INPUT, compress as compress_block, decompress as decompress_block,
};
pub use reader::decompress as decompress_frame;

/// The first bytes of a frame.
pub const FRAME_MAGIC: [u8; 4] = header::MAGIC.to_le_bytes();

/// LZ4 cannot make more than 255 bytes of one.
const MAX_RATIO: u64 = 255;

/// Bytes of input and output between two looks at whether anyone still wants the result.
const SLICE: usize = 256 * 1024;

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else than LZ4.
    #[error("the data does not start with an LZ4 frame")]
    NotLz4,
    /// The data ends too early.
    #[error("the data ends in the middle of {0}")]
    Truncated(&'static str),
    /// The data contradicts itself.
    #[error("the data is corrupt: {0}")]
    Corrupt(&'static str),
    /// The result would be over the caller's limit. The size is known where the data says it.
    #[error("the result exceeds the limit of {max} bytes")]
    TooLarge {
        /// What the data says its size is.
        size: Option<u64>,
        /// The limit.
        max: u64,
    },
    /// The input is longer than the format can hold.
    #[error("{size} bytes are more than one LZ4 block can hold ({max} bytes)")]
    InputTooLarge {
        /// Bytes given.
        size: u64,
        /// Bytes that fit.
        max: u64,
    },
    /// LZ4, but of a kind that is not read.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
    /// The content is no term in the external format, or `safe` forbids it.
    #[error("the content is not a term, or not one that is allowed")]
    NotATerm,
    /// The allocator refused.
    #[error("there is no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The VM could not write a term's external format; how large it would be is not known.
    #[error("there is no memory for the term's external format")]
    NoMemoryForTerm,
    /// Nobody waits for the result any more.
    #[error("the caller is gone")]
    Cancelled,
}

impl Error {
    /// The name of the kind of fault.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::NotLz4 => "not_lz4",
            Error::Truncated(_) => "truncated",
            Error::Corrupt(_) => "corrupt",
            Error::TooLarge { .. } | Error::InputTooLarge { .. } => "too_large",
            Error::Unsupported(_) => "unsupported",
            Error::NotATerm => "not_a_term",
            Error::OutOfMemory { .. } | Error::NoMemoryForTerm => "out_of_memory",
            Error::Cancelled => "cancelled",
        }
    }

    /// The size and the limit behind it, where there are any.
    pub fn sizes(&self) -> (Option<u64>, Option<u64>) {
        match *self {
            Error::TooLarge { size, max } => (size, Some(max)),
            Error::InputTooLarge { size, max } => (Some(size), Some(max)),
            Error::OutOfMemory { bytes } => (Some(bytes), None),
            _ => (None, None),
        }
    }
}

/// Where results are written: a `Vec`, or memory of the VM's that becomes a binary as it is.
pub trait Buffer {
    /// All of it.
    fn bytes(&mut self) -> &mut [u8];
    /// Makes it `len` bytes long and keeps what fits. What is new may hold anything. False where
    /// there is no memory.
    fn resize(&mut self, len: usize) -> bool;
}

impl Buffer for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }

    fn resize(&mut self, len: usize) -> bool {
        let more = len.saturating_sub(self.len());
        if self.try_reserve_exact(more).is_err() {
            return false;
        }
        Vec::resize(self, len, 0);
        true
    }
}

/// What `lz4_flex` allocates to compress blocks of so many bytes: 4,096 positions.
pub(crate) fn tables(block: usize) -> Charge {
    let position = if block < 0xFFFF { 2 } else { 4 };
    Charge::new(Owner::Codecs, 4096 * position)
}

fn resize(out: &mut impl Buffer, len: usize) -> Result<(), Error> {
    if out.resize(len) {
        Ok(())
    } else {
        Err(Error::OutOfMemory { bytes: len as u64 })
    }
}

/// Which frames carry a checksum for each block (over what is stored, so that it costs little where
/// the data compresses well).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// All but those whose content is stored as it is, where hashing would cost more than copying.
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// Looks now and then whether the result is still wanted.
struct Watch<'a> {
    wanted: &'a mut dyn FnMut() -> bool,
    done: usize,
}

impl<'a> Watch<'a> {
    fn new(wanted: &'a mut dyn FnMut() -> bool) -> Self {
        Watch { wanted, done: 0 }
    }

    /// To be told of every step; asks once in [`SLICE`] bytes.
    fn step(&mut self, bytes: usize) -> Result<(), Error> {
        self.done += bytes;
        if self.done < SLICE {
            return Ok(());
        }
        self.done = 0;
        if (self.wanted)() {
            Ok(())
        } else {
            Err(Error::Cancelled)
        }
    }
}
