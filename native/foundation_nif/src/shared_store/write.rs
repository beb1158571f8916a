//! Writes.
use foundation_core::measure::{self, Outcome, Size, WORD};
use foundation_core::shared_store::{Condition, Key, Refusal};
use rustler::{Encoder, Env, NifResult, Term};

use super::record::Record;
use super::{Handle, with};
use crate::image::Image;
use crate::measure::Terms;
use crate::raw::raw_nif;
use crate::terms::atoms;

/// An answer in place of what was to be done.
pub type Instead<'a> = Term<'a>;

fn condition(term: Term) -> NifResult<Condition> {
    match term {
        always if atoms::always() == always => Ok(Condition::Always),
        absent if atoms::absent() == absent => Ok(Condition::Absent),
        version => Ok(Condition::Version(version.decode()?)),
    }
}

/// Entries that one step evicts are this many per cent of a time slice.
const ROOM_PERCENT: i32 = 20;

/// Puts a record, and says how it went: also `{:over, number}`, where there is more to evict than one
/// call does ([`make_room`]).
pub fn put_record<'a>(
    env: Env<'a>,
    handle: &Handle,
    key: &Key<impl Fn(&Record) -> bool>,
    record: Record,
    (ttl, condition): (Term<'a>, Condition),
) -> NifResult<Term<'a>> {
    let deadline = handle.deadline(ttl).ok_or(rustler::Error::BadArg)?;
    Ok(match handle.store.put(key, record, deadline, condition) {
        Ok(()) => match handle.store.over(key.hash) {
            None => atoms::ok().encode(env),
            Some(number) => (atoms::over(), number).encode(env),
        },
        Err(refusal) => refuse(env, refusal),
    })
}

/// Evicts some of what is over a limit; whether there is more.
fn make_room<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let number: usize = args[1].decode()?;
    with(env, args[0], |handle| {
        let more = handle.store.make_room(number);
        rustler::schedule::consume_timeslice(env, ROOM_PERCENT);
        Ok(more.encode(env))
    })
}

fn refuse<'a>(env: Env<'a>, refusal: Refusal) -> Term<'a> {
    match refusal {
        Refusal::Conflict => atoms::conflict().encode(env),
        Refusal::Closed => atoms::gone().encode(env),
        refusal => (atoms::error(), (atoms::too_large(), refusal.to_string())).encode(env),
    }
}

/// A record of key and value; or `:dirty`, or `:pack`.
pub fn record<'a>(
    env: Env<'a>,
    handle: &Handle,
    key: Term<'a>,
    value: Term<'a>,
) -> Result<Record, Instead<'a>> {
    let most = handle.config.compress_above;
    if most != u64::MAX && is_above(env, value, most) {
        return Err(atoms::pack().encode(env));
    }
    Record::small(env, handle.store.shapes(), key, value)
        .or_else(|| Record::measured(env, key, value))
        .ok_or_else(|| atoms::dirty().encode(env))
}

fn is_above(env: Env, value: Term, most: u64) -> bool {
    let (_, outcome) = measure::measure(&mut Terms::new(env), value.as_c_arg(), most);
    outcome != Outcome::Complete
}

fn put<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let condition = condition(args[4])?;
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], false) else {
            return Ok(atoms::dirty().encode(env));
        };
        match record(env, handle, args[1], args[2]) {
            Ok(record) => put_record(env, handle, &key, record, (args[3], condition)),
            Err(instead) => Ok(instead),
        }
    })
}

/// As [`put`], of a value that the caller has measured.
fn put_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let condition = condition(args[4])?;
    let (heap_bytes, binary_bytes): (u64, u64) = (args[5].decode()?, args[6].decode()?);
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], true) else {
            return Ok(atoms::dirty().encode(env));
        };
        let size = size(env, args[1], heap_bytes, binary_bytes);
        let record = Record::large(env, args[1], args[2], size, false);
        put_record(env, handle, &key, record, (args[3], condition))
    })
}

/// As [`put`], of a value's packed form.
fn put_packed<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let condition = condition(args[4])?;
    let packed = args[2].decode_as_binary()?.len() as u64;
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], true) else {
            return Ok(atoms::dirty().encode(env));
        };
        let small = Record::packed(env, handle.store.shapes(), args[1], args[2]);
        let record = small.unwrap_or_else(|| {
            let size = size(env, args[1], 8 * WORD, packed);
            Record::large(env, args[1], args[2], size, true)
        });
        put_record(env, handle, &key, record, (args[3], condition))
    })
}

/// The size of a pair of a key and a value of which the size is known.
fn size(env: Env, key: Term, heap_bytes: u64, binary_bytes: u64) -> Size {
    let (key, _) = measure::measure(&mut Terms::new(env), key.as_c_arg(), u64::MAX);
    Size {
        heap_words: key.heap_words + heap_bytes / WORD + 3,
        binary_bytes: key.binary_bytes.saturating_add(binary_bytes),
    }
}

fn delete<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        drop(handle.store.take(&key));
        Ok(atoms::ok().encode(env))
    })
}

/// Deletes what is of a version; `:conflict` where nothing is.
fn delete_version<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let version: u32 = args[2].decode()?;
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let answer = match handle.store.take_version(&key, version) {
            Some(_entry) => atoms::ok(),
            None => atoms::conflict(),
        };
        Ok(answer.encode(env))
    })
}

