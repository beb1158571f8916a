//! Binaries, referred to from environments of a job's own: their bytes stay where they are as long
//! as these live, whatever becomes of the terms that they were given as.
use std::mem::MaybeUninit;

use foundation_core::kernels::{Error, Gather, Input, Kind, Numbers};
use foundation_core::memory::{Charge, Owner};
use rustler::sys::*;
use rustler::{Env, Term};
use smallvec::SmallVec;

use super::cells::Cells;
use crate::terms::{self, Binaries, bits, word};

/// What an environment takes, with the first fragment of its heap.
const ENV_BYTES: u64 = 2464;

/// What a reference takes there: up to eleven words and its place in a tuple.
const REFERENCE_BYTES: u64 = 96;

/// Binaries of one environment, so that freeing one takes under a millisecond.
const MOST: usize = 4096;

/// Binaries between two looks at the clock: about 20 microseconds.
const BLOCK: usize = 128;

/// As many bytes of binaries that have to be copied.
const COPIED: usize = 64 * 1024;

/// An environment of a job's own.
pub struct Own(*mut ErlNifEnv);

// SAFETY: an environment is written only through `&mut`, by whoever feeds the job.
unsafe impl Send for Own {}
// SAFETY: as above; what is read are bytes outside of it, or in fragments that do not move.
unsafe impl Sync for Own {}

impl Own {
    fn new() -> Self {
        // SAFETY: may be called on any thread.
        Own(unsafe { enif_alloc_env() })
    }

    /// Copies the reference, or what is small.
    fn refer(&mut self, term: ErlNifTerm) -> ErlNifTerm {
        // SAFETY: the term is alive, and nobody else writes to this environment.
        unsafe { enif_make_copy(self.0, term) }
    }

    /// The bytes of a binary of this environment.
    ///
    /// # Safety
    /// They are not used once the environment is freed.
    unsafe fn bytes(&mut self, term: ErlNifTerm) -> Option<&'static [u8]> {
        // SAFETY: the environment is ours, and the bytes stay as long as it does.
        unsafe { inspect(self.0, term) }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: nobody else has the environment.
        unsafe { enif_free_env(self.0) }
    }
}

/// The bytes of a binary. One that does not begin on a byte the interface copies.
///
/// # Safety
/// The term is of the environment, which outlives the use of the bytes.
unsafe fn inspect(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<&'static [u8]> {
    let mut binary = MaybeUninit::uninit();
    // SAFETY: the structure is filled in unless 0 is returned.
    unsafe {
        if enif_inspect_binary(env, term, binary.as_mut_ptr()) == 0 {
            return None;
        }
        let binary = binary.assume_init();
        Some(match binary.size {
            0 => &[],
            size => std::slice::from_raw_parts(binary.data, size),
        })
    }
}

/// The bytes of a binary that the caller of the NIF has; `None` for what is none.
pub fn bytes_of<'a>(term: Term<'a>) -> Option<&'a [u8]> {
    // SAFETY: the term is alive as long as its environment.
    unsafe { inspect(term.get_env().as_c_arg(), term.as_c_arg()) }
}

/// How many bytes have to be copied to read a binary, because it does not begin on a byte, as far
/// as the layout of terms is known.
pub fn shifted(term: ErlNifTerm) -> usize {
    if bits(term) & 3 != 2 {
        return 0;
    }
    // SAFETY: a word is read where the header is that of a part of a binary, which has that many.
    unsafe {
        match terms::layout().binaries {
            // Size, offset, and in one word the bits that it ends and begins with.
            Binaries::Parts { part, .. } if word(term, 0) == part => {
                let begins = (word(term, 3) >> 8) & 0xFF;
                if begins == 0 { 0 } else { word(term, 1) }
            }
            Binaries::Ranges { range, .. } if word(term, 0) == range => {
                let (from, to) = (word(term, 2), word(term, 3));
                if from & 7 == 0 {
                    0
                } else {
                    to.wrapping_sub(from) / 8
                }
            }
            _ => 0,
        }
    }
}

/// One binary.
pub struct One {
    own: Own,
    term: ErlNifTerm,
    kind: Option<Kind>,
    bytes: Option<&'static [u8]>,
    charge: Charge,
}

// SAFETY: the term is used only beside the environment that it is of.
unsafe impl Send for One {}
// SAFETY: as above.
unsafe impl Sync for One {}

impl One {
    /// The binary, of numbers where there is a kind. What has to be copied to be read is not read
    /// yet.
    pub fn new(term: Term, kind: Option<Kind>) -> Result<Self, Error> {
        let mut own = Own::new();
        let mut one = One {
            term: own.refer(term.as_c_arg()),
            own,
            kind,
            bytes: None,
            charge: Charge::new(Owner::Kernels, ENV_BYTES),
        };
        if shifted(term.as_c_arg()) == 0 {
            one.read()?;
        }
        Ok(one)
    }

