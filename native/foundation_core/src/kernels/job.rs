//! A kernel over an input that comes in by and by: the phases of its work, each in slices.
//!
//! Fed, then split into parts that may be stepped at once, joined and stepped on as one part,
//! finished, and taken. Nothing waits: what comes in the wrong order, or while another thread is at
//! the same, is [`Fault::Misuse`].
use parking_lot::{Mutex, RwLock};

use super::{Args, Entry, Error, Input, Kernel, Step, Value, split};
use crate::memory::{Charge, Owner};

/// What holds an input.
pub trait Source: Send + Sync {
    /// The input, once it is complete: always the same from then on.
    fn input(&self) -> Option<Input<'_>>;
}

/// Why a job does not go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A call that this phase has no place for, or two at once.
    #[error("the job is in another phase, or somebody else works on it")]
    Misuse,
    /// Something is wrong with what the kernel was given.
    #[error("{0}")]
    Kernel(#[from] Error),
}

/// How a slice of a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// There is more to do: units done, and all of them.
    More(u64, u64),
    /// The part is done.
    Done,
}

struct Part {
    kernel: Box<dyn Kernel>,
    done: bool,
}

enum Stage<S> {
    Feeding {
        source: S,
        args: Args,
        _charge: Charge,
    },
    Stepping {
        source: S,
        parts: Vec<Mutex<Part>>,
    },
    Found {
        source: S,
        value: Option<Value>,
    },
    Over,
}

/// What is left of a job, to be freed where that disturbs nobody.
pub struct Remains<S> {
    /// What held the input.
    pub source: Option<S>,
    /// The rest.
    pub work: Work,
}

/// Kernels and what they have found.
#[derive(Default)]
pub struct Work {
    parts: Vec<Mutex<Part>>,
    value: Option<Value>,
    args: Args,
}

impl Work {
    /// All of it, in pieces none of which takes long to free.
    pub fn into_pieces(self) -> Vec<Box<dyn Send>> {
        let mut pieces: Vec<Box<dyn Send>> = vec![Box::new(self.args)];
        for mut part in self.parts.into_iter().map(Mutex::into_inner) {
            pieces.append(&mut part.kernel.pieces());
            pieces.push(Box::new(part.kernel));
        }
        pieces.extend(self.value.into_iter().flat_map(Value::into_pieces));
        pieces
    }
}

/// A job.
pub struct Job<S> {
    entry: &'static Entry,
    stage: RwLock<Stage<S>>,
}

impl<S: Source> Job<S> {
    /// A job that is to be fed.
    pub fn new(entry: &'static Entry, args: Args, source: S) -> Self {
        let charge = Charge::new(Owner::Kernels, args.bytes());
        Job {
            entry,
            stage: RwLock::new(Stage::Feeding {
                source,
                args,
                _charge: charge,
            }),
        }
    }

    /// Adds to the input.
    pub fn feed<R>(&self, add: impl FnOnce(&mut S) -> Result<R, Fault>) -> Result<R, Fault> {
        let mut stage = self.stage.try_write().ok_or(Fault::Misuse)?;
        match &mut *stage {
            Stage::Feeding { source, .. } => add(source),
            _ => Err(Fault::Misuse),
        }
    }

    /// Whether its input is not shared out yet.
    pub fn is_feeding(&self) -> bool {
        let stage = self.stage.try_read();
        stage.is_some_and(|stage| matches!(&*stage, Stage::Feeding { .. }))
    }

    /// Shares the input out over up to so many parts, and says over how many.
    pub fn split(&self, wanted: usize) -> Result<usize, Fault> {
        let mut stage = self.stage.try_write().ok_or(Fault::Misuse)?;
        let parts = match &*stage {
            Stage::Feeding { source, args, .. } => {
                let input = source.input().ok_or(Fault::Misuse)?;
                self.parts(&input, args, wanted)?
            }
            _ => return Err(Fault::Misuse),
        };
        let count = parts.len();
        if let Stage::Feeding { source, .. } = std::mem::replace(&mut *stage, Stage::Over) {
            *stage = Stage::Stepping { source, parts };
        }
        Ok(count)
    }

