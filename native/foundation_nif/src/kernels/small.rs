//! Inputs that are worked on at once, on the caller's own scheduler.
use foundation_core::cutoffs::{DECODE_ELEMENT, ENCODE_ELEMENT, KERNEL_PERCENT};
use foundation_core::kernels::{Args, Entry, Error, Input, Kind, Numbers, Step, Value};
use rustler::{Env, Term};

use super::args::Form;
use super::binaries::{bytes_of, invalid, shifted};
use super::cells::Cells;
use super::give::{self, Given};
use super::numbers::List;

/// What all of it may take, in nanoseconds.
const MOST: u64 = KERNEL_PERCENT as u64 * 10_000;

/// The result, `None` where that would take too long.
type Answer<'a> = Result<Option<Term<'a>>, Error>;

pub fn run<'a>(env: Env<'a>, entry: &Entry, form: Form, data: Term<'a>, args: Args) -> Answer<'a> {
    match form {
        Form::Bytes => one(env, entry, None, data, args),
        Form::Packed(kind) => one(env, entry, Some(kind), data, args),
        Form::List => list(env, entry, data, args),
        Form::Many => many(env, entry, data, args),
    }
}

fn one<'a>(
    env: Env<'a>,
    entry: &Entry,
    kind: Option<Kind>,
    data: Term<'a>,
    args: Args,
) -> Answer<'a> {
    let size = kind.map_or(1, Kind::size);
    let cost = entry.cost(size, &args);
    let Some(left) = cost.left(MOST) else {
        return Ok(None);
    };
    let most = (left / cost.unit) as usize * size;
    if shifted(data.as_c_arg()) > most {
        return Ok(None);
    }
    let bytes = bytes_of(data).unwrap_or(&[]);
    if bytes.len() > most {
        return Ok(None);
    }
    let input = match kind {
        None => Input::Bytes(bytes),
        Some(kind) => Input::Packed(Numbers::new(kind, bytes)?),
    };
    work(env, entry, &input, false, args).map(Some)
}

fn list<'a>(env: Env<'a>, entry: &Entry, data: Term<'a>, args: Args) -> Answer<'a> {
    let cost = entry.cost(Kind::I64.size(), &args);
    let Some(left) = cost.left(MOST) else {
        return Ok(None);
    };
    let encode = if cost.echoes { ENCODE_ELEMENT } else { 0 };
    let most = (left / (DECODE_ELEMENT + cost.unit + encode)) as usize;
    let mut list = List::new()?;
    let rest = list.read(env, data, &mut |len| len <= most)?;
    if !rest.is_empty_list() || list.len() > most {
        return Ok(None);
    }
    list.gather().join(&mut || true)?;
    let input = list.input().ok_or(Error::Unfinished)?;
    work(env, entry, &input, true, args).map(Some)
}

fn many<'a>(env: Env<'a>, entry: &Entry, data: Term<'a>, args: Args) -> Answer<'a> {
    let mut items = Vec::new();
    let cost = entry.cost(1, &args);
    let Some(mut left) = cost.left(MOST) else {
        return Ok(None);
    };
    let mut cells = Cells::new(env, data);
    while let Some(head) = cells.head() {
        // SAFETY: the element is of this environment.
        let head = unsafe { Term::new(env, head) };
        if shifted(head.as_c_arg()) as u64 > left / cost.unit {
            return Ok(None);
        }
        let item = bytes_of(head).ok_or_else(|| invalid(items.len()))?;
        let taken = (item.len() as u64).saturating_mul(cost.unit) + cost.item;
        let Some(rest) = left.checked_sub(taken) else {
            return Ok(None);
        };
        left = rest;
        items.push(item);
        cells.advance();
    }
    cells.rest(env, items.len())?;
    work(env, entry, &Input::Many(&items), false, args).map(Some)
}

fn work<'a>(
    env: Env<'a>,
    entry: &Entry,
    input: &Input,
    listed: bool,
    args: Args,
) -> Result<Term<'a>, Error> {
    let mut kernel = entry.create(input, 0..input.len(), args)?;
    while kernel.step(input, &mut || true)? == Step::More {}
    let value = kernel.finish()?;
    let is_words = matches!(value, Value::Words(_));
    let (mut value, acc) = (Some(value), Term::list_new_empty(env));
    match give::slice(env, &mut value, input, listed, acc, &mut || true)? {
        Given::All(pairs) if is_words => give::map(env, pairs),
        Given::All(term) | Given::More(term) | Given::Pairs(term) => Ok(term),
    }
}
