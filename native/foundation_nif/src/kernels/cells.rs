//! The cells of a list, read where they lie.
use std::mem::MaybeUninit;

use foundation_core::kernels::Error;
use rustler::sys::*;
use rustler::{Env, Term};

use crate::terms;

/// A list that is read from its head on.
pub struct Cells {
    env: *mut ErlNifEnv,
    known: bool,
    /// Head and tail of the first cell that is left.
    cell: Option<[ErlNifTerm; 2]>,
    rest: ErlNifTerm,
}

impl Cells {
    /// The list is of this environment, as all that is read from it.
    pub fn new(env: Env, list: Term) -> Self {
        let mut cells = Cells {
            env: env.as_c_arg(),
            known: terms::layout().known,
            cell: None,
            rest: list.as_c_arg(),
        };
        cells.open();
        cells
    }

    #[inline]
    fn open(&mut self) {
        // SAFETY: the term is alive during the call of the NIF, as the list is that it is part of.
        self.cell = unsafe {
            match self.known {
                true => terms::is_cons(self.rest).then(|| terms::cell_of(self.rest)),
                false => ask(self.env, self.rest),
            }
        };
    }

    /// The first element that is left.
    #[inline]
    pub fn head(&self) -> Option<ErlNifTerm> {
        self.cell.map(|[head, _]| head)
    }

    /// Goes on behind it.
    #[inline]
    pub fn advance(&mut self) {
        if let Some([_, tail]) = self.cell {
            self.rest = tail;
            self.open();
        }
    }

    /// What is left, after so many elements.
    pub fn rest<'a>(&self, env: Env<'a>, len: usize) -> Result<Term<'a>, Error> {
        // SAFETY: the term is of this environment.
        let rest = unsafe { Term::new(env, self.rest) };
        match self.cell.is_some() || rest.is_empty_list() {
            true => Ok(rest),
            false => Err(Error::ImproperList { len: len as u64 }),
        }
    }
}

/// # Safety
/// The term is of the environment.
unsafe fn ask(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<[ErlNifTerm; 2]> {
    let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a cell's parts are read only where there is one.
    unsafe {
        let found = enif_get_list_cell(env, term, head.as_mut_ptr(), tail.as_mut_ptr()) != 0;
        found.then(|| [head.assume_init(), tail.assume_init()])
    }
}
