//! The NIFs of `Foundation.Native`: decode, call core, encode. One module a domain.
#![allow(missing_docs)]

mod arena;
mod buffer;
mod compression;
mod image;
mod janitor;
mod kernels;
mod leaks;
mod load;
mod measure;
mod memory;
mod path;
mod raw;
mod shared_store;
mod shared_term;
mod terms;

rustler::init!("Elixir.Foundation.Native", load = load::on_load);

/// glibc's own puts freed blocks aside and joins them all when it next wants a large one: after a
/// million entries of a store had expired, that was 10 to 97 ms of a scheduler.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
