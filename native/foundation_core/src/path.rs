//! Finding a part of a nested value, step by step, without copying what lies on the way.
//!
//! A step is read by the container that it meets: a map's key (structs are maps), a position in a
//! tuple or list, a key of a keyword list.

/// Why a path leads nowhere. `at` counts the steps before the one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The map has no such key, the list or tuple no such position.
    #[error("the path leads nowhere at step {at}: the {container} has no such {what}")]
    Missing {
        /// Steps before this one.
        at: u64,
        /// What was met.
        container: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// There is nothing to step into, or not by such a step.
    #[error("the path leads nowhere at step {at}: {reason}")]
    NoStep {
        /// Steps before this one.
        at: u64,
        /// What was met, and what it takes.
        reason: &'static str,
    },
    /// A map is asked for what is larger than any key that is looked for.
    #[error("the path leads nowhere at step {at}: no key there is as large")]
    Large {
        /// Steps before this one.
        at: u64,
    },
    /// The path itself is no proper list.
    #[error("the path is not a proper list")]
    Improper,
    /// More work than the caller allows.
    #[error("the path takes more than the allowed work")]
    Long,
}

impl Fault {
    /// Steps before the one that failed.
    pub fn at(&self) -> Option<u64> {
        match self {
            Fault::Missing { at, .. } | Fault::NoStep { at, .. } | Fault::Large { at } => Some(*at),
            Fault::Improper | Fault::Long => None,
        }
    }
}

/// A value as far as a path needs to know it.
pub enum Kind<'a, T> {
    /// A map.
    Map,
    /// A tuple's elements.
    Tuple(&'a [T]),
    /// A list, empty or not.
    List,
    /// Anything else.
    Other,
}

/// Values that a path leads through.
pub trait Reader<'a> {
    /// A value: a word that is cheap to copy.
    type Term: Copy + 'a;

    /// What the value is.
    fn kind(&self, term: Self::Term) -> Kind<'a, Self::Term>;
    /// Whether a step is too large to be looked for among keys: what looks goes through all of it.
    fn is_large(&self, step: Self::Term) -> bool;
    /// The value behind a key of a map.
    fn value(&self, map: Self::Term, key: Self::Term) -> Option<Self::Term>;
    /// Head and tail of a list that is not empty.
    fn cell(&self, list: Self::Term) -> Option<(Self::Term, Self::Term)>;
    /// Whether this is the empty list.
    fn is_nil(&self, term: Self::Term) -> bool;
    /// The step as a position.
    fn position(&self, step: Self::Term) -> Option<i64>;
    /// Whether the step is the key of a keyword list.
    fn is_key(&self, step: Self::Term) -> bool;
    /// Whether both are the same atom.
    fn same_key(&self, left: Self::Term, right: Self::Term) -> bool;
}

/// Follows `path` from `term`. `work` bounds the steps and list cells passed.
pub fn follow<'a, R: Reader<'a>>(
    reader: &R,
    term: R::Term,
    path: R::Term,
    work: u64,
) -> Result<R::Term, Fault> {
    let (mut term, mut path, mut left, mut at) = (term, path, work, 0);
    while let Some((step, rest)) = reader.cell(path) {
        left = left.checked_sub(1).ok_or(Fault::Long)?;
        term = match reader.kind(term) {
            Kind::Map if reader.is_large(step) => return Err(Fault::Large { at }),
            Kind::Map => {
                let missing = Fault::Missing {
                    at,
                    container: "map",
                    what: "key",
                };
                reader.value(term, step).ok_or(missing)?
            }
            Kind::Tuple(elements) => element(reader, elements, step, at)?,
            Kind::List => match reader.position(step) {
                Some(position) => nth(reader, term, position, &mut left, at)?,
                None if reader.is_key(step) => keyword(reader, term, step, &mut left, at)?,
                None => {
                    let reason = "a list takes a position or the key of a keyword list";
                    return Err(Fault::NoStep { at, reason });
                }
            },
            Kind::Other => {
                return Err(Fault::NoStep {
                    at,
                    reason: "what stands there has no parts",
                });
            }
        };
        (path, at) = (rest, at + 1);
    }
    if reader.is_nil(path) {
        Ok(term)
    } else {
        Err(Fault::Improper)
    }
}

fn element<'a, R: Reader<'a>>(
    reader: &R,
    elements: &'a [R::Term],
    step: R::Term,
    at: u64,
) -> Result<R::Term, Fault> {
    let missing = Fault::Missing {
        at,
        container: "tuple",
        what: "position",
    };
    match reader.position(step) {
        Some(position) => {
            let position = usize::try_from(position).map_err(|_| missing)?;
            elements.get(position).copied().ok_or(missing)
        }
        None => Err(Fault::NoStep {
            at,
            reason: "a tuple takes a position",
        }),
    }
}

fn nth<'a, R: Reader<'a>>(
    reader: &R,
    list: R::Term,
    position: i64,
    left: &mut u64,
    at: u64,
) -> Result<R::Term, Fault> {
    let missing = Fault::Missing {
        at,
        container: "list",
        what: "position",
    };
    let mut ahead = u64::try_from(position).map_err(|_| missing)?;
    let mut list = list;
    loop {
        let (head, tail) = reader.cell(list).ok_or(missing)?;
        if ahead == 0 {
            return Ok(head);
        }
        *left = left.checked_sub(1).ok_or(Fault::Long)?;
        (ahead, list) = (ahead - 1, tail);
    }
}

fn keyword<'a, R: Reader<'a>>(
    reader: &R,
    list: R::Term,
    key: R::Term,
    left: &mut u64,
    at: u64,
) -> Result<R::Term, Fault> {
    let mut list = list;
    while let Some((head, tail)) = reader.cell(list) {
        if let Kind::Tuple([name, value]) = reader.kind(head)
            && reader.same_key(*name, key)
        {
            return Ok(*value);
        }
        *left = left.checked_sub(1).ok_or(Fault::Long)?;
        list = tail;
    }
    Err(Fault::Missing {
        at,
        container: "list",
        what: "keyword key",
    })
}
