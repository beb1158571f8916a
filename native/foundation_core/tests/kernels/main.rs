//! Every kernel against a plain model: in slices of any length, over ranges that are joined, at any
//! alignment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bytes;
mod compress;
mod faults;
mod gather;
mod histogram;
mod job;
mod numbers;
mod order;
mod quantiles;
mod run;
mod words;
