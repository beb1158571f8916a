//! Bytes of a binary that lie outside every heap, and one counted reference to them.
use std::ffi::c_void;
use std::mem::MaybeUninit;

use rustler::sys::*;

/// A binary that no environment knows of, of which this holds one reference. Terms whose words
/// refer to it take their own as they are copied; who lets go last frees it.
pub struct Payload {
    /// Where the bytes are.
    pub data: *mut u8,
    /// What counts the references.
    pub reference: *mut c_void,
}

/// `ErlNifBinary` with its third field in sight. That this is what terms refer to is part of the
/// trial.
#[repr(C)]
struct Binary {
    size: usize,
    data: *mut u8,
    reference: *mut c_void,
    spare: [*mut c_void; 2],
}

const _: () = assert!(size_of::<Binary>() == size_of::<ErlNifBinary>());

impl Payload {
    /// `None` where the VM has no memory for it.
    pub fn copy_of(bytes: &[u8]) -> Option<Payload> {
        let mut binary = MaybeUninit::<Binary>::uninit();
        // SAFETY: `Binary` lies as `ErlNifBinary` does, and is filled in whenever the result is not
        // 0; its data has room for the size that was asked for, and is new.
        unsafe {
            if enif_alloc_binary(bytes.len(), binary.as_mut_ptr().cast()) == 0 {
                return None;
            }
            let Binary {
                data, reference, ..
            } = binary.assume_init();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            Some(Payload { data, reference })
        }
    }

    /// The reference alone, to be given to [`release`] once.
    pub fn into_reference(self) -> *mut c_void {
        let reference = self.reference;
        std::mem::forget(self);
        reference
    }

    /// The binary of this many bytes, for the interface, which takes the reference over.
    pub fn into_binary(self, size: usize) -> ErlNifBinary {
        let data = self.data;
        binary(size, data, self.into_reference())
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        // SAFETY: the reference is this one's own, and goes with it.
        unsafe { release(self.reference) }
    }
}

fn binary(size: usize, data: *mut u8, reference: *mut c_void) -> ErlNifBinary {
    let spare = [std::ptr::null_mut(); 2];
    let binary = Binary {
        size,
        data,
        reference,
        spare,
    };
    // SAFETY: both have the layout of the C structure.
    unsafe { std::mem::transmute(binary) }
}

/// Lets go of a reference. On any thread.
///
/// # Safety
/// It came from [`Payload::into_reference`], and is not used again.
pub unsafe fn release(reference: *mut c_void) {
    let mut binary = binary(0, std::ptr::null_mut(), reference);
    // SAFETY: only the reference is looked at, and it is the caller's to give back.
    unsafe { enif_release_binary(&mut binary) }
}