    /// Finds its bytes.
    pub fn read(&mut self) -> Result<(), Error> {
        if self.bytes.is_none() {
            self.charge.set(ENV_BYTES + shifted(self.term) as u64);
            // SAFETY: the bytes live in this, beside their environment, and leave it only as
            // borrowed.
            self.bytes = unsafe { self.own.bytes(self.term) };
        }
        if let (Some(kind), Some(bytes)) = (self.kind, self.bytes) {
            Numbers::new(kind, bytes)?;
        }
        Ok(())
    }

    pub fn input(&self) -> Option<Input<'_>> {
        let bytes = self.bytes?;
        match self.kind {
            None => Some(Input::Bytes(bytes)),
            Some(kind) => Numbers::new(kind, bytes).ok().map(Input::Packed),
        }
    }
}

/// Binaries of a list.
pub struct Many {
    envs: Vec<Own>,
    /// In the last environment.
    count: usize,
    items: Gather<&'static [u8]>,
    charge: Charge,
}

impl Many {
    pub fn new() -> Result<Self, Error> {
        Ok(Many {
            envs: Vec::new(),
            count: MOST,
            items: Gather::new()?,
            charge: Charge::new(Owner::Kernels, 0),
        })
    }

    pub fn gather(&mut self) -> &mut Gather<&'static [u8]> {
        &mut self.items
    }

    /// Reads on until the list ends or `more` says so; what is left of it.
    pub fn read<'a>(
        &mut self,
        env: Env<'a>,
        list: Term<'a>,
        more: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Term<'a>, Error> {
        let mut cells = Cells::new(env, list);
        while cells.head().is_some() {
            let (mut block, mut copied) = (SmallVec::<[ErlNifTerm; BLOCK]>::new(), 0);
            while block.len() < BLOCK
                && copied < COPIED
                && let Some(head) = cells.head()
            {
                // SAFETY: the term is of this environment.
                if unsafe { enif_is_binary(env.as_c_arg(), head) } == 0 {
                    return Err(invalid(self.items.len() + block.len()));
                }
                copied += shifted(head);
                block.push(head);
                cells.advance();
            }
            self.refer(env, &block, copied)?;
            if !more(self.items.len()) {
                break;
            }
        }
        cells.rest(env, self.items.len())
    }

    /// Refers to binaries: all of them as one tuple, which takes one fragment of a heap.
    fn refer(&mut self, env: Env, block: &[ErlNifTerm], copied: usize) -> Result<(), Error> {
        let bytes = REFERENCE_BYTES * block.len() as u64 + copied as u64;
        self.charge.set(self.charge.bytes() + bytes);
        if self.count >= MOST {
            self.charge.set(self.charge.bytes() + ENV_BYTES);
            self.envs.push(Own::new());
            self.count = 0;
        }
        self.count += block.len();
        let own = self.envs.last_mut().ok_or(Error::Mismatch)?;
        let (mut arity, mut elements) = (0, std::ptr::null());
        let mut found = [&[][..]; BLOCK];
        // SAFETY: the terms are alive, in an environment that is this call's own; the copy has as
        // many elements as there were terms. Their bytes live in this, beside their environment,
        // and leave it only as borrowed.
        unsafe {
            let tuple =
                enif_make_tuple_from_array(env.as_c_arg(), block.as_ptr(), block.len() as u32);
            let tuple = own.refer(tuple);
            enif_get_tuple(own.0, tuple, &mut arity, &mut elements);
            if arity.unsigned_abs() as usize != block.len() {
                return Err(Error::Mismatch);
            }
            for (at, place) in found[..block.len()].iter_mut().enumerate() {
                *place = own.bytes(*elements.add(at)).ok_or(Error::Mismatch)?;
            }
        }
        self.items.add(&found[..block.len()])
    }

    pub fn input(&self) -> Option<Input<'_>> {
        self.items.items().map(Input::Many)
    }

    /// The environments and what was read of them, in pieces to be freed one by one.
    pub fn into_pieces(self) -> impl Iterator<Item = Box<dyn Send>> {
        let envs = self.envs.into_iter().map(|own| Box::new(own) as _);
        let items = self.items.into_pieces().map(|piece| Box::new(piece) as _);
        items.chain(envs).chain([Box::new(self.charge) as _])
    }
}

/// The fault of an element.
pub fn invalid(index: usize) -> Error {
    Error::InvalidElement {
        index: index as u64,
        expected: "a binary",
    }
}
