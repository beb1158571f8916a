//! What kernels work on.
use super::Error;
use super::number::{Kind, Number};

/// Packed numbers.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

impl<'a> Numbers<'a> {
    /// Numbers of a kind, one behind the other.
    pub fn new(kind: Kind, bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len().is_multiple_of(kind.size()) {
            Ok(Numbers { kind, bytes })
        } else {
            Err(Error::Unaligned {
                bytes: bytes.len(),
                kind: kind.name(),
                size: kind.size(),
            })
        }
    }

    /// What they are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// An input. Ranges of it count numbers, bytes or binaries.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Numbers.
    Packed(Numbers<'a>),
    /// One binary.
    Bytes(&'a [u8]),
    /// Many.
    Many(&'a [&'a [u8]]),
}

impl<'a> Input<'a> {
    /// How many numbers, bytes or binaries there are.
    pub fn len(&self) -> usize {
        match self {
            Input::Packed(numbers) => numbers.len(),
            Input::Bytes(bytes) => bytes.len(),
            Input::Many(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of its numbers.
    pub(super) fn kind(&self) -> Result<Kind, Error> {
        match self {
            Input::Packed(numbers) => Ok(numbers.kind),
            _ => Err(Error::Mismatch),
        }
    }

    /// Its numbers, where they are such.
    pub(super) fn packed<T: Number>(&self) -> Result<&'a [u8], Error> {
        match self {
            Input::Packed(numbers) if numbers.kind == T::KIND => Ok(numbers.bytes),
            _ => Err(Error::Mismatch),
        }
    }

    /// Its binaries one by one; a single one is the first.
    pub(super) fn item(&self, at: usize) -> Result<&'a [u8], Error> {
        match self {
            Input::Bytes(bytes) if at == 0 => Ok(bytes),
            Input::Many(items) => items.get(at).copied().ok_or(Error::Mismatch),
            _ => Err(Error::Mismatch),
        }
    }
}

/// What a kernel works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Packed numbers.
    Numbers,
    /// One binary or many.
    Bytes,
    /// Many binaries.
    Many,
}

impl Takes {
    /// Whether it works on this.
    pub fn accepts(self, input: &Input) -> bool {
        match input {
            Input::Packed(_) => self == Takes::Numbers,
            Input::Bytes(_) => self == Takes::Bytes,
            Input::Many(_) => self != Takes::Numbers,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Takes::Numbers => "numbers",
            Takes::Bytes => "a binary or a list of binaries",
            Takes::Many => "a list of binaries",
        }
    }
}
