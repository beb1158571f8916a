//! Memory of the VM's that core writes results into, and that becomes a binary without a copy.
use std::mem::MaybeUninit;

use foundation_core::compression::Buffer;
use rustler::{Env, NewBinary, OwnedBinary, Term, sys};

/// Binaries up to this size live on the heap of the process.
const HEAP_BINARY: usize = 64;

/// A growing binary. Bytes that `resize` adds hold whatever the VM's allocator left in them; core
/// writes all that it leaves in the result.
#[derive(Default)]
pub struct VmBuffer(Option<OwnedBinary>);

impl VmBuffer {
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |binary| binary.as_slice())
    }

    /// The binary as a term: the memory itself, or where it is small, a copy on the heap.
    pub fn into_term(self, env: Env) -> Term {
        match self.0 {
            Some(binary) if binary.len() > HEAP_BINARY => binary.release(env).to_term(env),
            _ => NewBinary::from_slice(env, self.as_slice()).into(),
        }
    }
}

impl From<OwnedBinary> for VmBuffer {
    fn from(binary: OwnedBinary) -> Self {
        VmBuffer(Some(binary))
    }
}

impl Buffer for VmBuffer {
    fn bytes(&mut self) -> &mut [u8] {
        self.0
            .as_mut()
            .map_or(&mut [], |binary| binary.as_mut_slice())
    }

    fn resize(&mut self, len: usize) -> bool {
        match &mut self.0 {
            Some(binary) => binary.len() == len || binary.realloc(len),
            None => {
                self.0 = allocate(len);
                self.0.is_some()
            }
        }
    }
}

/// `OwnedBinary::new` ends the VM where there is no memory; this says so instead.
fn allocate(size: usize) -> Option<OwnedBinary> {
    let mut binary = MaybeUninit::uninit();
    // SAFETY: the function fills in the whole structure whenever it does not return 0.
    unsafe {
        (sys::enif_alloc_binary(size, binary.as_mut_ptr()) != 0)
            .then(|| OwnedBinary::from_raw(binary.assume_init()))
    }
}
