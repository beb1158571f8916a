//! Reads: of a value, of a part of one, and of what is known of an entry.
use std::sync::Arc;

use foundation_core::measure::{self, Outcome};
use foundation_core::path::Fault;
use foundation_core::reaper::NEVER;
use foundation_core::shared_store::Found;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Encoder, Env, NifResult, Term};

use super::record::{Frozen, INLINE_BYTES, NORMAL_BYTES, Record, View};
use super::{Handle, with};
use crate::arena::copy;
use crate::image::Image;
use crate::janitor;
use crate::measure::Terms;
use crate::path::{self, NORMAL_WORK};
use crate::raw::raw_nif;
use crate::shared_term::send_copy;
use crate::terms::{atoms, tuple};

/// What a read brings out from under the lock.
enum Shown<'a> {
    /// The answer: small values are copied under the lock.
    Done(Term<'a>),
    /// A large one, which stays while it is copied.
    Large(Arc<Frozen>),
}

/// Shows small values at once.
#[inline]
fn show<'a>(entry: &Record, small: impl FnOnce(&Image) -> Term<'a>) -> Shown<'a> {
    entry.view(|view| match view {
        View::Small(image) => Shown::Done(small(image)),
        View::Large(frozen) => Shown::Large(frozen.clone()),
    })
}

#[inline]
fn ok<'a>(env: Env<'a>, term: Term<'a>) -> Term<'a> {
    tuple(env, [atoms::ok().to_term(env), term])
}

fn value_of<'a>(env: Env<'a>, image: &Image) -> Term<'a> {
    copy(env, image.value())
}

/// `{:ok, value}`, `{:packed, binary}`, or `:send` for what is better sent.
fn whole<'a>(env: Env<'a>, frozen: &Frozen, dirty: bool) -> Term<'a> {
    if frozen.packed {
        return (atoms::packed(), copy(env, frozen.value())).encode(env);
    }
    if frozen.bytes() > INLINE_BYTES && !dirty {
        return atoms::send().encode(env);
    }
    ok(env, copy(env, frozen.value()))
}

fn fetch<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let read = |found: Found<Record>| show(found.entry, |image| ok(env, value_of(env, image)));
        Ok(match handle.store.read(&key, read) {
            Some(Shown::Done(answer)) => answer,
            Some(Shown::Large(frozen)) => whole(env, &frozen, DIRTY),
            None => atoms::missing().encode(env),
        })
    })
}

/// `{:ok, value, version}`, `{:packed, binary, version}`; large ones only on a dirty scheduler.
fn read<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let shown = handle.store.read(&key, |found| {
            let version = found.version;
            let small = |image: &Image| (atoms::ok(), value_of(env, image), version).encode(env);
            (show(found.entry, small), version)
        });
        Ok(match shown {
            Some((Shown::Done(answer), _)) => answer,
            Some((Shown::Large(frozen), version)) if frozen.packed => {
                (atoms::packed(), copy(env, frozen.value()), version).encode(env)
            }
            Some((Shown::Large(frozen), _)) if frozen.bytes() > NORMAL_BYTES && !DIRTY => {
                atoms::dirty().encode(env)
            }
            Some((Shown::Large(frozen), version)) => {
                (atoms::ok(), copy(env, frozen.value()), version).encode(env)
            }
            None => atoms::missing().encode(env),
        })
    })
}

fn fetch_in<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let shown = handle.store.read(&key, |found| {
            show(found.entry, |image| small_part(env, image, args[2]))
        });
        Ok(match shown {
            Some(Shown::Done(answer)) => answer,
            Some(Shown::Large(frozen)) => large_part(env, &frozen, args[2], DIRTY),
            None => atoms::missing().encode(env),
        })
    })
}

/// Under the lock: the path is bounded as the block is.
fn small_part<'a>(env: Env<'a>, image: &Image, path: Term<'a>) -> Term<'a> {
    // A block has fewer cells than a normal scheduler passes; only the path can be longer, and then
    // it leads nowhere before its end.
    match path::follow_small(env, image.value(), path) {
        Ok(part) => ok(env, copy(env, part)),
        Err(fault) => path::refuse(env, fault),
    }
}

fn large_part<'a>(env: Env<'a>, frozen: &Frozen, path: Term<'a>, dirty: bool) -> Term<'a> {
    if frozen.packed {
        return (atoms::packed(), copy(env, frozen.value())).encode(env);
    }
    let work = if dirty { u64::MAX } else { NORMAL_WORK };
    let part = match path::follow(env, frozen.value(), path, work, dirty) {
        Ok(part) => part,
        // What is long to follow is followed where the part is sent from.
        Err(Fault::Long) => return atoms::send().encode(env),
        Err(fault) => return path::refuse(env, fault),
    };
    if frozen.bytes() > INLINE_BYTES && !dirty {
        let (_, outcome) = measure::measure(&mut Terms::new(env), part, INLINE_BYTES);
        if outcome != Outcome::Complete {
            return atoms::send().encode(env);
        }
    }
    ok(env, copy(env, part))
}

