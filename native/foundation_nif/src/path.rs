//! Terms of the VM as values that a path leads through.
use std::mem::MaybeUninit;

use foundation_core::path::{self, Fault, Kind, Reader};
use rustler::sys::*;
use rustler::{Encoder, Env, NifResult, Term};

use crate::raw::raw_nif;
use crate::terms::atoms;

/// Steps and list cells that a normal scheduler passes: about 5 us.
pub const NORMAL_WORK: u64 = 1024;

/// Reads terms through the interface, whichever environment they lie in.
pub struct Terms(pub *mut ErlNifEnv);

impl<'a> Reader<'a> for Terms {
    type Term = ErlNifTerm;

    // SAFETY, for all of these: the caller holds on to the terms, and each value is read only
    // where the call said that it was filled.
    fn kind(&self, term: ErlNifTerm) -> Kind<'a, ErlNifTerm> {
        let (mut arity, mut elements) = (0, std::ptr::null());
        // SAFETY: as above.
        unsafe {
            if enif_is_map(self.0, term) != 0 {
                Kind::Map
            } else if enif_is_list(self.0, term) != 0 {
                Kind::List
            } else if enif_get_tuple(self.0, term, &mut arity, &mut elements) == 0 {
                Kind::Other
            } else if arity == 0 {
                Kind::Tuple(&[])
            } else {
                Kind::Tuple(std::slice::from_raw_parts(elements, arity as usize))
            }
        }
    }

    fn value(&self, map: ErlNifTerm, key: ErlNifTerm) -> Option<ErlNifTerm> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: as above.
        unsafe {
            let found = enif_get_map_value(self.0, map, key, value.as_mut_ptr()) != 0;
            found.then(|| value.assume_init())
        }
    }

    fn cell(&self, list: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
        let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: as above.
        unsafe {
            let found = enif_get_list_cell(self.0, list, head.as_mut_ptr(), tail.as_mut_ptr()) != 0;
            found.then(|| (head.assume_init(), tail.assume_init()))
        }
    }

    fn is_nil(&self, term: ErlNifTerm) -> bool {
        // SAFETY: as above.
        unsafe { enif_is_empty_list(self.0, term) != 0 }
    }

    fn position(&self, step: ErlNifTerm) -> Option<i64> {
        let mut position = 0;
        // SAFETY: as above.
        unsafe {
            match enif_get_int64(self.0, step, &mut position) {
                0 if enif_is_number(self.0, step) != 0 => self.beyond(step),
                0 => None,
                _ => Some(position),
            }
        }
    }

    fn is_key(&self, step: ErlNifTerm) -> bool {
        // SAFETY: as above.
        unsafe { enif_is_atom(self.0, step) != 0 }
    }

    fn same_key(&self, left: ErlNifTerm, right: ErlNifTerm) -> bool {
        // Atoms are the same where their words are.
        left == right
    }
}

impl Terms {
    /// An integer that no list or tuple reaches is a position all the same.
    fn beyond(&self, step: ErlNifTerm) -> Option<i64> {
        // SAFETY: the caller holds on to the term.
        let kind = unsafe { enif_term_type(self.0, step) };
        matches!(kind, ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER).then_some(i64::MAX)
    }
}

/// Follows a path; the part lies where `term` does.
pub fn follow(env: Env, term: ErlNifTerm, path: Term, work: u64) -> Result<ErlNifTerm, Fault> {
    path::follow(&Terms(env.as_c_arg()), term, path.as_c_arg(), work)
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

fn fetch<'a>(env: Env<'a>, args: &[Term<'a>], work: u64) -> NifResult<Term<'a>> {
    Ok(match follow(env, args[0].as_c_arg(), args[1], work) {
        // SAFETY: the part is a term of the caller's own.
        Ok(part) => (atoms::ok(), unsafe { Term::new(env, part) }).encode(env),
        Err(fault) => refuse(env, fault),
    })
}

fn path_fetch<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, NORMAL_WORK)
}

fn path_fetch_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    fetch(env, args, u64::MAX)
}

raw_nif!("path_fetch", 2, Normal, path_fetch);
raw_nif!("path_fetch_dirty", 2, DirtyCpu, path_fetch_dirty);
