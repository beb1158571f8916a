//! Handles of shared terms.
use std::sync::Arc;

use foundation_core::measure::{self, Outcome, Size, WORD};
use foundation_core::reaper::NEVER;
use foundation_core::shared_term::{Fault, SharedTerm, State};
use rustler::{Encoder, Env, NifResult, Resource, ResourceArc, Term};

use crate::arena::{TermArena, copy};
use crate::janitor::{self, KEEPER};
use crate::measure::Terms;
use crate::path::{self, NORMAL_WORK};
use crate::raw::raw_nif;
use crate::terms::atoms;

/// Bytes copied on a normal scheduler: about 100 us. What is larger is copied on a dirty one.
const NORMAL_BYTES: u64 = 256 * 1024;

/// A percent of a time slice is about 10 us, in which this much is copied.
const BYTES_PER_PERCENT: u64 = 24 * 1024;

/// What a handle refers to.
pub struct Handle(Arc<SharedTerm<TermArena>>);

#[rustler::resource_impl]
impl Resource for Handle {
    const IMPLEMENTS_DESTRUCTOR: bool = true;

    fn destructor(self, env: Env<'_>) {
        drop(self);
        janitor::wake(env);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum On {
    Normal,
    Dirty,
}

/// The handle, or `:dirty` for what is large or holds funs, whose size no NIF call tells.
fn shared_term_new<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (ttl, most): (u64, u64) = (args[1].decode()?, args[2].decode()?);
    let mut source = Terms::new(env);
    match measure::measure(&mut source, args[0].as_c_arg(), most.min(NORMAL_BYTES)) {
        (size, Outcome::Complete) if source.funs.is_empty() => Ok(freeze(env, args[0], size, ttl)),
        _ => Ok(atoms::dirty().encode(env)),
    }
}

/// As above, of a size that the caller has measured.
fn shared_term_new_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (ttl, heap_bytes): (u64, u64) = (args[1].decode()?, args[2].decode()?);
    let size = Size {
        heap_words: heap_bytes / WORD,
        binary_bytes: args[3].decode()?,
    };
    Ok(freeze(env, args[0], size, ttl))
}

fn freeze<'a>(env: Env<'a>, term: Term<'a>, size: Size, ttl: u64) -> Term<'a> {
    let now = janitor::now();
    let deadline = if ttl == NEVER {
        NEVER
    } else {
        now.saturating_add(ttl).min(NEVER - 1)
    };
    let handle = Handle(SharedTerm::new(
        TermArena::freeze(term, size),
        now,
        deadline,
        &KEEPER,
    ));
    spend(env, size.heap_bytes());
    janitor::wake(env);
    ResourceArc::new(handle).encode(env)
}

fn spend(env: Env, bytes: u64) {
    let percent = bytes / BYTES_PER_PERCENT;
    if percent > 0 {
        rustler::schedule::consume_timeslice(env, percent.min(100) as i32);
    }
}

/// The handle's shared term, and what `then` makes of it.
fn with<'a>(
    env: Env<'a>,
    handle: Term<'a>,
    then: impl FnOnce(&SharedTerm<TermArena>) -> Term<'a>,
) -> NifResult<Term<'a>> {
    let Ok(handle) = handle.decode::<&Handle>() else {
        return Ok(atoms::no_handle().encode(env));
    };
    let answer = then(&handle.0);
    janitor::wake(env);
    Ok(answer)
}

fn answer<'a>(env: Env<'a>, result: Result<Term<'a>, Fault>) -> Term<'a> {
    match result {
        Ok(term) => (atoms::ok(), term).encode(env),
        Err(fault) => {
            let reason = match fault {
                Fault::Expired => atoms::expired(),
                Fault::Released => atoms::released(),
            };
            (atoms::error(), (reason, fault.to_string())).encode(env)
        }
    }
}

/// Whether a copy of all of it belongs on a dirty scheduler.
fn is_long(shared: &SharedTerm<TermArena>, on: On) -> bool {
    on == On::Normal && shared.bytes() > NORMAL_BYTES
}

fn fetch<'a>(env: Env<'a>, args: &[Term<'a>], on: On) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        if is_long(shared, on) {
            return atoms::dirty().encode(env);
        }
        spend(env, shared.bytes());
        answer(env, shared.read(janitor::now(), |arena| arena.copy(env)))
    })
}

fn take<'a>(env: Env<'a>, args: &[Term<'a>], on: On) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        if is_long(shared, on) {
            return atoms::dirty().encode(env);
        }
        spend(env, shared.bytes());
        answer(env, shared.take(janitor::now(), |arena| arena.copy(env)))
    })
}

fn fetch_in<'a>(env: Env<'a>, args: &[Term<'a>], on: On) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        let read = shared.read(janitor::now(), |arena| part(env, arena, args[1], on));
        read.unwrap_or_else(|fault| answer(env, Err(fault)))
    })
}

/// A copy of the part that the path leads to.
fn part<'a>(env: Env<'a>, arena: &TermArena, path: Term<'a>, on: On) -> Term<'a> {
    let work = if on == On::Normal {
        NORMAL_WORK
    } else {
        u64::MAX
    };
    let part = match path::follow(env, arena.term(), path, work) {
        Ok(part) => part,
        Err(fault) => return path::refuse(env, fault),
    };
    if on == On::Normal && foundation_core::shared_term::Arena::bytes(arena) > NORMAL_BYTES {
        let (size, outcome) = measure::measure(&mut Terms::new(env), part, NORMAL_BYTES);
        if outcome != Outcome::Complete {
            return atoms::dirty().encode(env);
        }
        spend(env, size.heap_bytes());
    }
    answer(env, Ok(copy(env, part)))
}

fn shared_term_fetch<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, On::Normal)
}

fn shared_term_fetch_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, On::Dirty)
}

fn shared_term_fetch_in<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch_in(env, args, On::Normal)
}

fn shared_term_fetch_in_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch_in(env, args, On::Dirty)
}

fn shared_term_take<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    take(env, args, On::Normal)
}

fn shared_term_take_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    take(env, args, On::Dirty)
}

fn shared_term_release<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        shared.release();
        atoms::ok().encode(env)
    })
}

/// `{state, bytes, age_ms, remaining_ms | nil, reads}`.
fn shared_term_info<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        let info = shared.info(janitor::now());
        let state = match info.state {
            State::Live => atoms::live(),
            State::Ended(Fault::Expired) => atoms::expired(),
            State::Ended(Fault::Released) => atoms::released(),
        };
        (state, info.bytes, info.age, info.remaining, info.reads).encode(env)
    })
}

raw_nif!("shared_term_new", 3, Normal, shared_term_new);
raw_nif!("shared_term_new_dirty", 4, DirtyCpu, shared_term_new_dirty);
raw_nif!("shared_term_fetch", 1, Normal, shared_term_fetch);
raw_nif!(
    "shared_term_fetch_dirty",
    1,
    DirtyCpu,
    shared_term_fetch_dirty
);
raw_nif!("shared_term_fetch_in", 2, Normal, shared_term_fetch_in);
raw_nif!(
    "shared_term_fetch_in_dirty",
    2,
    DirtyCpu,
    shared_term_fetch_in_dirty
);
raw_nif!("shared_term_take", 1, Normal, shared_term_take);
raw_nif!(
    "shared_term_take_dirty",
    1,
    DirtyCpu,
    shared_term_take_dirty
);
raw_nif!("shared_term_release", 1, Normal, shared_term_release);
raw_nif!("shared_term_info", 1, Normal, shared_term_info);
