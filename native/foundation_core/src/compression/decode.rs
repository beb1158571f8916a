//! LZ4 blocks, decoded.
//!
//! Of C's liblz4's speed on JSON and terms, `lz4_flex` reaches 0.80 with its unsafe decoder and
//! 0.75 with its safe one; this one 0.92 (`cargo bench --bench compression`). Written without
//! `unsafe` it reached 0.87, and 0.80 on data that the processor has learnt: the rest are
//! comparisons that the compiler cannot see to be needless. So [`hasty`] leaves those out, and no
//! others: every length and offset that the input gives is compared with both ends before it is
//! used, and with debug assertions, as in the tests, so is every single access.
//!
//! What else makes the difference: where the output has [`ROOM`] bytes left, copies have a constant
//! size and write past their end; the next copy overwrites that. Matches of up to 18 bytes are
//! copied as 8 + 8 + 2, because reads of 16 bytes that span two recent writes of 8 wait until both
//! are in the cache.

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The block is not one that LZ4 writes: cut short, or a match that starts before the output.
    Malformed,
    /// The block decodes to more bytes than there is room for.
    Full,
}

const MIN_MATCH: usize = 4;
/// Bytes of input that a token, the literals that it can announce and an offset take, rounded up.
const HEAD: usize = 32;
/// Bytes of output that a sequence with a short match can reach: 14 literals and what
/// constant copies write behind them, rounded up.
const ROOM: usize = 64;
/// Bytes that a step of a long copy reads and writes.
const STEP: usize = 32;

/// Decodes `input` into `out[start..]` and returns the number of bytes written. Matches may reach
/// back before `start`, so `out[..start]` holds what blocks before this one may be referred to as.
#[inline(never)]
pub fn decode(input: &[u8], out: &mut [u8], start: usize) -> Result<usize, Fault> {
    if start > out.len() {
        return Err(Fault::Full);
    }
    let (rest, at) = hasty(input, out, start)?;
    let end = careful(rest, out, at)?;
    Ok(end - start)
}

/// Decodes while neither end is near. Returns what is left of the input, at the start of a
/// sequence, and the position in the output.
#[inline(always)]
fn hasty<'a>(input: &'a [u8], out: &mut [u8], mut at: usize) -> Result<(&'a [u8], usize), Fault> {
    let (Some(last_head), Some(last_room)) =
        (input.len().checked_sub(HEAD), out.len().checked_sub(ROOM))
    else {
        return Ok((input, at));
    };
    let mut next = 0;
    while next <= last_head && at <= last_room {
        let sequence = next;
        // SAFETY: HEAD bytes follow `next`.
        let [token] = unsafe { load(input, next) };
        next += 1;
        let mut literals = usize::from(token >> 4);
        if literals < 15 {
            // SAFETY: HEAD - 1 bytes follow `next`, ROOM bytes follow `at`.
            unsafe { store::<16>(out, at, load(input, next)) };
        } else {
            literals += extra_length(input, &mut next)?;
            if literals + HEAD > input.len() - next || literals + ROOM > out.len() - at {
                // Leaving the loop here, not the function, saves 5 per cent.
                next = sequence;
                break;
            }
            // SAFETY: STEP bytes and more follow the literals on either side.
            unsafe { long_literals(input, next, out, at, literals) };
        }
        next += literals;
        at += literals;
        // SAFETY: at least 17 bytes followed what was read of this sequence, or HEAD the long
        // literals.
        let offset = usize::from(u16::from_le_bytes(unsafe { load(input, next) }));
        next += 2;
        if offset == 0 || offset > at {
            return Err(Fault::Malformed);
        }
        let code = usize::from(token & 15);
        if code < 15 {
            if offset >= 8 {
                // SAFETY: of ROOM bytes at most 14 are used up, so 18 follow `at`; and `8 <= offset
                // <= at`.
                unsafe { short_match(out, at - offset, at) };
            } else {
                overlapping(out, at, offset, MIN_MATCH + code)?;
            }
            at += MIN_MATCH + code;
            continue;
        }
        let length = MIN_MATCH + 15 + extra_length(input, &mut next)?;
        if offset >= 16 && length + STEP <= out.len() - at {
            // SAFETY: `length` and a STEP follow `at`, and `16 <= offset <= at`.
            unsafe { long_match(out, at - offset, at, length) };
        } else {
            overlapping(out, at, offset, length)?;
        }
        at += length;
    }
    Ok((&input[next..], at))
}

/// Copies literals, and up to a [`STEP`] more.
///
/// # Safety
///
/// `from + length + STEP <= input.len()` and `to + length + STEP <= out.len()`.
#[inline(always)]
unsafe fn long_literals(input: &[u8], from: usize, out: &mut [u8], to: usize, length: usize) {
    let mut done = 0;
    while done < length {
        // SAFETY: `done < length`, so the last byte is before `length + STEP`.
        unsafe {
            store::<16>(out, to + done, load(input, from + done));
            store::<16>(out, to + done + 16, load(input, from + done + 16));
        }
        done += STEP;
    }
}

