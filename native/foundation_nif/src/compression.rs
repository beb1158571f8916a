//! `Foundation.BEAM.Compression`: each NIF twice, for a normal and for a dirty scheduler.
//!
//! The first answers `:dirty` where the work is too long for a normal scheduler, so that the
//! cut-offs stand in one table (`foundation_core::cutoffs`) and nowhere in Elixir.
use std::mem::MaybeUninit;

use foundation_core::compression::{self as core, Checksum, Error, Stored};
use foundation_core::cutoffs::{self, percent};
use rustler::schedule::consume_timeslice;
use rustler::types::atom::Atom;
use rustler::{Binary, Encoder, Env, NewBinary, NifUnitEnum, OwnedBinary, Term, sys};

use crate::buffer::VmBuffer;

mod atoms {
    rustler::atoms! { ok, error, dirty, store, size, max_size }
}

#[derive(NifUnitEnum, Clone, Copy)]
enum Format {
    Frame,
    Block,
}

#[derive(NifUnitEnum, Clone, Copy)]
enum Sums {
    Auto,
    Always,
    Never,
}

/// What a packed term becomes: LZ4 in any case, or only where it pays.
#[derive(NifUnitEnum, Clone, Copy)]
enum Packing {
    Frame,
    Block,
    Adaptive,
}

#[rustler::nif(name = "compression_compress")]
fn compress<'a>(env: Env<'a>, input: Binary<'a>, format: Format, sums: Sums) -> Term<'a> {
    if input.len() > cutoffs::COMPRESS_BYTES {
        return large(env, input, format, sums);
    }
    consume_timeslice(env, percent(input.len(), cutoffs::COMPRESS_PER_PERCENT));
    result(env, write(&input, format, sums, &mut || true))
}

#[rustler::nif(name = "compression_compress_dirty", schedule = "DirtyCpu")]
fn compress_dirty<'a>(env: Env<'a>, input: Binary<'a>, format: Format, sums: Sums) -> Term<'a> {
    result(env, write(&input, format, sums, &mut || alive(env)))
}

#[rustler::nif(name = "compression_decompress")]
fn decompress<'a>(env: Env<'a>, input: Binary<'a>, format: Format, max: u64) -> Term<'a> {
    match read_small(env, &input, format, max) {
        Some(read) => result(env, read),
        None => atoms::dirty().encode(env),
    }
}

#[rustler::nif(name = "compression_decompress_dirty", schedule = "DirtyCpu")]
fn decompress_dirty<'a>(env: Env<'a>, input: Binary<'a>, format: Format, max: u64) -> Term<'a> {
    result(env, read(&input, format, max, &mut || alive(env)))
}

/// `size` is what the caller knows of the size of the term's external format.
#[rustler::nif(name = "compression_encode")]
fn encode_term<'a>(
    env: Env<'a>,
    term: Term<'a>,
    packing: Packing,
    sums: Sums,
    size: u64,
) -> Term<'a> {
    if size > cutoffs::ENCODE_TERM_BYTES as u64 {
        return atoms::dirty().encode(env);
    }
    let packed = external(term).and_then(|plain| {
        consume_timeslice(env, percent(plain.len(), cutoffs::ENCODE_TERM_PER_PERCENT));
        pack(plain, packing, sums, &mut || true)
    });
    result(env, packed)
}

#[rustler::nif(name = "compression_encode_dirty", schedule = "DirtyCpu")]
fn encode_term_dirty<'a>(env: Env<'a>, term: Term<'a>, packing: Packing, sums: Sums) -> Term<'a> {
    let packed = external(term).and_then(|plain| pack(plain, packing, sums, &mut || alive(env)));
    result(env, packed)
}

#[rustler::nif(name = "compression_check_external")]
fn check_external<'a>(env: Env<'a>, input: Binary<'a>, max: u64) -> Term<'a> {
    match core::check_external(&input, max) {
        Ok(()) => atoms::ok().encode(env),
        Err(error) => failure(env, &error),
    }
}

/// Looks at whether the process that called is still there: killing it does not stop its NIF.
fn alive(env: Env) -> bool {
    // SAFETY: `env` is that of the running call, on the thread that runs it.
    unsafe { sys::enif_is_current_process_alive(env.as_c_arg()) != 0 }
}

/// The external format. `Term::to_binary` panics where the VM has no memory; this says so.
fn external(term: Term) -> Result<OwnedBinary, Error> {
    let mut binary = MaybeUninit::uninit();
    let env = term.get_env().as_c_arg();
    // SAFETY: the term is of this environment; the structure is filled in unless 0 is returned.
    unsafe {
        (sys::enif_term_to_binary(env, term.as_c_arg(), binary.as_mut_ptr()) != 0)
            .then(|| OwnedBinary::from_raw(binary.assume_init()))
    }
    .ok_or(Error::NoMemoryForTerm)
}

