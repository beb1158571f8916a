//! What happens once, when the VM loads the library.
use std::ffi::CStr;

use rustler::codegen_runtime::inventory;
use rustler::{Env, Nif, Term};

/// The version that this library was built for. `Foundation.Native.Loader` finds it by its prefix
/// in a file, to say which version that file is of before it is loaded.
#[used]
static VERSION_MARK: &str = concat!("foundation_nif_version=", env!("CARGO_PKG_VERSION"), ";");

/// Refuses to load into an application of another version: names, arities and the meaning of
/// arguments may differ.
pub fn on_load(_env: Env, load_info: Term) -> bool {
    crate::terms::learn();
    crate::image::learn();
    matches!(load_info.decode::<&str>(), Ok(env!("CARGO_PKG_VERSION")))
}

#[rustler::nif(name = "native_version")]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Name and arity of every function in this library, for the test that compares them with the stubs.
#[rustler::nif(name = "native_functions")]
fn functions() -> Vec<(String, u32)> {
    inventory::iter::<Nif>()
        .map(|nif| {
            // SAFETY: rustler's macro makes the name from a C string literal.
            let name = unsafe { CStr::from_ptr(nif.name) };
            (name.to_string_lossy().into_owned(), nif.arity)
        })
        .collect()
}
