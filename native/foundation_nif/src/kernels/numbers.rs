//! Numbers of a list, packed.
use foundation_core::kernels::{Error, Gather, Input, Kind, Numbers};
use rustler::sys::*;
use rustler::{Env, Term};

use super::cells::Cells;
use crate::terms::{self, Layout, bits, word};

/// Elements between two looks at the clock: up to 20 microseconds.
const BLOCK: usize = 4096;

type Packed = [u8; 8];

/// Integers of 64 bits or floats, in the order of a list.
pub struct List {
    /// What they are, as the first one says.
    kind: Option<Kind>,
    items: Gather<Packed>,
}

/// What is wrong with an element.
enum Wrong {
    Mixed,
    TooLarge,
    NoNumber,
}

impl List {
    pub fn new() -> Result<Self, Error> {
        Ok(List {
            kind: None,
            items: Gather::new()?,
        })
    }

    pub fn gather(&mut self) -> &mut Gather<Packed> {
        &mut self.items
    }

    /// All of it, in pieces to be freed one by one.
    pub fn into_pieces(self) -> impl Iterator<Item = Box<dyn Send>> {
        self.items.into_pieces().map(|piece| Box::new(piece) as _)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Reads on until the list ends or `more` says so; what is left of it.
    pub fn read<'a>(
        &mut self,
        env: Env<'a>,
        list: Term<'a>,
        more: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Term<'a>, Error> {
        let reader = Reader::new(env);
        let mut cells = Cells::new(env, list);
        while let Some(head) = cells.head() {
            let kind = *self.kind.get_or_insert_with(|| reader.kind(head));
            let read = match kind {
                Kind::F64 => self.block(&mut cells, |term| reader.float(term)),
                _ => self.block(&mut cells, |term| reader.int(term)),
            };
            read.map_err(|wrong| self.error(wrong))??;
            if !more(self.len()) {
                break;
            }
        }
        cells.rest(env, self.len())
    }

    /// Reads a block; an element that is wrong is the one behind those that are kept.
    #[inline]
    fn block(
        &mut self,
        cells: &mut Cells,
        read: impl Fn(ErlNifTerm) -> Result<Packed, Wrong>,
    ) -> Result<Result<(), Error>, Wrong> {
        let mut block = [Packed::default(); BLOCK];
        let mut len = 0;
        let mut wrong = None;
        for place in &mut block {
            let Some(head) = cells.head() else { break };
            match read(head) {
                Ok(number) => *place = number,
                Err(found) => {
                    wrong = Some(found);
                    break;
                }
            }
            len += 1;
            cells.advance();
        }
        let added = self.items.add(&block[..len]);
        wrong.map_or(Ok(added), Err)
    }

    fn error(&self, wrong: Wrong) -> Error {
        let index = self.len() as u64;
        match wrong {
            Wrong::Mixed => Error::MixedNumbers { index },
            Wrong::TooLarge => Error::IntegerTooLarge { index },
            Wrong::NoNumber => Error::InvalidElement {
                index,
                expected: "a number",
            },
        }
    }

    /// The numbers, once they lie one behind the other.
    pub fn input(&self) -> Option<Input<'_>> {
        let bytes = self.items.items()?.as_flattened();
        let kind = self.kind.unwrap_or(Kind::I64);
        Numbers::new(kind, bytes).ok().map(Input::Packed)
    }
}

/// Reads numbers where they lie, and asks where that is not known.
pub struct Reader {
    env: *mut ErlNifEnv,
    layout: Layout,
}

impl Reader {
    /// The terms are of this environment.
    pub fn new(env: Env) -> Self {
        Reader {
            env: env.as_c_arg(),
            layout: terms::layout(),
        }
    }

    /// A float, or the nearest one to an integer of 64 bits.
    #[inline]
    pub fn number(&self, term: ErlNifTerm) -> Option<f64> {
        let int = || self.int(term).map(|int| i64::from_ne_bytes(int) as f64);
        let float = || self.float(term).map(f64::from_ne_bytes);
        match bits(term) & 15 == 15 {
            true => int().or_else(|_| float()).ok(),
            false => float().or_else(|_| int()).ok(),
        }
    }

    fn kind(&self, term: ErlNifTerm) -> Kind {
        match self.float(term) {
            Ok(_) => Kind::F64,
            Err(_) => Kind::I64,
        }
    }

    #[inline]
    fn int(&self, term: ErlNifTerm) -> Result<Packed, Wrong> {
        if self.layout.small && bits(term) & 15 == 15 {
            return Ok(((bits(term) as i64) >> 4).to_ne_bytes());
        }
        self.large(term)
    }

    #[cold]
    fn large(&self, term: ErlNifTerm) -> Result<Packed, Wrong> {
        let mut int = 0;
        // SAFETY: the term is of this environment.
        match unsafe { enif_get_int64(self.env, term, &mut int) } {
            0 => Err(self.wrong(term, false)),
            _ => Ok(int.to_ne_bytes()),
        }
    }

    #[inline]
    fn float(&self, term: ErlNifTerm) -> Result<Packed, Wrong> {
        if let Some(header) = self.layout.float
            && bits(term) & 3 == 2
        {
            // SAFETY: the term is boxed and alive; a float has a word behind its header.
            unsafe {
                if word(term, 0) == header {
                    return Ok(word(term, 1).to_ne_bytes());
                }
            }
        }
        self.asked(term)
    }

    #[cold]
    fn asked(&self, term: ErlNifTerm) -> Result<Packed, Wrong> {
        let mut float = 0.0;
        // SAFETY: the term is of this environment.
        match unsafe { enif_get_double(self.env, term, &mut float) } {
            0 => Err(self.wrong(term, true)),
            _ => Ok(float.to_ne_bytes()),
        }
    }

    /// Why it is no number that belongs into the list, of floats or of integers.
    fn wrong(&self, term: ErlNifTerm, floats: bool) -> Wrong {
        use ErlNifTermType::*;
        // SAFETY: the term is of this environment.
        match unsafe { enif_term_type(self.env, term) } {
            ERL_NIF_TERM_TYPE_INTEGER if !floats => Wrong::TooLarge,
            ERL_NIF_TERM_TYPE_INTEGER | ERL_NIF_TERM_TYPE_FLOAT => Wrong::Mixed,
            _ => Wrong::NoNumber,
        }
    }
}
