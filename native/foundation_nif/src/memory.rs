//! The books of native memory.
use foundation_core::memory::{self, Owner};
use rustler::{Atom, Env, NifResult};

use crate::shared_store::STORES;
use crate::terms::atoms;

/// Bytes held, by owner.
#[rustler::nif(name = "memory_held")]
fn held(env: Env) -> NifResult<Vec<(Atom, u64)>> {
    memory::OWNERS
        .iter()
        .map(|(owner, name)| {
            let more = match owner {
                Owner::SharedStores => STORES.overhead(),
                _ => 0,
            };
            let name = Atom::from_bytes(env, name.as_bytes())?;
            Ok((name, memory::held(*owner) + more))
        })
        .collect()
}

/// Gives back to the system what the allocator keeps for reuse: up to 20 ms after hundreds of
/// megabytes were freed.
#[rustler::nif(name = "memory_collect", schedule = "DirtyCpu")]
fn collect() -> Atom {
    give_back();
    atoms::ok()
}

/// The same for what a normal scheduler's thread keeps: it holds that up for about a millisecond
/// for each ten megabytes that it has.
#[rustler::nif(name = "memory_collect_here")]
fn collect_here(env: Env) -> Atom {
    give_back();
    rustler::schedule::consume_timeslice(env, 100);
    atoms::ok()
}

/// The same, to be called on a dirty scheduler.
pub fn give_back() {
    // SAFETY: may be called on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