    fn parts(&self, input: &Input, args: &Args, wanted: usize) -> Result<Vec<Mutex<Part>>, Error> {
        let wanted = if self.entry.splits(input) { wanted } else { 1 };
        let args = self.entry.prepare(args.clone())?;
        let part = |range| {
            let kernel = self.entry.create(input, range, args.clone())?;
            Ok(Mutex::new(Part {
                kernel,
                done: false,
            }))
        };
        split(input, wanted.min(MOST_PARTS)).map(part).collect()
    }

    /// Goes on with a part until it is done or `more` says that the slice is over. Different parts
    /// may be stepped at once.
    pub fn step(&self, part: usize, more: &mut dyn FnMut() -> bool) -> Result<Slice, Fault> {
        let stage = self.stage.try_read().ok_or(Fault::Misuse)?;
        let Stage::Stepping { source, parts } = &*stage else {
            return Err(Fault::Misuse);
        };
        let part = parts.get(part).ok_or(Fault::Misuse)?;
        let mut part = part.try_lock().ok_or(Fault::Misuse)?;
        let input = source.input().ok_or(Fault::Misuse)?;
        part.done = part.kernel.step(&input, more)? == Step::Done;
        let (done, all) = part.kernel.progress();
        Ok(match part.done {
            true => Slice::Done,
            false => Slice::More(done, all),
        })
    }

    /// Joins all parts, which are done, into the first. That is to be stepped then until it is done
    /// again.
    pub fn join(&self) -> Result<(), Fault> {
        let mut stage = self.stage.try_write().ok_or(Fault::Misuse)?;
        let Stage::Stepping { parts, .. } = &mut *stage else {
            return Err(Fault::Misuse);
        };
        if parts.iter_mut().any(|part| !part.get_mut().done) {
            return Err(Fault::Misuse);
        }
        let mut rest = std::mem::take(parts).into_iter();
        let mut first = rest.next().ok_or(Fault::Misuse)?;
        for part in rest {
            first.get_mut().kernel.join(part.into_inner().kernel)?;
            first.get_mut().done = false;
        }
        parts.push(first);
        Ok(())
    }

    /// Makes the result of the only part, which is done.
    pub fn finish(&self) -> Result<(), Fault> {
        let mut stage = self.stage.try_write().ok_or(Fault::Misuse)?;
        let ready = match &mut *stage {
            Stage::Stepping { parts, .. } => parts.len() == 1 && parts[0].get_mut().done,
            _ => false,
        };
        if !ready {
            return Err(Fault::Misuse);
        }
        let Stage::Stepping { source, mut parts } = std::mem::replace(&mut *stage, Stage::Over)
        else {
            return Err(Fault::Misuse);
        };
        let part = parts.pop().ok_or(Fault::Misuse)?;
        let value = part.into_inner().kernel.finish()?;
        *stage = Stage::Found {
            source,
            value: Some(value),
        };
        Ok(())
    }

    /// Takes of the result what `each` takes; nothing is left for a further call where it leaves none.
    pub fn take<R>(
        &self,
        each: impl FnOnce(&mut Option<Value>, &Input) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let mut stage = self.stage.try_write().ok_or(Fault::Misuse)?;
        match &mut *stage {
            Stage::Found { source, value } if value.is_some() => {
                each(value, &source.input().ok_or(Fault::Misuse)?)
            }
            _ => Err(Fault::Misuse),
        }
    }

    /// Ends the job; `None` while somebody else works on it.
    pub fn close(&self) -> Option<Remains<S>> {
        let stage = std::mem::replace(&mut *self.stage.try_write()?, Stage::Over);
        Some(remains(stage))
    }

    /// What the last holder has.
    pub fn into_remains(self) -> Remains<S> {
        remains(self.stage.into_inner())
    }
}

/// No machine has as many schedulers.
const MOST_PARTS: usize = 1024;

fn remains<S>(stage: Stage<S>) -> Remains<S> {
    let mut work = Work::default();
    let source = match stage {
        Stage::Feeding { source, args, .. } => {
            work.args = args;
            Some(source)
        }
        Stage::Stepping { source, parts } => {
            work.parts = parts;
            Some(source)
        }
        Stage::Found { source, value } => {
            work.value = value;
            Some(source)
        }
        Stage::Over => None,
    };
    Remains { source, work }
}
