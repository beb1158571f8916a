//! What holds the input of a job, and how it goes.
use foundation_core::kernels::{Error, Fault, Input, Remains, Source};
use rustler::{Env, Term};

use super::args::Form;
use super::binaries::{Many, One};
use super::numbers::List;
use crate::janitor::LEFTOVERS;

/// What holds the input of a job.
pub enum Held {
    One(One),
    List(List),
    Many(Many),
}

impl Held {
    /// Of lists nothing is held yet.
    pub fn new(form: Form, data: Term) -> Result<Self, Error> {
        Ok(match form {
            Form::Bytes => Held::One(One::new(data, None)?),
            Form::Packed(kind) => Held::One(One::new(data, Some(kind))?),
            Form::List => Held::List(List::new()?),
            Form::Many => Held::Many(Many::new()?),
        })
    }

    /// Adds elements; what is left of the list, and whether the input is complete.
    pub fn feed<'a>(
        &mut self,
        env: Env<'a>,
        list: Term<'a>,
        more: &mut dyn FnMut() -> bool,
    ) -> Result<(Term<'a>, bool), Fault> {
        let joined = match self {
            Held::One(_) => return Err(Fault::Misuse),
            Held::List(list) => list.gather().is_joined(),
            Held::Many(many) => many.gather().is_joined(),
        };
        if joined && !list.is_empty_list() {
            return Err(Fault::Misuse);
        }
        let rest = match self {
            Held::List(held) => held.read(env, list, &mut |_| more())?,
            Held::Many(held) => held.read(env, list, &mut |_| more())?,
            Held::One(_) => list,
        };
        let complete = rest.is_empty_list() && self.complete(more)?;
        Ok((rest, complete))
    }

    /// Makes the input one; true once it is.
    pub fn complete(&mut self, more: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
        match self {
            Held::One(one) => one.read().map(|()| true),
            Held::List(list) => list.gather().join(more),
            Held::Many(many) => many.gather().join(more),
        }
    }
}

impl Source for Held {
    fn input(&self) -> Option<Input<'_>> {
        match self {
            Held::One(one) => one.input(),
            Held::List(list) => list.input(),
            Held::Many(many) => many.input(),
        }
    }
}

/// Has it freed by the janitor, or here where there is none: in pieces, because a step of the janitor
/// ends between two of them.
pub fn bury(remains: Remains<Held>) {
    let Remains { source, work } = remains;
    let bury = |piece| drop(LEFTOVERS.bury(piece));
    work.into_pieces().into_iter().for_each(bury);
    match source {
        Some(Held::Many(many)) => many.into_pieces().for_each(bury),
        Some(Held::List(list)) => list.into_pieces().for_each(bury),
        Some(Held::One(one)) => bury(Box::new(one)),
        None => {}
    }
}
