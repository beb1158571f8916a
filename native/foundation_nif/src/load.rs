//! What happens once, when the VM loads the library.
use rustler::{Env, Term};

/// The version that this library was built for. `Foundation.Native.Loader` finds it by its prefix
/// in a file that it cannot load, to say which version that file is of.
#[used]
static VERSION_MARK: &str = concat!("foundation_nif_version=", env!("CARGO_PKG_VERSION"), ";");

/// Refuses to load into an application of another version: names, arities and the meaning of
/// arguments may differ.
pub fn on_load(_env: Env, load_info: Term) -> bool {
    crate::terms::learn();
    matches!(load_info.decode::<&str>(), Ok(env!("CARGO_PKG_VERSION")))
}

#[rustler::nif(name = "native_version")]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