fn touch<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let deadline = handle.deadline(args[2]).ok_or(rustler::Error::BadArg)?;
        let answer = match handle.store.touch(&key, deadline) {
            true => atoms::ok(),
            false => atoms::missing(),
        };
        Ok(answer.encode(env))
    })
}

/// What two terms add up to.
enum Sum<'a> {
    Is(Term<'a>),
    /// One of them is no number.
    NoNumber,
    /// It, or one of them, is none that the interface reads or makes.
    Big,
}

fn sum<'a>(env: Env<'a>, one: Term<'a>, other: Term<'a>) -> Sum<'a> {
    if !one.is_number() || !other.is_number() {
        return Sum::NoNumber;
    }
    if let (Ok(one), Ok(other)) = (one.decode::<i64>(), other.decode::<i64>()) {
        let sum = one.checked_add(other);
        return sum.map_or(Sum::Big, |sum| Sum::Is(sum.encode(env)));
    }
    match (float(one), float(other)) {
        (Some(one), Some(other)) if (one + other).is_finite() => Sum::Is((one + other).encode(env)),
        _ => Sum::Big,
    }
}

fn float(number: Term) -> Option<f64> {
    let integer = number.decode::<i64>().map(|integer| integer as f64);
    number.decode::<f64>().or(integer).ok()
}

/// `{:ok, number}`, `:not_a_number` or `:big`.
fn increment<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (by, initial, ttl) = (args[2], args[3], args[4]);
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        loop {
            let changed = handle.store.modify(&key, |record| {
                record.image_mut(|image| image.and_then(|image| add_in_place(env, image, by)))
            });
            if let Some(sum) = changed {
                return Ok((atoms::ok(), sum).encode(env));
            }
            // Not there, or the sum takes another place: by version then, as often as others come
            // between.
            if let Some(answer) = add_anew(env, handle, &key, args[1], (by, initial, ttl))? {
                return Ok(answer);
            }
        }
    })
}

/// Under the lock: the sum where it fits in the place of what is there.
fn add_in_place<'a>(env: Env<'a>, image: &mut Image, by: Term<'a>) -> Option<Term<'a>> {
    // SAFETY: the value stays while the lock is held, and only its number is read.
    let value = unsafe { Term::new(env, image.value()) };
    match sum(env, value, by) {
        Sum::Is(sum) if image.set_value(sum.as_c_arg()) => Some(sum),
        _ => None,
    }
}

/// `None` where somebody came between.
fn add_anew<'a>(
    env: Env<'a>,
    handle: &Handle,
    key: &Key<impl Fn(&Record) -> bool>,
    key_term: Term<'a>,
    (by, initial, ttl): (Term<'a>, Term<'a>, Term<'a>),
) -> NifResult<Option<Term<'a>>> {
    let there = handle.store.peek(key, |found| {
        let value = found.entry.number(env);
        (value, found.deadline, found.version)
    });
    let (value, condition) = match there {
        Some((value, _, version)) => (value, Condition::Version(version)),
        None => (Some(initial), Condition::Absent),
    };
    let sum = match value.map_or(Sum::NoNumber, |value| sum(env, value, by)) {
        Sum::Is(sum) => sum,
        Sum::NoNumber => return Ok(Some(atoms::not_a_number().encode(env))),
        Sum::Big => return Ok(Some(atoms::big().encode(env))),
    };
    let deadline = match there {
        Some((_, deadline, _)) => deadline,
        None => handle.deadline(ttl).ok_or(rustler::Error::BadArg)?,
    };
    let record = match record(env, handle, key_term, sum) {
        Ok(record) => record,
        Err(instead) => return Ok(Some(instead)),
    };
    Ok(match handle.store.put(key, record, deadline, condition) {
        Err(Refusal::Conflict) => None,
        Ok(()) => {
            // A number wants the room of few; what is over by others' doing is theirs to evict.
            if let Some(number) = handle.store.over(key.hash) {
                handle.store.make_room(number);
            }
            Some((atoms::ok(), sum).encode(env))
        }
        Err(refusal) => Some(refuse(env, refusal)),
    })
}

fn clear<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        handle.store.clear();
        Ok(atoms::ok().encode(env))
    })
}

raw_nif!("shared_store_put", 5, Normal, put);
raw_nif!("shared_store_put_dirty", 7, DirtyCpu, put_dirty);
raw_nif!("shared_store_put_packed", 6, Normal, put_packed);
raw_nif!("shared_store_delete", 2, Normal, delete::<false>);
raw_nif!("shared_store_delete_dirty", 2, DirtyCpu, delete::<true>);
raw_nif!(
    "shared_store_delete_version",
    3,
    Normal,
    delete_version::<false>
);
raw_nif!(
    "shared_store_delete_version_dirty",
    3,
    DirtyCpu,
    delete_version::<true>
);
raw_nif!("shared_store_touch", 3, Normal, touch::<false>);
raw_nif!("shared_store_touch_dirty", 3, DirtyCpu, touch::<true>);
raw_nif!("shared_store_increment", 5, Normal, increment::<false>);
raw_nif!(
    "shared_store_increment_dirty",
    5,
    DirtyCpu,
    increment::<true>
);
raw_nif!("shared_store_clear", 1, Normal, clear);
raw_nif!("shared_store_make_room", 2, Normal, make_room);
