//! What a kernel is asked for.
use foundation_core::kernels::{Arg, Args, Kind};
use rustler::{Encoder, Error, NifResult, Term, TermType};

use super::atoms;
use super::cells::Cells;
use super::numbers::Reader;

/// How the input is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One binary of bytes.
    Bytes,
    /// A list of binaries.
    Many,
    /// A list of numbers.
    List,
    /// One binary of numbers.
    Packed(Kind),
}

impl Form {
    pub fn decode(term: Term) -> NifResult<Form> {
        let name = term.atom_to_string()?;
        match name.as_str() {
            "bytes" => Ok(Form::Bytes),
            "many" => Ok(Form::Many),
            "list" => Ok(Form::List),
            kind => Kind::find(kind).map(Form::Packed).ok_or(Error::BadArg),
        }
    }

    pub fn is_list(self) -> bool {
        matches!(self, Form::Many | Form::List)
    }
}

/// Elements of an argument that are read on a normal scheduler.
const SHORT: usize = 1000;

/// More than any kernel takes: what is longer need not be read to its end to be refused.
const LONGEST: usize = (1 << 16) + 2;
const LONGEST_BYTES: usize = (1 << 16) + 1;

/// The elements of a proper list, `most` at most.
fn elements<'a>(list: Term<'a>, most: usize) -> NifResult<Vec<Term<'a>>> {
    let (env, mut elements) = (list.get_env(), Vec::new());
    let mut cells = Cells::new(env, list);
    while elements.len() < most
        && let Some(head) = cells.head()
    {
        elements.try_reserve(1).map_err(|_| Error::BadArg)?;
        // SAFETY: the element is of the environment of its list.
        elements.push(unsafe { Term::new(env, head) });
        cells.advance();
    }
    let proper = cells.rest(env, elements.len());
    proper.map(|_| elements).map_err(|_| Error::BadArg)
}

/// The arguments by name: those that any kernel knows are few.
fn pairs<'a>(args: Term<'a>) -> NifResult<Vec<(Term<'a>, Term<'a>)>> {
    let pairs = elements(args, SHORT)?;
    pairs.into_iter().map(|pair| pair.decode()).collect()
}

/// Whether an argument takes long to read.
pub fn are_long(args: Term) -> NifResult<bool> {
    for (_, value) in pairs(args)? {
        if value.is_list() && elements(value, SHORT + 1)?.len() > SHORT {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The arguments, a list of `{name, value}`.
pub fn decode(args: Term) -> NifResult<Args> {
    let mut decoded = Args::new();
    for (name, value) in pairs(args)? {
        decoded.push(&name.atom_to_string()?, arg(value)?);
    }
    Ok(decoded)
}

fn arg(term: Term) -> NifResult<Arg> {
    Ok(match term.get_type() {
        TermType::Integer => integer(term),
        TermType::Float => Arg::Float(term.decode()?),
        TermType::Atom if term == atoms::r#true().encode(term.get_env()) => Arg::Bool(true),
        TermType::Atom if term == atoms::r#false().encode(term.get_env()) => Arg::Bool(false),
        TermType::Atom => Arg::Word(term.atom_to_string()?),
        TermType::Binary => {
            let bytes = term.decode_as_binary()?;
            Arg::Bytes(bytes[..bytes.len().min(LONGEST_BYTES)].to_vec())
        }
        TermType::List => Arg::Floats(floats(term)?),
        _ => return Err(Error::BadArg),
    })
}

/// No kernel takes what does not fit, so that it may be anything of the wrong kind.
fn integer(term: Term) -> Arg {
    match (term.decode::<i64>(), term.decode::<u64>()) {
        (Ok(int), _) => Arg::Int(int.into()),
        (_, Ok(int)) => Arg::Int(int.into()),
        _ => Arg::Word("an integer beyond 64 bits".to_owned()),
    }
}

fn floats(list: Term) -> NifResult<Vec<f64>> {
    let (env, mut floats) = (list.get_env(), Vec::new());
    let (reader, mut cells) = (Reader::new(env), Cells::new(env, list));
    while floats.len() < LONGEST
        && let Some(head) = cells.head()
    {
        floats.try_reserve(1).map_err(|_| Error::BadArg)?;
        floats.push(reader.number(head).ok_or(Error::BadArg)?);
        cells.advance();
    }
    let proper = cells.rest(env, floats.len());
    proper.map(|_| floats).map_err(|_| Error::BadArg)
}
