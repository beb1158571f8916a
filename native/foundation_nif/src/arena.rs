//! A term frozen outside every process, to be copied from by any.
use foundation_core::measure::Size;
use foundation_core::shared_term::Arena;
use rustler::sys::*;
use rustler::{Env, Term};

/// What an environment takes before it holds a term (OTP 25), with its first heap fragment.
const ENV_BYTES: u64 = 864;
const LEAST_FRAGMENT: u64 = 1600;

/// An environment of its own, one term in it, never written again.
pub struct TermArena {
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    size: Size,
}

// SAFETY: nothing writes to the environment once it is made, and copying out of it only reads: the
// copy in it holds no binary that can still be appended to.
unsafe impl Send for TermArena {}
// SAFETY: as above.
unsafe impl Sync for TermArena {}

impl TermArena {
    /// Copies a term, whose size is known, into an environment of its own.
    pub fn freeze(term: Term, size: Size) -> Self {
        // SAFETY: the environment is new, and the term is alive during this call.
        unsafe {
            let env = enif_alloc_env();
            TermArena {
                env,
                term: enif_make_copy(env, term.as_c_arg()),
                size,
            }
        }
    }

    /// The frozen term itself, to be read and not to be kept.
    pub fn term(&self) -> ErlNifTerm {
        self.term
    }

    /// The two elements of a frozen pair.
    pub fn pair(&self) -> [ErlNifTerm; 2] {
        let (mut arity, mut elements) = (0, std::ptr::null());
        // SAFETY: the interface only asks, and fills in the elements of what is a tuple.
        let found = unsafe { enif_get_tuple(self.env, self.term, &mut arity, &mut elements) };
        assert!(found != 0 && arity == 2, "the frozen term is no pair");
        // SAFETY: there are two of them, which lie in the environment.
        unsafe { [*elements, *elements.add(1)] }
    }

    /// A copy of all of it.
    pub fn copy<'a>(&self, env: Env<'a>) -> Term<'a> {
        copy(env, self.term)
    }
}

/// A copy of a term that lies elsewhere.
pub fn copy(env: Env<'_>, term: ErlNifTerm) -> Term<'_> {
    // SAFETY: the caller holds on to what the term lies in; the copy is of the environment.
    unsafe { Term::new(env, enif_make_copy(env.as_c_arg(), term)) }
}

impl Arena for TermArena {
    fn bytes(&self) -> u64 {
        ENV_BYTES + self.size.heap_bytes().max(LEAST_FRAGMENT)
    }

    fn weight(&self) -> u64 {
        self.bytes() + self.size.binary_bytes
    }
}

impl Drop for TermArena {
    fn drop(&mut self) {
        // SAFETY: nobody else has the environment, and nobody reads from it any more.
        unsafe { enif_free_env(self.env) }
    }
}
