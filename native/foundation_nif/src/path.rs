//! Terms of the VM as values that a path leads through.
use std::mem::MaybeUninit;

use foundation_core::path::{self, Fault, Kind, Reader};
use rustler::sys::*;
use rustler::{Encoder, Env, NifResult, Term};

use crate::measure::is_within;
use crate::raw::raw_nif;
use crate::terms::atoms;

/// Steps and list cells that a normal scheduler passes: about 5 us.
pub const NORMAL_WORK: u64 = 1024;

/// Bytes of a step that a normal scheduler looks for among the keys of a map: hashing it neither ends
/// early nor counts as work. Twice what a block of a store holds.
const STEP_BYTES: u64 = 16 * 1024;

/// The same on a dirty scheduler: a term that shares its parts over and over has no end for a hash.
const LARGEST_STEP_BYTES: u64 = 64 * 1024 * 1024;

/// Reads terms through the interface, whichever environment they lie in.
struct Terms<'e> {
    env: Env<'e>,
    /// Bytes of a step.
    most: u64,
}

impl<'a> Reader<'a> for Terms<'_> {
    type Term = ErlNifTerm;

    // SAFETY, for all of these: the caller holds on to the terms, and each value is read only
    // where the call said that it was filled.
    fn kind(&self, term: ErlNifTerm) -> Kind<'a, ErlNifTerm> {
        let (mut arity, mut elements) = (0, std::ptr::null());
        // SAFETY: as above.
        unsafe {
            if enif_is_map(self.env.as_c_arg(), term) != 0 {
                Kind::Map
            } else if enif_is_list(self.env.as_c_arg(), term) != 0 {
                Kind::List
            } else if enif_get_tuple(self.env.as_c_arg(), term, &mut arity, &mut elements) == 0 {
                Kind::Other
            } else if arity == 0 {
                Kind::Tuple(&[])
            } else {
                Kind::Tuple(std::slice::from_raw_parts(elements, arity as usize))
            }
        }
    }

    fn is_large(&self, step: ErlNifTerm) -> bool {
        !is_within(self.env, step, self.most, self.most == LARGEST_STEP_BYTES)
    }

    fn value(&self, map: ErlNifTerm, key: ErlNifTerm) -> Option<ErlNifTerm> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: as above.
        unsafe {
            let found = enif_get_map_value(self.env.as_c_arg(), map, key, value.as_mut_ptr()) != 0;
            found.then(|| value.assume_init())
        }
    }

    fn cell(&self, list: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
        let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: as above.
        unsafe {
            let found = enif_get_list_cell(
                self.env.as_c_arg(),
                list,
                head.as_mut_ptr(),
                tail.as_mut_ptr(),
            ) != 0;
            found.then(|| (head.assume_init(), tail.assume_init()))
        }
    }

    fn is_nil(&self, term: ErlNifTerm) -> bool {
        // SAFETY: as above.
        unsafe { enif_is_empty_list(self.env.as_c_arg(), term) != 0 }
    }

    fn position(&self, step: ErlNifTerm) -> Option<i64> {
        let mut position = 0;
        // SAFETY: as above.
        unsafe {
            match enif_get_int64(self.env.as_c_arg(), step, &mut position) {
                0 if enif_is_number(self.env.as_c_arg(), step) != 0 => self.beyond(step),
                0 => None,
                _ => Some(position),
            }
        }
    }

    fn is_key(&self, step: ErlNifTerm) -> bool {
        // SAFETY: as above.
        unsafe { enif_is_atom(self.env.as_c_arg(), step) != 0 }
    }

    fn same_key(&self, left: ErlNifTerm, right: ErlNifTerm) -> bool {
        // Atoms are the same where their words are.
        left == right
    }
}

impl Terms<'_> {
    /// An integer that no list or tuple reaches is a position all the same.
    fn beyond(&self, step: ErlNifTerm) -> Option<i64> {
        // SAFETY: the caller holds on to the term.
        let kind = unsafe { enif_term_type(self.env.as_c_arg(), step) };
        matches!(kind, ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER).then_some(i64::MAX)
    }
}

/// Follows a path; the part lies where `term` does. Steps that are large are [`Fault::Long`] but on
/// a dirty scheduler.
pub fn follow(
    env: Env,
    term: ErlNifTerm,
    path: Term,
    work: u64,
    dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let most = if dirty {
        LARGEST_STEP_BYTES
    } else {
        STEP_BYTES
    };
    match path::follow(&Terms { env, most }, term, path.as_c_arg(), work) {
        Err(Fault::Large { .. }) if !dirty => Err(Fault::Long),
        found => found,
    }
}

/// Follows a path in a block of a store, which has no key of [`STEP_BYTES`] and no fun.
pub fn follow_small(env: Env, term: ErlNifTerm, path: Term) -> Result<ErlNifTerm, Fault> {
    let most = STEP_BYTES;
    path::follow(&Terms { env, most }, term, path.as_c_arg(), u64::MAX)
}

/// `{:error, {reason, message, context}}` for a path that leads nowhere; `:dirty` and `:improper`
/// tell the caller what to do instead.
pub fn refuse<'a>(env: Env<'a>, fault: Fault) -> Term<'a> {
    match fault {
        Fault::Long => atoms::dirty().encode(env),
        Fault::Improper => atoms::improper().encode(env),
        fault => {
            let context = Term::map_from_pairs(env, &[(atoms::at(), fault.at().unwrap_or(0))]);
            let context = context.unwrap_or_else(|_| Term::map_new(env));
            let reason = (atoms::path_not_found(), fault.to_string(), context);
            (atoms::error(), reason).encode(env)
        }
    }
}

fn fetch<'a>(env: Env<'a>, args: &[Term<'a>], work: u64, dirty: bool) -> NifResult<Term<'a>> {
    Ok(
        match follow(env, args[0].as_c_arg(), args[1], work, dirty) {
            // SAFETY: the part is a term of the caller's own.
            Ok(part) => (atoms::ok(), unsafe { Term::new(env, part) }).encode(env),
            Err(fault) => refuse(env, fault),
        },
    )
}

fn path_fetch<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, NORMAL_WORK, false)
}

fn path_fetch_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, u64::MAX, true)
}

raw_nif!("path_fetch", 2, Normal, path_fetch);
raw_nif!("path_fetch_dirty", 2, DirtyCpu, path_fetch_dirty);