type Wanted<'a> = &'a mut dyn FnMut() -> bool;

fn write(input: &[u8], format: Format, sums: Sums, wanted: Wanted) -> Result<VmBuffer, Error> {
    let mut out = VmBuffer::default();
    match format {
        Format::Frame => core::compress_frame(input, &mut out, sums.into(), wanted)?,
        Format::Block => core::compress_block(input, &mut out)?,
    }
    Ok(out)
}

fn read(input: &[u8], format: Format, max: u64, wanted: Wanted) -> Result<VmBuffer, Error> {
    let mut out = VmBuffer::default();
    match format {
        Format::Frame => core::decompress_frame(input, &mut out, max, wanted)?,
        Format::Block => core::decompress_block(input, &mut out, max)?,
    }
    Ok(out)
}

/// `:dirty`, or where all there is to do is a copy, `{:store, iolist}`: the VM makes a binary of
/// that as it makes any, giving way to others and reusing memory that another scheduler could not.
fn large<'a>(env: Env<'a>, input: Binary<'a>, format: Format, sums: Sums) -> Term<'a> {
    let stored = match (format, sums) {
        (Format::Frame, Sums::Auto | Sums::Never) => core::stored_frame(&input),
        _ => Ok(None),
    };
    match stored {
        Ok(Some(stored)) => {
            consume_timeslice(env, cutoffs::PROBE_PERCENT);
            (atoms::store(), parts(env, input, &stored)).encode(env)
        }
        Ok(None) => atoms::dirty().encode(env),
        Err(error) => failure(env, &error),
    }
}

fn parts<'a>(env: Env<'a>, input: Binary<'a>, stored: &Stored) -> Vec<Term<'a>> {
    let small = |bytes: &[u8]| NewBinary::from_slice(env, bytes).into();
    let mut parts = vec![small(&stored.header)];
    for (word, range) in &stored.blocks {
        parts.push(small(word));
        let part = input.make_subbinary(range.start, range.len());
        parts.extend(part.map(|part| part.to_term(env)));
    }
    parts.push(small(&stored.end));
    parts
}

/// Reads what is small and stays so; `None` for the rest.
fn read_small(env: Env, input: &[u8], format: Format, max: u64) -> Option<Result<VmBuffer, Error>> {
    if input.len() > cutoffs::DECOMPRESS_BYTES {
        return None;
    }
    let limit = max.min(cutoffs::DECOMPRESSED_BYTES as u64);
    let read = read(input, format, limit, &mut || true);
    let bytes = read.as_ref().map_or(0, |content| content.as_slice().len());
    consume_timeslice(
        env,
        percent(input.len() + bytes, cutoffs::DECOMPRESS_PER_PERCENT),
    );
    match read {
        Err(Error::TooLarge { .. }) if limit < max => None,
        read => Some(read),
    }
}

/// Compresses a term's external format; keeps that where `packing` says so and LZ4 saves under a
/// tenth.
fn pack(
    plain: OwnedBinary,
    packing: Packing,
    sums: Sums,
    wanted: Wanted,
) -> Result<VmBuffer, Error> {
    let format = match packing {
        Packing::Block => Format::Block,
        Packing::Frame | Packing::Adaptive => Format::Frame,
    };
    let packed = write(&plain, format, sums, wanted)?;
    match packing {
        Packing::Adaptive if packed.as_slice().len() > plain.len() - plain.len() / 10 => {
            Ok(plain.into())
        }
        _ => Ok(packed),
    }
}

fn result<'a>(env: Env<'a>, made: Result<VmBuffer, Error>) -> Term<'a> {
    match made {
        Ok(buffer) => (atoms::ok(), buffer.into_term(env)).encode(env),
        Err(error) => failure(env, &error),
    }
}

fn failure<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    let (size, max) = error.sizes();
    let figures = [(atoms::size(), size), (atoms::max_size(), max)];
    let known = figures
        .iter()
        .filter_map(|(key, value)| value.map(|value| (*key, value)));
    let context: std::collections::HashMap<Atom, u64> = known.collect();
    match Atom::from_str(env, error.reason()) {
        Ok(reason) => (atoms::error(), (reason, error.to_string(), context)).encode(env),
        Err(_) => atoms::error().encode(env),
    }
}

impl From<Sums> for Checksum {
    fn from(sums: Sums) -> Self {
        match sums {
            Sums::Auto => Checksum::Auto,
            Sums::Always => Checksum::Always,
            Sums::Never => Checksum::Never,
        }
    }
}
