//! The algorithms of Foundation, without the BEAM.
//!
//! One module a domain, each mirrored by a file of the same name in `foundation_nif`.
#![forbid(unsafe_code)]