/// Sends the caller `{reference, copy}`; `:dirty` for what takes long.
fn send<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (request, reference) = (args[2], args[3]);
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        // Counted when it was asked for.
        let share = |found: Found<Record>| show(found.entry, |image| value_of(env, image));
        let shown = match handle.store.peek(&key, share) {
            Some(Shown::Large(frozen)) if frozen.bytes() > NORMAL_BYTES && !DIRTY => {
                return Ok(atoms::dirty().encode(env));
            }
            Some(_) if atoms::take() == request => match handle.store.take(&key) {
                Some(taken) => show(&taken, |image| value_of(env, image)),
                None => return Ok(atoms::missing().encode(env)),
            },
            Some(shown) => shown,
            None => return Ok(atoms::missing().encode(env)),
        };
        let value = match &shown {
            Shown::Done(value) => value.as_c_arg(),
            Shown::Large(frozen) if frozen.packed => {
                return Ok((atoms::packed(), copy(env, frozen.value())).encode(env));
            }
            Shown::Large(frozen) => frozen.value(),
        };
        Ok(send_part(env, value, request, reference, DIRTY))
    })
}

fn send_part<'a>(
    env: Env<'a>,
    value: ErlNifTerm,
    request: Term<'a>,
    reference: Term<'a>,
    dirty: bool,
) -> Term<'a> {
    if request.decode::<Atom>().is_ok() {
        return send_copy(env, reference, value);
    }
    match path::follow(env, value, request, u64::MAX, dirty) {
        Ok(part) => send_copy(env, reference, part),
        Err(fault) => path::refuse(env, fault),
    }
}

fn take<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let is_large = |found: Found<Record>| {
            found
                .entry
                .view(|view| matches!(view, View::Large(frozen) if frozen.bytes() > INLINE_BYTES))
        };
        if !DIRTY && handle.store.peek(&key, is_large) == Some(true) {
            return Ok(atoms::send().encode(env));
        }
        Ok(match handle.store.take(&key) {
            Some(taken) => match show(&taken, |image| ok(env, value_of(env, image))) {
                Shown::Done(answer) => answer,
                // Now and then somebody has put a large one since: copied here all the same.
                Shown::Large(frozen) => whole(env, &frozen, true),
            },
            None => atoms::missing().encode(env),
        })
    })
}

/// What a key's entry is asked without being read.
fn about<'a, const DIRTY: bool>(
    env: Env<'a>,
    args: &[Term<'a>],
    missing: Atom,
    tell: impl FnOnce(Found<Record>) -> Term<'a>,
) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let Some(key) = handle.key(env, args[1], DIRTY) else {
            return Ok(atoms::dirty().encode(env));
        };
        let told = handle.store.peek(&key, tell);
        Ok(told.unwrap_or_else(|| missing.encode(env)))
    })
}

fn version<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    about::<DIRTY>(env, args, atoms::missing(), |found| {
        found.version.encode(env)
    })
}

fn member<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    about::<DIRTY>(env, args, atoms::r#false(), |_| true.encode(env))
}

fn ttl<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    about::<DIRTY>(env, args, atoms::missing(), |found| match found.deadline {
        NEVER => atoms::infinity().encode(env),
        deadline => deadline.saturating_sub(janitor::now_up()).encode(env),
    })
}

fn size<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| Ok(handle.store.len().encode(env)))
}

/// Entries, bytes (live, dead, overhead), hits, misses, evictions, expirations, compactions.
fn stats<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle: &Handle| {
        let stats = handle.store.stats();
        let figures = [
            stats.entries,
            stats.live,
            stats.dead,
            stats.overhead,
            stats.hits,
            stats.misses,
            stats.evictions,
            stats.expirations,
            stats.compactions,
        ]
        .map(|figure| figure.encode(env));
        Ok(tuple(env, figures))
    })
}

raw_nif!("shared_store_fetch", 2, Normal, fetch::<false>);
raw_nif!("shared_store_fetch_dirty", 2, DirtyCpu, fetch::<true>);
raw_nif!("shared_store_read", 2, Normal, read::<false>);
raw_nif!("shared_store_read_dirty", 2, DirtyCpu, read::<true>);
raw_nif!("shared_store_fetch_in", 3, Normal, fetch_in::<false>);
raw_nif!("shared_store_fetch_in_dirty", 3, DirtyCpu, fetch_in::<true>);
raw_nif!("shared_store_send", 4, Normal, send::<false>);
raw_nif!("shared_store_send_dirty", 4, DirtyCpu, send::<true>);
raw_nif!("shared_store_take", 2, Normal, take::<false>);
raw_nif!("shared_store_take_dirty", 2, DirtyCpu, take::<true>);
raw_nif!("shared_store_version", 2, Normal, version::<false>);
raw_nif!("shared_store_version_dirty", 2, DirtyCpu, version::<true>);
raw_nif!("shared_store_member", 2, Normal, member::<false>);
raw_nif!("shared_store_member_dirty", 2, DirtyCpu, member::<true>);
raw_nif!("shared_store_ttl", 2, Normal, ttl::<false>);
raw_nif!("shared_store_ttl_dirty", 2, DirtyCpu, ttl::<true>);
raw_nif!("shared_store_size", 1, Normal, size);
raw_nif!("shared_store_stats", 1, Normal, stats);
