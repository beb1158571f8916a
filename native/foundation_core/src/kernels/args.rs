//! The arguments of kernels, by name. A kernel takes those that it knows; what is left is an error.
use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Error;

/// What a kernel makes of arguments before it is shared out: its parts have it in common.
#[derive(Clone)]
pub struct Ready(Arc<dyn Any + Send + Sync>);

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Ready")
    }
}

/// A value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// Several numbers.
    Floats(Vec<f64>),
    /// A binary.
    Bytes(Vec<u8>),
    /// A switch.
    Bool(bool),
    /// An atom.
    Word(String),
    /// What the kernel has made of it.
    Ready(Ready),
}

/// Arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    list: Vec<(String, Arg)>,
    /// Whether the kernel has made of them what its parts have in common.
    pub(super) prepared: bool,
}

impl Args {
    /// None.
    pub fn new() -> Self {
        Args::default()
    }

    /// These and one more. Of several of one name the first counts, as in a keyword list.
    pub fn with(mut self, name: &str, arg: Arg) -> Self {
        self.push(name, arg);
        self
    }

    /// Adds one.
    pub fn push(&mut self, name: &str, arg: Arg) {
        if !self.list.iter().any(|(known, _)| known == name) {
            self.list.push((name.to_owned(), arg));
        }
    }

    /// Bytes that they hold, beside those of a few words.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.list.iter().map(|(_, arg)| match arg {
            Arg::Floats(floats) => size_of_val(&floats[..]),
            Arg::Bytes(bytes) => bytes.len(),
            _ => 0,
        });
        bytes.sum::<usize>() as u64
    }

    /// Keeps what was made of an argument, or of several.
    pub(super) fn keep<T: Any + Send + Sync>(&mut self, name: &str, made: T) {
        self.push(name, Arg::Ready(Ready(Arc::new(made))));
    }

    /// What was made of it.
    pub(super) fn kept<T: Any + Send + Sync>(&mut self, name: &str) -> Result<Arc<T>, Error> {
        match self.take(name) {
            Some(Arg::Ready(Ready(made))) => made.downcast().map_err(|_| Error::Mismatch),
            _ => Err(Error::Mismatch),
        }
    }

    /// A whole number, which stays: the nearest one of 64 bits.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        match self.list.iter().find(|(known, _)| known == name) {
            Some((_, Arg::Int(int))) => Some((*int).clamp(0, u64::MAX.into()) as u64),
            _ => None,
        }
    }

    /// A number, which stays.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.list.iter().find(|(known, _)| known == name) {
            Some((_, Arg::Float(float))) => Some(*float),
            Some((_, Arg::Int(int))) => Some(*int as f64),
            _ => None,
        }
    }

    /// How many numbers or bytes an argument has, which stays; 0 where it is not given.
    pub(super) fn len(&self, name: &str) -> u64 {
        match self.list.iter().find(|(known, _)| known == name) {
            Some((_, Arg::Floats(floats))) => floats.len() as u64,
            Some((_, Arg::Bytes(bytes))) => bytes.len() as u64,
            _ => 0,
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Arg> {
        let at = self.list.iter().position(|(known, _)| known == name)?;
        Some(self.list.swap_remove(at).1)
    }

    /// A whole number from `min` to `max`; `or` where it is not given.
    pub(super) fn int(
        &mut self,
        name: &'static str,
        or: Option<u64>,
        (min, max): (u64, u64),
        expected: &'static str,
    ) -> Result<u64, Error> {
        let found = match self.take(name) {
            None => or,
            Some(Arg::Int(int)) => u64::try_from(int).ok(),
            Some(_) => None,
        };
        found
            .filter(|found| (min..=max).contains(found))
            .ok_or(Error::Argument { name, expected })
    }

    /// A finite number.
    pub(super) fn float(&mut self, name: &'static str) -> Result<f64, Error> {
        let found = match self.take(name) {
            Some(Arg::Float(float)) => Some(float),
            Some(Arg::Int(int)) => Some(int as f64),
            _ => None,
        };
        found
            .filter(|found| found.is_finite())
            .ok_or(Error::Argument {
                name,
                expected: "a finite number",
            })
    }

    /// A switch, off where it is not given.
    pub(super) fn bool(&mut self, name: &'static str) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(false),
            Some(Arg::Bool(bool)) => Ok(bool),
            Some(_) => Err(Error::Argument {
                name,
                expected: "true or false",
            }),
        }
    }

    /// One of two words; the first where it is not given. True for the second.
    pub(super) fn either(
        &mut self,
        name: &'static str,
        words: [&str; 2],
        expected: &'static str,
    ) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(false),
            Some(Arg::Word(word)) if word == words[0] => Ok(false),
            Some(Arg::Word(word)) if word == words[1] => Ok(true),
            Some(_) => Err(Error::Argument { name, expected }),
        }
    }

    pub(super) fn finish(mut self, kernel: &'static str) -> Result<(), Error> {
        match self.list.pop() {
            None => Ok(()),
            Some((name, _)) => Err(Error::UnknownArgument { kernel, name }),
        }
    }
}