/// Copies a match of up to 18 bytes, the longest whose length fits into a token.
///
/// # Safety
///
/// `from + 8 <= to` and `to + 18 <= out.len()`.
#[inline(always)]
unsafe fn short_match(out: &mut [u8], from: usize, to: usize) {
    // SAFETY: the last byte is at `to + 17`.
    unsafe {
        copy::<8>(out, from, to);
        copy::<8>(out, from + 8, to + 8);
        copy::<2>(out, from + 16, to + 16);
    }
}

/// Copies a match of any length, and up to a [`STEP`] more.
///
/// # Safety
///
/// `from + 16 <= to` and `to + length + STEP <= out.len()`.
#[inline(always)]
unsafe fn long_match(out: &mut [u8], mut from: usize, mut to: usize, length: usize) {
    let end = to + length;
    loop {
        // SAFETY: `to < end` here, so the last byte is before `end + STEP`.
        unsafe {
            copy::<16>(out, from, to);
            copy::<16>(out, from + 16, to + 16);
        }
        from += STEP;
        to += STEP;
        if to >= end {
            return;
        }
    }
}

/// Reads `N` bytes.
///
/// # Safety
///
/// `from + N <= bytes.len()`.
#[inline(always)]
unsafe fn load<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    debug_assert!(from + N <= bytes.len());
    // SAFETY: the caller's promise; an array of bytes has no alignment.
    unsafe { bytes.as_ptr().add(from).cast::<[u8; N]>().read() }
}

/// Copies `N` bytes inside `bytes`.
///
/// # Safety
///
/// `from + N` and `to + N` are at most `bytes.len()`.
#[inline(always)]
unsafe fn copy<const N: usize>(bytes: &mut [u8], from: usize, to: usize) {
    // SAFETY: the caller's promise.
    unsafe { store::<N>(bytes, to, load(bytes, from)) };
}

/// Writes `N` bytes.
///
/// # Safety
///
/// `to + N <= bytes.len()`.
#[inline(always)]
unsafe fn store<const N: usize>(bytes: &mut [u8], to: usize, value: [u8; N]) {
    debug_assert!(to + N <= bytes.len());
    // SAFETY: the caller's promise; an array of bytes has no alignment.
    unsafe { bytes.as_mut_ptr().add(to).cast::<[u8; N]>().write(value) };
}

/// Copies a match exactly, also one that overlaps itself: what has been copied is copied again, in
/// pieces of twice the size.
#[inline(never)]
fn overlapping(out: &mut [u8], at: usize, offset: usize, length: usize) -> Result<(), Fault> {
    let region = out
        .get_mut(at - offset..)
        .and_then(|bytes| bytes.get_mut(..offset + length))
        .ok_or(Fault::Full)?;
    if offset == 1 {
        let byte = region[0];
        region[1..].fill(byte);
        return Ok(());
    }
    let mut done = offset;
    while done < region.len() {
        let (have, want) = region.split_at_mut(done);
        let size = done.min(want.len());
        want[..size].copy_from_slice(&have[..size]);
        done += size;
    }
    Ok(())
}

/// Decodes to the end of the input, checking each step by itself.
fn careful(input: &[u8], out: &mut [u8], mut at: usize) -> Result<usize, Fault> {
    let mut next = 0;
    loop {
        let token = *input.get(next).ok_or(Fault::Malformed)?;
        next += 1;
        let mut literals = usize::from(token >> 4);
        if literals == 15 {
            literals += extra_length(input, &mut next)?;
        }
        let from = input[next..].get(..literals).ok_or(Fault::Malformed)?;
        let to = out[at..].get_mut(..literals).ok_or(Fault::Full)?;
        to.copy_from_slice(from);
        next += literals;
        at += literals;
        // A block ends with literals.
        if next == input.len() {
            return Ok(at);
        }
        let offset = input[next..].first_chunk().ok_or(Fault::Malformed)?;
        let offset = usize::from(u16::from_le_bytes(*offset));
        next += 2;
        let mut length = MIN_MATCH + usize::from(token & 15);
        if length == MIN_MATCH + 15 {
            length += extra_length(input, &mut next)?;
        }
        if offset == 0 || offset > at {
            return Err(Fault::Malformed);
        }
        overlapping(out, at, offset, length)?;
        at += length;
    }
}

/// The rest of a length whose four bits in the token are full: bytes that are added up until one is
/// not 255. Most lengths end at the first.
#[inline(always)]
fn extra_length(input: &[u8], next: &mut usize) -> Result<usize, Fault> {
    let mut length = 0;
    loop {
        if *next >= input.len() {
            return Err(Fault::Malformed);
        }
        let byte = input[*next];
        *next += 1;
        length += usize::from(byte);
        if byte != 255 {
            return Ok(length);
        }
    }
}
