//! Results as terms, in slices.
use foundation_core::compression::Buffer as _;
use foundation_core::kernels::{Buffer, Error, Histogram, Input, Kind, Packed, Value, Words};
use rustler::sys::*;
use rustler::{Encoder, Env, NewBinary, Resource, ResourceArc, Term};

use super::atoms;
use crate::buffer::VmBuffer;
use crate::janitor::{self, LEFTOVERS};
use crate::terms;

/// Elements between two looks at the clock: up to 50 microseconds.
const BLOCK: usize = 2048;

/// Words, or binaries, between two looks at the clock.
const FEW: usize = 256;

/// Results of more bytes become binaries without a copy.
const LARGE: usize = 64 * 1024;

/// What a slice gives.
pub enum Given<'a> {
    /// All that was left of the result, or all of it.
    All(Term<'a>),
    /// A list whose front is still to come.
    More(Term<'a>),
    /// Pairs of words and counts, of which more are to come.
    Pairs(Term<'a>),
}

use Given::{All, More, Pairs};

/// The bytes of a result that a binary refers to. They are in the books while it lives.
struct Bytes(Option<Buffer<u8>>);

#[rustler::resource_impl(name = "kernel_result")]
impl Resource for Bytes {
    const IMPLEMENTS_DESTRUCTOR: bool = true;

    fn destructor(mut self, env: Env<'_>) {
        if let Some(buffer) = self.0.take() {
            drop(LEFTOVERS.bury(Box::new(buffer)));
        }
        janitor::wake(env);
    }
}

/// A slice of a result, in front of (`acc`) what was given of it before. Takes it out, `None` once
/// nothing is left.
pub fn slice<'a>(
    env: Env<'a>,
    value: &mut Option<Value>,
    input: &Input,
    listed: bool,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> Result<Given<'a>, Error> {
    let Some(held) = value.take() else {
        return Ok(All(acc));
    };
    let (left, given) = match held {
        Value::Int(int) => (None, All(int.encode(env))),
        Value::Unsigned(int) => (None, All(int.encode(env))),
        Value::Float(number) => (None, All(float(env, number))),
        Value::Floats(numbers) => (None, All(floats(env, &numbers))),
        Value::Hashes(hashes) => self::hashes(env, hashes, acc, more),
        Value::Packed(packed) if listed => numbers(env, packed, acc, more),
        Value::Packed(packed) => (None, All(self::packed(env, packed)?)),
        Value::Histogram(counts) => histogram(env, counts, acc, more),
        Value::Words(words) => pairs(env, words, input, more)?,
        Value::Binaries(binaries) => frames(env, binaries, acc, more)?,
    };
    *value = left;
    Ok(given)
}

type Slice<'a> = (Option<Value>, Given<'a>);

/// A float, which no term can be where it is infinite or none.
fn float(env: Env<'_>, number: f64) -> Term<'_> {
    match number {
        number if number.is_nan() => atoms::nan().encode(env),
        f64::INFINITY => atoms::infinity().encode(env),
        f64::NEG_INFINITY => atoms::negative_infinity().encode(env),
        number => number.encode(env),
    }
}

fn floats<'a>(env: Env<'a>, numbers: &[f64]) -> Term<'a> {
    let terms: Vec<Term> = numbers.iter().map(|number| float(env, *number)).collect();
    terms.encode(env)
}

/// Puts items in front of a list, from the last on, and says how many are left.
#[inline]
fn prepend<'a, T: Copy>(
    env: Env<'a>,
    items: &[T],
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
    term: impl Fn(T) -> ErlNifTerm,
) -> (usize, Term<'a>) {
    let (mut list, mut left) = (acc.as_c_arg(), items.len());
    for block in items.rchunks(BLOCK) {
        for item in block.iter().rev() {
            // SAFETY: both terms are of this environment.
            list = unsafe { enif_make_list_cell(env.as_c_arg(), term(*item), list) };
        }
        left -= block.len();
        if left > 0 && !more() {
            break;
        }
    }
    // SAFETY: the list is of this environment.
    (left, unsafe { Term::new(env, list) })
}

/// An integer as a term.
#[inline]
fn integer(env: *mut ErlNifEnv, small: bool, int: i64) -> ErlNifTerm {
    if small && int << 4 >> 4 == int {
        // SAFETY: `ErlNifTerm` is a transparent wrapper of this word, which refers to nothing.
        return unsafe { std::mem::transmute::<usize, ErlNifTerm>(terms::small_integer(int)) };
    }
    // SAFETY: the environment is that of the running call.
    unsafe { enif_make_int64(env, int) }
}

/// Numbers that came as a list, which have 64 bits.
fn numbers<'a>(
    env: Env<'a>,
    mut packed: Packed,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> Slice<'a> {
    let (numbers, _) = packed.bytes.as_chunks::<8>();
    let small = terms::layout().small;
    let raw = env.as_c_arg();
    let (left, list) = match packed.kind {
        Kind::F64 => prepend(env, numbers, acc, more, |number| {
            float(env, f64::from_ne_bytes(number)).as_c_arg()
        }),
        _ => prepend(env, numbers, acc, more, |number| {
            integer(raw, small, i64::from_ne_bytes(number))
        }),
    };
    if left == 0 {
        return (None, All(list));
    }
    packed.bytes.truncate(left * 8);
    (Some(Value::Packed(packed)), More(list))
}

