//! Many entries in one call, in slices that a normal scheduler can bear.
use foundation_core::shared_store::{Condition, Found};
use rustler::{Atom, Encoder, Env, NifResult, Term};
use smallvec::SmallVec;

use super::record::{Record, View};
use super::write::{put_record, record};
use super::{Handle, with};
use crate::arena::copy;
use crate::path;
use crate::raw::raw_nif;
use crate::terms::{atoms, tuple};

/// Keys of a slice: about 50 us where they are small.
const SLICE: usize = 128;

/// Bytes that a slice copies.
const SLICE_BYTES: u64 = 128 * 1024;

/// A per cent of a time slice is this many keys.
const KEYS_PER_PERCENT: usize = 32;

type Terms<'a> = SmallVec<[Term<'a>; SLICE]>;

/// Counts what a slice may still do.
struct Budget {
    keys: usize,
    bytes: u64,
}

impl Budget {
    fn new() -> Self {
        Budget { keys: 0, bytes: 0 }
    }

    fn spend(&mut self, bytes: u64) {
        self.keys += 1;
        self.bytes += bytes;
    }

    fn is_spent(&self) -> bool {
        self.keys >= SLICE || self.bytes >= SLICE_BYTES
    }

    /// Tells the VM what time it took.
    fn report(&self, env: Env) {
        let percent = self.keys / KEYS_PER_PERCENT + (self.bytes / (24 * 1024)) as usize;
        if percent > 0 {
            rustler::schedule::consume_timeslice(env, percent.min(100) as i32);
        }
    }
}

/// The list's head, and what is behind it; at its end, proper or not, nothing.
fn next<'a>(list: Term<'a>) -> Option<(Term<'a>, Term<'a>)> {
    list.list_get_cell().ok()
}

/// `{:ok, []}`, or the rest and why its first was not put; `:invalid` where that is no pair. What is
/// no list is the rest of one. Behind what was put, `{:over, number}`.
fn put_many<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let (mut rest, mut budget) = (args[1], Budget::new());
        while let Some((pair, behind)) = next(rest) {
            if budget.is_spent() {
                budget.report(env);
                return Ok((rest, atoms::more()).encode(env));
            }
            let Ok((key, value)) = pair.decode::<(Term, Term)>() else {
                return Ok((rest, atoms::invalid()).encode(env));
            };
            let answer = put_one(env, handle, key, value, args[2], &mut budget)?;
            if atoms::ok() != answer {
                let is_put = answer.decode::<(Atom, usize)>().is_ok();
                let rest = if is_put { behind } else { rest };
                return Ok((rest, answer).encode(env));
            }
            rest = behind;
        }
        budget.report(env);
        Ok(if rest.is_empty_list() {
            (atoms::ok(), rest).encode(env)
        } else {
            (rest, atoms::invalid()).encode(env)
        })
    })
}

fn put_one<'a>(
    env: Env<'a>,
    handle: &Handle,
    key: Term<'a>,
    value: Term<'a>,
    ttl: Term<'a>,
    budget: &mut Budget,
) -> NifResult<Term<'a>> {
    let Some(found) = handle.key(env, key, false) else {
        return Ok(atoms::dirty().encode(env));
    };
    match record(env, handle, key, value) {
        Ok(record) => {
            budget.spend(foundation_core::shared_store::Entry::bytes(&record));
            put_record(env, handle, &found, record, (ttl, Condition::Always))
        }
        Err(instead) => Ok(instead),
    }
}

/// `{pairs found, rest, :more | :large}`; `:large` where the rest begins with what is.
fn fetch_many<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let (mut rest, mut budget, mut pairs) = (args[1], Budget::new(), Terms::new());
        let mut reason = atoms::more();
        while let Some((term, behind)) = next(rest) {
            if budget.is_spent() {
                break;
            }
            let Some(key) = handle.key(env, term, false) else {
                reason = atoms::large();
                break;
            };
            match handle
                .store
                .read(&key, |found| value(env, found, &mut budget))
            {
                Some(Some(value)) => pairs.push(tuple(env, [term, value])),
                Some(None) => {
                    reason = atoms::large();
                    break;
                }
                None => budget.spend(0),
            }
            rest = behind;
        }
        budget.report(env);
        Ok((pairs.as_slice(), rest, reason).encode(env))
    })
}

/// A small value.
fn value<'a>(env: Env<'a>, found: Found<Record>, budget: &mut Budget) -> Option<Term<'a>> {
    found.entry.view(|view| match view {
        View::Small(image) => {
            budget.spend(image.bytes());
            Some(copy(env, image.value()))
        }
        View::Large(_) => None,
    })
}

/// The keys that are left.
fn delete_many<'a, const DIRTY: bool>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with(env, args[0], |handle| {
        let (mut rest, mut budget) = (args[1], Budget::new());
        while let Some((term, behind)) = next(rest) {
            if budget.is_spent() {
                break;
            }
            let Some(key) = handle.key(env, term, DIRTY) else {
                return Ok(if budget.keys == 0 {
                    atoms::dirty().encode(env)
                } else {
                    rest
                });
            };
            drop(handle.store.take(&key));
            budget.spend(0);
            rest = behind;
        }
        budget.report(env);
        Ok(rest)
    })
}

/// `{items, next cursor | :done}`.
fn scan<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (cursor, limit): (u64, usize) = (args[1].decode()?, args[3].decode()?);
    let what = args[2];
    with(env, args[0], |handle| {
        let (mut items, mut budget) = (Terms::new(), Budget::new());
        let limit = limit.clamp(1, SLICE);
        let spent = std::cell::Cell::new(false);
        let visit = |found: Found<Record>| {
            items.extend(item(env, found, what, &mut budget));
            spent.set(budget.is_spent() || budget.keys >= limit);
        };
        let next = handle.store.scan(cursor, visit, || spent.get());
        budget.report(env);
        let next = next.map_or(atoms::done().encode(env), |next| next.encode(env));
        Ok((items.as_slice(), next).encode(env))
    })
}

/// What the iteration gives of an entry: nothing where the path leads nowhere, `{key}` where the value
/// is to be fetched singly, which no pair of a key and a value looks like.
fn item<'a>(
    env: Env<'a>,
    found: Found<Record>,
    what: Term<'a>,
    budget: &mut Budget,
) -> Option<Term<'a>> {
    found.entry.view(|view| {
        let (key, value) = match view {
            View::Small(image) => {
                budget.spend(image.bytes());
                (copy(env, image.key()), Some(image.value()))
            }
            View::Large(frozen) => {
                budget.spend(1024);
                (copy(env, frozen.key()), None)
            }
        };
        if atoms::keys() == what {
            return Some(key);
        }
        let Some(value) = value else {
            return Some(tuple(env, [key]));
        };
        let part = if atoms::entries() == what {
            Some(value)
        } else {
            path::follow_small(env, value, what).ok()
        };
        part.map(|part| tuple(env, [key, copy(env, part)]))
    })
}

raw_nif!("shared_store_put_many", 3, Normal, put_many);
raw_nif!("shared_store_fetch_many", 2, Normal, fetch_many);
raw_nif!("shared_store_delete_many", 2, Normal, delete_many::<false>);
raw_nif!(
    "shared_store_delete_many_dirty",
    2,
    DirtyCpu,
    delete_many::<true>
);
raw_nif!("shared_store_scan", 4, Normal, scan);
