//! Where work leaves the normal schedulers, in one table.
//!
//! A normal scheduler is held for at most about 100 microseconds; a hop to a dirty one costs 4 to
//! 10. A cut-off is the largest input whose work takes clearly less than the former.
//! The `*_PER_PERCENT` entries are what is done in 10 microseconds, one per cent of the VM's time
//! slice, so that a NIF can report the time it took without reading a clock.

/// Bytes that are compressed on a normal scheduler (0.6 GB/s: 27 microseconds).
pub const COMPRESS_BYTES: usize = 16 * 1024;
/// Bytes compressed in 10 microseconds.
pub const COMPRESS_PER_PERCENT: usize = 6_000;

/// What it takes to see that a large input does not compress, on a normal scheduler (up to 60
/// microseconds).
pub const PROBE_PERCENT: i32 = 5;

/// Compressed bytes that are decompressed on a normal scheduler (120 microseconds at worst, where
/// every sequence is as short as it can be).
pub const DECOMPRESS_BYTES: usize = 96 * 1024;
/// Bytes that they may become (3.4 GB/s: 75 microseconds).
pub const DECOMPRESSED_BYTES: usize = 256 * 1024;
/// Bytes decompressed in 10 microseconds.
pub const DECOMPRESS_PER_PERCENT: usize = 30_000;

/// Bytes of external term format that are written and compressed on a normal scheduler.
pub const ENCODE_TERM_BYTES: usize = 8 * 1024;
/// Bytes of external term format written and compressed in 10 microseconds.
pub const ENCODE_TERM_PER_PERCENT: usize = 2_000;

/// What a kernel may take on a normal scheduler, in per cent of a time slice: 100 microseconds.
pub const KERNEL_PERCENT: usize = 10;
/// Picoseconds that an element of a list takes to decode.
pub const DECODE_ELEMENT: u64 = 4_000;
/// Picoseconds that an element of a list takes to be made.
pub const ENCODE_ELEMENT: u64 = 12_500;

/// The per cent of a time slice that `bytes` take, for `enif_consume_timeslice` (1 to 100).
pub fn percent(bytes: usize, per_percent: usize) -> i32 {
    (bytes / per_percent).clamp(1, 100) as i32
}
