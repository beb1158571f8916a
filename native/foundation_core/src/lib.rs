//! The algorithms of Foundation, without the BEAM.
//!
//! One module a domain, each mirrored by a file of the same name in `foundation_nif`.
#![deny(unsafe_code)]

pub mod compression;
pub mod cutoffs;
pub mod kernels;
pub mod leaks;
pub mod measure;
pub mod memory;
pub mod path;
pub mod reaper;
pub mod shared_store;
pub mod shared_term;
#[cfg(not(loom))]
mod sync;
// The models have twins of the protocols, made of the same parts.
#[cfg(loom)]
pub mod sync;
