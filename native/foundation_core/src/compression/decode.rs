//! LZ4 blocks, decoded, in safe Rust.
//!
//! `lz4_flex` decodes at 0.8 of the speed of C's liblz4 with its unsafe decoder and 0.75 with its safe
//! one; this one at 0.91 (`cargo bench --bench compression`), and bounds checks stay on. What makes it so:
//!
//! - Where the output has [`ROOM`] bytes left, copies have a constant size and write past their
//!   end; the next copy overwrites that. One check covers each copy, so it costs one comparison.
//! - Positions in the output are `u32`, so that `position + constant` cannot overflow and the
//!   compiler leaves one comparison of the two that a slice takes.
//! - Matches of up to 18 bytes are copied as 8 + 8 + 2: reads of 16 bytes that span two recent
//!   writes of 8 wait until both are in the cache.

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The block is not one that LZ4 writes: cut short, or a match that starts before the output.
    Malformed,
    /// The block decodes to more bytes than there is room for.
    Full,
}

const MIN_MATCH: usize = 4;
/// The longest match whose length fits into a token.
const SHORT_MATCH: usize = MIN_MATCH + 14;
/// Bytes of input that a token, the literals that it can announce and an offset take, rounded up.
const HEAD: usize = 32;
/// Bytes of output that the constant copies of one sequence can reach.
const ROOM: usize = 64;

/// Decodes `input` into `out[start..]` and returns the number of bytes written. Matches may reach
/// back before `start`, so `out[..start]` holds what blocks before this one may be referred to as.
#[inline(never)]
pub fn decode(input: &[u8], out: &mut [u8], start: usize) -> Result<usize, Fault> {
    if start > out.len() || u32::try_from(out.len()).is_err() {
        return Err(Fault::Full);
    }
    let (rest, at) = hasty(input, out, start as u32)?;
    let end = careful(rest, out, at as usize)?;
    Ok(end - start)
}

/// Decodes while neither end is near. Returns what is left of the input, at the start of a
/// sequence, and the position in the output.
#[inline(always)]
fn hasty<'a>(mut input: &'a [u8], out: &mut [u8], mut at: u32) -> Result<(&'a [u8], u32), Fault> {
    while let Some(head) = input.first_chunk::<HEAD>() {
        let from = at as usize;
        let Some(room) = out.get_mut(from..from + ROOM) else {
            break;
        };
        let token = head[0];
        let literals = usize::from(token >> 4);
        let offset;
        if literals < 15 {
            room[..16].copy_from_slice(&head[1..17]);
            offset = u32::from(u16::from_le_bytes([head[1 + literals], head[2 + literals]]));
            input = &input[3 + literals..];
            at += literals as u32;
        } else {
            let Some((rest, many)) = long_literals(&input[1..], &mut out[from..])? else {
                break;
            };
            let word;
            (word, input) = split_offset(rest)?;
            offset = u32::from(word);
            at += many as u32;
        }
        if offset == 0 || offset > at {
            return Err(Fault::Malformed);
        }
        let from = at - offset;
        let code = usize::from(token & 15);
        if code < 15 {
            let length = MIN_MATCH + code;
            short_match(out, at, from, offset, length)?;
            at += length as u32;
            continue;
        }
        let length = MIN_MATCH + 15 + extra_length(&mut input)?;
        long_match(out, at, from, offset, length)?;
        at += length as u32;
    }
    Ok((input, at))
}

/// Copies 15 literals or more, and returns what follows them. `None` where either end is too near
/// for copies of 32 bytes.
#[inline(always)]
fn long_literals<'a>(
    mut input: &'a [u8],
    out: &mut [u8],
) -> Result<Option<(&'a [u8], usize)>, Fault> {
    let length = 15 + extra_length(&mut input)?;
    if input.len() < length + HEAD + 2 || out.len() < length + HEAD + ROOM {
        return Ok(None);
    }
    let whole = length.next_multiple_of(HEAD);
    let chunks = input[..whole].chunks_exact(HEAD);
    for (to, from) in out[..whole].chunks_exact_mut(HEAD).zip(chunks) {
        to.copy_from_slice(from);
    }
    Ok(Some((&input[length..], length)))
}

