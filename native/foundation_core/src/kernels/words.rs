//! How often each word occurs (`Value::Words`), in one binary or in all of many.
//!
//! Words are what `String.split/1` finds: anything between Unicode whitespace, of which the
//! non-breaking kinds are no part; bytes that are no UTF-8 are parts of words. With
//! `lowercase: true`, words that differ only in the case of ASCII letters are one. Exact.
//! `Error::TooManyWords` where more than `max_words` (1,000,000) are distinct; each takes 40 to 90
//! bytes. Words are not copied: they are where they first were, which is where the result is read
//! from. A word is hashed in one go: one of 10 MB takes about a millisecond.
use std::collections::VecDeque;
use std::ops::Range;

use super::cursor::{Cursor, strides};
use super::tally::Tally;
use super::whitespace::{before, find};
use super::{Args, Cost, Error, Input, Kernel, Made, Step, Value, same};

/// Bytes between two looks at the clock.
const STRIDE: usize = 8 * 1024;

const EXPECTED: &str = "from 1 to 4,294,967,296";

/// Nearly all of it is the map of words, which are as short as they can be.
pub(super) fn cost(_: usize, _: &Args) -> Cost {
    Cost::of(50_000).each(800_000)
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let max = args.int("max_words", Some(1_000_000), (1, 1 << 32), EXPECTED)?;
    let tally = Tally::new(args.bool("lowercase")?, max);
    let many = matches!(input, Input::Many(_));
    let (at, state) = match input {
        Input::Bytes(text) if !range.is_empty() => enter(text, range.start),
        _ => (0, State::Between),
    };
    Ok(Box::new(Words {
        cursor: Cursor::new(range),
        many,
        at,
        state,
        tally,
        later: VecDeque::new(),
        shard: 0,
    }))
}

/// Where the scan is.
#[derive(Clone, Copy)]
enum State {
    Between,
    /// In a word that began there.
    In(usize),
    /// In a word of the range before.
    Foreign,
}

/// How a range begins: a word belongs to the range that its first byte is in.
fn enter(text: &[u8], start: usize) -> (usize, State) {
    match before(text, start) {
        Some(end) => (end, State::Between),
        None if start == 0 => (0, State::Between),
        None => (start, State::Foreign),
    }
}

struct Words {
    cursor: Cursor,
    many: bool,
    /// Where the scan of a binary is.
    at: usize,
    state: State,
    tally: Tally,
    /// Joined and not yet taken over, but for some shards of the first.
    later: VecDeque<Box<Words>>,
    shard: usize,
}

impl Words {
    /// Scans up to a stride of one binary, for words that begin before `end`, and says whether
    /// that is done.
    fn scan(&mut self, input: &Input, item: usize, end: usize) -> Result<bool, Error> {
        let text = input.item(item)?;
        let stop = text.len().min(self.at.saturating_add(STRIDE));
        while self.at < stop {
            let (to, space) = find(text, self.at, stop);
            let word = match self.state {
                State::Between => self.at..to,
                State::In(start) => start..to,
                // Its place, but none of it.
                State::Foreign => to..to,
            };
            if word.start >= end && (space == 0 || !word.is_empty()) {
                return Ok(true);
            }
            if space > 0 {
                self.tally.add(input, text, item, word)?;
                self.state = State::Between;
            } else if matches!(self.state, State::Between) {
                self.state = State::In(word.start);
            }
            self.at = to + space;
        }
        if self.at < text.len() {
            return Ok(self.at >= end && !matches!(self.state, State::In(_)));
        }
        if let State::In(start) = self.state {
            self.tally.add(input, text, item, start..text.len())?;
            self.state = State::Between;
        }
        Ok(true)
    }

    /// Up to a stride of work, and how many bytes that were.
    fn work(&mut self, input: &Input) -> Result<usize, Error> {
        let before = self.at;
        if self.many {
            let item = self.cursor.at();
            let text = input.item(item)?;
            let done = self.scan(input, item, text.len())?;
            let bytes = self.at - before;
            if done {
                self.at = 0;
                self.cursor.advance(1);
            }
            return Ok(bytes + 64);
        }
        let end = self.cursor.range().end;
        if self.scan(input, 0, end)? {
            self.cursor.advance_to(end);
        } else {
            // The last word of a range may go on beyond it.
            self.cursor.advance_to(self.at.min(end - 1));
        }
        Ok(self.at - before)
    }

    /// Takes over a shard of what was joined first.
    fn take(&mut self, input: &Input) -> Result<bool, Error> {
        let Some(part) = self.later.front_mut() else {
            return Ok(false);
        };
        if self.tally.take(&mut part.tally, self.shard, input)? {
            self.shard += 1;
        } else if let Some(part) = self.later.pop_front() {
            self.cursor.join(&part.cursor)?;
            self.shard = 0;
        }
        Ok(true)
    }
}

impl Kernel for Words {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        strides(STRIDE, more, || {
            if !self.cursor.is_done() {
                self.work(input).map(Some)
            } else {
                Ok(self.take(input)?.then_some(STRIDE / 2))
            }
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        let last = self.later.back().map_or(&self.cursor, |last| &last.cursor);
        last.meets(&next.cursor)?;
        if !self.tally.fits(&next.tally) || self.many != next.many || !next.later.is_empty() {
            return Err(Error::Mismatch);
        }
        self.later.push_back(next);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, Error> {
        self.cursor.done()?;
        if !self.later.is_empty() {
            return Err(Error::Unfinished);
        }
        Ok(Value::Words(self.tally))
    }

    fn progress(&self) -> (u64, u64) {
        let (done, all) = self.cursor.progress();
        let later: u64 = self.later.iter().map(|part| part.cursor.len()).sum();
        (done, all + later)
    }
}
