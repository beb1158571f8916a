//! Every order of events of the protocols that are made of our own atomics: the state of a shared
//! term, the end and the limits of a store, and the wake-ups of the reaper. Run by `ci/loom.sh`.
//!
//! Each model also runs on a twin with one step misplaced, and must fail there.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

#[path = "loom/reaper.rs"]
mod reaper;
#[path = "loom/shared_store.rs"]
mod shared_store;
#[path = "loom/shared_term.rs"]
mod shared_term;
