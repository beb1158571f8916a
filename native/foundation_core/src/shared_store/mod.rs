//! The parts of a store.

pub mod chunked;
pub mod links;
pub mod s3fifo;
pub mod wheel;