fn hashes<'a>(
    env: Env<'a>,
    mut pieces: Vec<Buffer<u128>>,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> Slice<'a> {
    let mut list = acc;
    while let Some(mut piece) = pieces.pop() {
        let term = |hash: u128| hash.encode(env).as_c_arg();
        let (left, front) = prepend(env, &piece, list, more, term);
        list = front;
        if left > 0 {
            piece.truncate(left);
            pieces.push(piece);
            return (Some(Value::Hashes(pieces)), More(list));
        }
    }
    (None, All(list))
}

fn histogram<'a>(
    env: Env<'a>,
    mut histogram: Histogram,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> Slice<'a> {
    let count = |count: u64| count.encode(env).as_c_arg();
    let (left, list) = prepend(env, &histogram.counts, acc, more, count);
    if left > 0 {
        histogram.counts.truncate(left);
        return (Some(Value::Histogram(histogram)), More(list));
    }
    let figures = [
        (atoms::counts().encode(env), list),
        (atoms::below().encode(env), histogram.below.encode(env)),
        (atoms::above().encode(env), histogram.above.encode(env)),
        (atoms::nan().encode(env), histogram.nan.encode(env)),
    ];
    let map = Term::map_from_pairs(env, &figures);
    (None, All(map.unwrap_or(list)))
}

/// Pairs of words and counts. A word is copied in one go.
fn pairs<'a>(
    env: Env<'a>,
    mut words: Words,
    input: &Input,
    more: &mut dyn FnMut() -> bool,
) -> Result<Slice<'a>, Error> {
    let mut list = Term::list_new_empty(env);
    loop {
        for _ in 0..FEW {
            let Some(word) = words.pop() else {
                return Ok((None, All(list)));
            };
            let text = word.text(input).ok_or(Error::Mismatch)?;
            let text = copied(env, text, words.lowercase())?;
            let pair = terms::tuple(env, [text, word.count.encode(env)]);
            list = list.list_prepend(pair);
        }
        if !more() {
            return Ok((Some(Value::Words(words)), Pairs(list)));
        }
    }
}

fn frames<'a>(
    env: Env<'a>,
    mut pieces: Vec<Buffer<Buffer<u8>>>,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> Result<Slice<'a>, Error> {
    let (mut list, mut bytes) = (acc, 0);
    while let Some(frames) = pieces.last_mut() {
        let Some(frame) = frames.pop() else {
            pieces.pop();
            continue;
        };
        bytes += frame.len().min(LARGE) + 256;
        list = list.list_prepend(binary(env, frame)?);
        if bytes > FEW * 1024 {
            bytes = 0;
            if !more() {
                return Ok((Some(Value::Binaries(pieces)), More(list)));
            }
        }
    }
    Ok((None, All(list)))
}

fn packed(env: Env<'_>, packed: Packed) -> Result<Term<'_>, Error> {
    let kind = rustler::Atom::from_str(env, packed.kind.name()).map_err(|_| Error::Mismatch)?;
    let bytes = binary(env, packed.bytes)?;
    Ok(terms::tuple(env, [kind.encode(env), bytes]))
}

/// A binary of a result: where that is large one that refers to it, which takes no copy; it keeps
/// the result in the books of kernels.
fn binary(env: Env<'_>, buffer: Buffer<u8>) -> Result<Term<'_>, Error> {
    if buffer.len() <= LARGE {
        return copied(env, &buffer, false);
    }
    let bytes = ResourceArc::new(Bytes(Some(buffer)));
    let binary = bytes.make_binary(env, |bytes| bytes.0.as_deref().unwrap_or(&[]));
    Ok(binary.to_term(env))
}

/// A binary of the VM's own.
fn copied<'a>(env: Env<'a>, bytes: &[u8], lowercase: bool) -> Result<Term<'a>, Error> {
    const ON_HEAP: usize = 64;
    let fill = |room: &mut [u8]| {
        room.copy_from_slice(bytes);
        if lowercase {
            room.make_ascii_lowercase();
        }
    };
    if bytes.len() <= ON_HEAP {
        let mut binary = NewBinary::new(env, bytes.len());
        fill(binary.as_mut_slice());
        return Ok(binary.into());
    }
    let mut buffer = VmBuffer::default();
    if !buffer.resize(bytes.len()) {
        return Err(Error::OutOfMemory {
            bytes: bytes.len() as u64,
        });
    }
    fill(buffer.bytes());
    Ok(buffer.into_term(env))
}

/// A map of pairs.
pub fn map<'a>(env: Env<'a>, pairs: Term<'a>) -> Result<Term<'a>, Error> {
    let pairs: Vec<(Term, Term)> = pairs.decode().map_err(|_| Error::Mismatch)?;
    Term::map_from_pairs(env, &pairs).map_err(|_| Error::Mismatch)
}
