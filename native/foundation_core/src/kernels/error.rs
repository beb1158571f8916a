//! What can be wrong with what a kernel is given.
use std::ops::Range;

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No result is defined for so few.
    #[error("{kernel} takes at least {}, {given} given", numbers(*needed))]
    Empty {
        /// The kernel.
        kernel: &'static str,
        /// How many it takes.
        needed: u64,
        /// How many there are.
        given: u64,
    },
    /// The length is no multiple of an element's.
    #[error("{bytes} bytes are no whole number of {kind} elements of {size} bytes")]
    Unaligned {
        /// Bytes given.
        bytes: usize,
        /// What they should hold.
        kind: &'static str,
        /// Bytes of one element.
        size: usize,
    },
    /// A list has integers and floats.
    #[error(
        "the list has integers and floats (element {index}): convert the integers \
         (`Enum.map(list, &(&1 * 1.0))`) or the floats (`Enum.map(list, &trunc/1)`)"
    )]
    MixedNumbers {
        /// The first that is not as those before.
        index: u64,
    },
    /// An integer of a list does not fit.
    #[error("element {index} is an integer beyond signed 64 bits")]
    IntegerTooLarge {
        /// Which.
        index: u64,
    },
    /// An element of a list is of another kind.
    #[error("element {index} is not {expected}")]
    InvalidElement {
        /// Which.
        index: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// The end of a list is not the empty list.
    #[error("the list is improper: it has no end after {len} elements")]
    ImproperList {
        /// Its elements.
        len: u64,
    },
    /// More distinct words than allowed.
    #[error("the text has more than {max} distinct words")]
    TooManyWords {
        /// The limit.
        max: u64,
    },
    /// There is no kernel of the name.
    #[error("there is no kernel {0:?}, only {list}", list = names())]
    UnknownKernel(String),
    /// The kernel does not know the argument.
    #[error("the kernel {kernel} has no option {name:?}")]
    UnknownArgument {
        /// The kernel.
        kernel: &'static str,
        /// The argument.
        name: String,
    },
    /// An argument is missing or not what it should be.
    #[error("the option {name} must be {expected}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The kernel does not work on such input.
    #[error("the kernel {kernel} takes {takes}")]
    Input {
        /// The kernel.
        kernel: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// The range is not one of the input, or the kernel takes nothing but all of it.
    #[error("the kernel {kernel} cannot work on {range:?} of {len}")]
    Range {
        /// The kernel.
        kernel: &'static str,
        /// The range given.
        range: Range<usize>,
        /// The length of the input.
        len: usize,
    },
    /// Kernels of different kinds, or ranges that do not meet, were joined; or a step got another
    /// kind of input than the kernel was made for.
    #[error("the kernels or their inputs do not belong together")]
    Mismatch,
    /// The result was asked for before all was done.
    #[error("the kernel is not done")]
    Unfinished,
    /// An item of many could not be compressed.
    #[error("{0}")]
    Compression(#[from] crate::compression::Error),
    /// The allocator refused.
    #[error("there is no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
}

fn numbers(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} number{plural}")
}

fn names() -> String {
    let names: Vec<_> = super::KERNELS.iter().map(|entry| entry.name).collect();
    names.join(", ")
}

impl Error {
    /// The name of the kind of fault.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Empty { .. } => "empty",
            Error::Unaligned { .. } => "unaligned",
            Error::MixedNumbers { .. } => "mixed_numbers",
            Error::IntegerTooLarge { .. } => "integer_too_large",
            Error::InvalidElement { .. } => "invalid_element",
            Error::ImproperList { .. } => "improper_list",
            Error::TooManyWords { .. } => "too_many_words",
            Error::UnknownKernel(_) => "unknown_kernel",
            Error::UnknownArgument { .. } => "unknown_option",
            Error::Argument { .. } => "invalid_option",
            Error::Input { .. } => "invalid_input",
            Error::Range { .. } => "invalid_range",
            Error::Mismatch => "mismatch",
            Error::Unfinished => "unfinished",
            Error::Compression(error) => error.reason(),
            Error::OutOfMemory { .. } => "out_of_memory",
        }
    }

    /// The figures of the message, by name.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        match self {
            Error::Empty { needed, given, .. } => vec![("needed", *needed), ("given", *given)],
            Error::Unaligned { bytes, size, .. } => {
                vec![("bytes", *bytes as u64), ("element_size", *size as u64)]
            }
            Error::MixedNumbers { index }
            | Error::IntegerTooLarge { index }
            | Error::InvalidElement { index, .. } => vec![("index", *index)],
            Error::TooManyWords { max } => vec![("max_words", *max)],
            Error::OutOfMemory { bytes } => vec![("bytes", *bytes)],
            _ => vec![],
        }
    }
}
