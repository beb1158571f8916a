//! Values for the tests and benches of what holds terms.
#![allow(dead_code)]

pub mod tree;
pub mod witness;
