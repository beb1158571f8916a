//! The books of native memory.
use foundation_core::memory::{self, Owner};
use rustler::{Atom, Env, NifResult};

use crate::shared_store::STORES;

/// Bytes held, by owner.
#[rustler::nif(name = "memory_held")]
fn held(env: Env) -> NifResult<Vec<(Atom, u64)>> {
    memory::OWNERS
        .iter()
        .map(|(owner, name)| {
            let more = match owner {
                Owner::SharedStores => STORES.overhead(),
                Owner::SharedTerms => 0,
            };
            let name = Atom::from_bytes(env, name.as_bytes())?;
            Ok((name, memory::held(*owner) + more))
        })
        .collect()
}
