//! The books of native memory.
use foundation_core::memory;
use rustler::{Atom, Env, NifResult};

/// Bytes held, by owner.
#[rustler::nif(name = "memory_held")]
fn held(env: Env) -> NifResult<Vec<(Atom, u64)>> {
    memory::OWNERS
        .iter()
        .map(|(owner, name)| {
            Ok((
                Atom::from_bytes(env, name.as_bytes())?,
                memory::held(*owner),
            ))
        })
        .collect()
}
