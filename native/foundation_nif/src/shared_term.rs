//! Handles of shared terms.
use std::sync::Arc;

use foundation_core::measure::{self, Outcome, Size, WORD};
use foundation_core::reaper::NEVER;
use foundation_core::shared_term::{Arena, Fault, SharedTerm, State};
use rustler::sys::*;
use rustler::{Atom, Encoder, Env, NifResult, Resource, ResourceArc, Term};

use crate::arena::{TermArena, copy};
use crate::janitor::{self, KEEPER};
use crate::measure::Terms;
use crate::path::{self, NORMAL_WORK};
use crate::raw::raw_nif;
use crate::terms::atoms;

/// Bytes copied on a normal scheduler: about 100 us. What is larger is copied on a dirty one.
const NORMAL_BYTES: u64 = 256 * 1024;

/// Bytes copied straight onto the caller's heap. A copy that does not fit there is moved by a
/// collection as the call returns; a copy that comes as a message is not. That pays from about here.
const INLINE_BYTES: u64 = 16 * 1024;

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

/// The handle, or `:dirty` for what is large or holds funs, whose size no NIF call tells.
fn shared_term_new<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (ttl, most): (u64, u64) = (args[1].decode()?, args[2].decode()?);
    let mut source = Terms::new(env);
    match measure::measure(&mut source, args[0].as_c_arg(), most.min(NORMAL_BYTES)) {
        (size, Outcome::Complete) if source.apart.is_empty() => Ok(freeze(env, args[0], size, ttl)),
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

/// How a copy of this many bytes travels: `None` for straight, else the stub to call instead.
fn detour<'a>(env: Env<'a>, bytes: u64) -> Option<Term<'a>> {
    let stub = match bytes {
        bytes if bytes <= INLINE_BYTES => return None,
        bytes if bytes <= NORMAL_BYTES => atoms::send(),
        _ => atoms::dirty(),
    };
    Some(stub.encode(env))
}

fn shared_term_fetch<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        let read = || answer(env, shared.read(janitor::now(), |arena| arena.copy(env)));
        detour(env, shared.bytes()).unwrap_or_else(read)
    })
}

fn shared_term_take<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        let take = || answer(env, shared.take(janitor::now(), |arena| arena.copy(env)));
        detour(env, shared.bytes()).unwrap_or_else(take)
    })
}

fn shared_term_fetch_in<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |shared| {
        let read = shared.read(janitor::now(), |arena| part(env, arena, args[1]));
        read.unwrap_or_else(|fault| answer(env, Err(fault)))
    })
}

/// A copy of the part that the path leads to.
fn part<'a>(env: Env<'a>, arena: &TermArena, path: Term<'a>) -> Term<'a> {
    let part = match path::follow(env, arena.term(), path, NORMAL_WORK, false) {
        Ok(part) => part,
        Err(fault) => return path::refuse(env, fault),
    };
    // Only a part of a large term can be large, and only then is it measured.
    if let Some(detour) = detour(env, arena.bytes()) {
        let (_, outcome) = measure::measure(&mut Terms::new(env), part, INLINE_BYTES);
        if outcome != Outcome::Complete {
            return detour;
        }
    }
    answer(env, Ok(copy(env, part)))
}

/// Sends the caller `{reference, copy}`: of all of it (`:fetch`), of all of it with its release
/// (`:take`), or of the part that a path leads to.
fn shared_term_send<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let request = args[1].decode::<Atom>().ok();
    with(env, args[0], |shared| {
        let now = janitor::now();
        let whole = |arena: &TermArena| send_copy(env, args[2], arena.term());
        let sent = match request {
            Some(request) if request == atoms::fetch() => shared.read(now, whole),
            Some(request) if request == atoms::take() => shared.take(now, whole),
            _ => shared.read(now, |arena| send_part(env, arena, args[1], args[2])),
        };
        sent.unwrap_or_else(|fault| answer(env, Err(fault)))
    })
}

fn send_part<'a>(env: Env<'a>, arena: &TermArena, path: Term<'a>, reference: Term<'a>) -> Term<'a> {
    match path::follow(env, arena.term(), path, u64::MAX, true) {
        Ok(part) => send_copy(env, reference, part),
        Err(fault) => path::refuse(env, fault),
    }
}

/// Sends the caller `{reference, copy}`.
pub fn send_copy<'a>(env: Env<'a>, reference: Term<'a>, term: ErlNifTerm) -> Term<'a> {
    // SAFETY: the message is made in an environment of its own, which is freed once it is sent; its
    // heap travels with the message. The caller holds on to what the term lies in.
    unsafe {
        let message_env = enif_alloc_env();
        let pair = [reference.as_c_arg(), term].map(|term| enif_make_copy(message_env, term));
        let message = enif_make_tuple_from_array(message_env, pair.as_ptr(), 2);
        let pid = env.pid();
        enif_send(env.as_c_arg(), pid.as_c_arg(), message_env, message);
        enif_free_env(message_env);
    }
    // Sent in any case: only a process that is gone gets nothing, and then nobody waits.
    atoms::sent().encode(env)
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
raw_nif!("shared_term_fetch_in", 2, Normal, shared_term_fetch_in);
raw_nif!("shared_term_take", 1, Normal, shared_term_take);
raw_nif!("shared_term_send", 3, Normal, shared_term_send);
raw_nif!("shared_term_send_dirty", 3, DirtyCpu, shared_term_send);
raw_nif!("shared_term_release", 1, Normal, shared_term_release);
raw_nif!("shared_term_info", 1, Normal, shared_term_info);