/// Copies a match of at most [`SHORT_MATCH`] bytes to `at`.
#[inline(always)]
fn short_match(
    out: &mut [u8],
    at: u32,
    from: u32,
    offset: u32,
    length: usize,
) -> Result<(), Fault> {
    let (from, offset) = (from as usize, offset as usize);
    if offset >= SHORT_MATCH {
        let region = out
            .get_mut(from..from + offset + SHORT_MATCH)
            .ok_or(Fault::Full)?;
        let (source, target) = region.split_at_mut(offset);
        let source = source.first_chunk::<SHORT_MATCH>().ok_or(Fault::Full)?;
        let target = target.first_chunk_mut::<SHORT_MATCH>().ok_or(Fault::Full)?;
        target[..8].copy_from_slice(&source[..8]);
        target[8..16].copy_from_slice(&source[8..16]);
        target[16..].copy_from_slice(&source[16..]);
        return Ok(());
    }
    if offset >= 8 {
        let region = out
            .get_mut(from..from + offset + SHORT_MATCH)
            .ok_or(Fault::Full)?;
        // The second and third read see what the first wrote: the match repeats itself.
        let bytes: [u8; 8] = *region.first_chunk().ok_or(Fault::Full)?;
        *region[offset..].first_chunk_mut().ok_or(Fault::Full)? = bytes;
        let bytes: [u8; 8] = *region[8..].first_chunk().ok_or(Fault::Full)?;
        *region[offset + 8..].first_chunk_mut().ok_or(Fault::Full)? = bytes;
        let bytes: [u8; 2] = *region[16..].first_chunk().ok_or(Fault::Full)?;
        *region[offset + 16..].first_chunk_mut().ok_or(Fault::Full)? = bytes;
        return Ok(());
    }
    overlapping(out, at as usize, offset, length)
}

/// Copies sixteen bytes inside `region`. As an integer: an `Option` of an array of 16 would travel through
/// the stack in pieces.
#[inline(always)]
fn copy_16(region: &mut [u8], from: usize, to: usize) -> Option<()> {
    let bytes = u128::from_ne_bytes(*region.get(from..)?.first_chunk()?);
    *region.get_mut(to..)?.first_chunk_mut()? = bytes.to_ne_bytes();
    Some(())
}

/// Copies a match of any length to `at`.
#[inline(always)]
fn long_match(out: &mut [u8], at: u32, from: u32, offset: u32, length: usize) -> Result<(), Fault> {
    let (at, from, offset) = (at as usize, from as usize, offset as usize);
    if offset < 16 || length + 32 > out.len() - at {
        return overlapping(out, at, offset, length);
    }
    let mut from = from;
    let end = from + length;
    loop {
        let region = out.get_mut(from..from + offset + 32).ok_or(Fault::Full)?;
        copy_16(region, 0, offset).ok_or(Fault::Full)?;
        copy_16(region, 16, offset + 16).ok_or(Fault::Full)?;
        from += 32;
        if from >= end {
            return Ok(());
        }
    }
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
fn careful(mut input: &[u8], out: &mut [u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        let (&token, rest) = input.split_first().ok_or(Fault::Malformed)?;
        input = rest;
        let mut literals = usize::from(token >> 4);
        if literals == 15 {
            literals += extra_length(&mut input)?;
        }
        let (from, rest) = input.split_at_checked(literals).ok_or(Fault::Malformed)?;
        let to = out[at..].get_mut(..literals).ok_or(Fault::Full)?;
        to.copy_from_slice(from);
        at += literals;
        // A block ends with literals.
        if rest.is_empty() {
            return Ok(at);
        }
        let offset;
        (offset, input) = split_offset(rest)?;
        let offset = usize::from(offset);
        let mut length = MIN_MATCH + usize::from(token & 15);
        if length == MIN_MATCH + 15 {
            length += extra_length(&mut input)?;
        }
        if offset == 0 || offset > at {
            return Err(Fault::Malformed);
        }
        overlapping(out, at, offset, length)?;
        at += length;
    }
}

#[inline(always)]
fn split_offset(input: &[u8]) -> Result<(u16, &[u8]), Fault> {
    let (offset, rest) = input.split_first_chunk().ok_or(Fault::Malformed)?;
    Ok((u16::from_le_bytes(*offset), rest))
}

/// The rest of a length whose four bits in the token are full: bytes that are added up until one is
/// not 255. Most lengths end at the first.
#[inline(always)]
fn extra_length(input: &mut &[u8]) -> Result<usize, Fault> {
    let (&first, rest) = input.split_first().ok_or(Fault::Malformed)?;
    *input = rest;
    if first != 255 {
        return Ok(usize::from(first));
    }
    let mut length = 255;
    loop {
        let (&byte, rest) = input.split_first().ok_or(Fault::Malformed)?;
        *input = rest;
        length += usize::from(byte);
        if byte != 255 {
            return Ok(length);
        }
    }
}
