//! What kernels find.
use super::number::Kind;
use super::{Buffer, Words};

/// A result.
#[derive(Debug)]
pub enum Value {
    /// A whole number.
    Int(i128),
    /// A hash.
    Unsigned(u128),
    /// A number, which may be infinite or none.
    Float(f64),
    /// Several, in the order they were asked for.
    Floats(Vec<f64>),
    /// Hashes, in the order of the input, in pieces.
    Hashes(Vec<Buffer<u128>>),
    /// Packed numbers.
    Packed(Packed),
    /// How often values fell where.
    Histogram(Histogram),
    /// How often words were seen.
    Words(Words),
    /// Binaries, in the order of the input, in pieces.
    Binaries(Vec<Buffer<Buffer<u8>>>),
}

impl Value {
    /// All of it, in pieces none of which takes long to free.
    pub(super) fn into_pieces(self) -> Vec<Box<dyn Send>> {
        match self {
            Value::Hashes(pieces) => boxed(pieces),
            Value::Binaries(pieces) => boxed(pieces),
            other => vec![Box::new(other)],
        }
    }
}

pub(super) fn boxed<T: Send + 'static>(pieces: Vec<T>) -> Vec<Box<dyn Send>> {
    let boxed = |piece| Box::new(piece) as Box<dyn Send>;
    pieces.into_iter().map(boxed).collect()
}

/// Packed numbers, in the books while they live.
#[derive(Debug)]
pub struct Packed {
    /// What they are.
    pub kind: Kind,
    /// The numbers, one behind the other.
    pub bytes: Buffer<u8>,
}

/// How often values fell into bins.
#[derive(Debug)]
pub struct Histogram {
    /// Of each bin.
    pub counts: Buffer<u64>,
    /// Below the first edge.
    pub below: u64,
    /// Above the last.
    pub above: u64,
    /// No numbers.
    pub nan: u64,
}
