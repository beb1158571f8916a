//! How often a pattern occurs (`Value::Int`), in one binary or in all of many.
//!
//! Exact, from left to right and not overlapping, as `:binary.matches/2` finds them; 0 in what is
//! empty. The pattern has 1 to 65,536 bytes: what is searched again where slices meet is bounded.
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;
use memchr::memmem::Finder;

use super::cursor::{Cursor, strides};
use super::{Arg, Args, Cost, Error, Input, Kernel, Made, Step, Value, same};

/// Bytes between two looks at the clock.
const WINDOW: usize = 64 * 1024;

/// The longest pattern.
const LONGEST: usize = 64 * 1024;

/// Where one match is next to the other, or the beginning of one.
pub(super) fn cost(_: usize, args: &Args) -> Cost {
    let unit = match args.len("pattern") {
        0 | 1 => 60,
        len => 1_200 + 5_000 / len,
    };
    let cost = Cost::of(unit).each(60_000);
    cost.once(args.len("pattern"), 2_600)
}

pub(super) fn prepare(args: &mut Args) -> Result<(), Error> {
    match args.take("pattern") {
        Some(Arg::Bytes(pattern)) if (1..=LONGEST).contains(&pattern.len()) => {
            args.keep("pattern", Finder::new(&pattern).into_owned());
            Ok(())
        }
        _ => Err(Error::Argument {
            name: "pattern",
            expected: "a binary of 1 to 65,536 bytes",
        }),
    }
}

pub(super) fn new(input: &Input, range: Range<usize>, args: &mut Args) -> Made {
    let finder = args.kept("pattern")?;
    let many = matches!(input, Input::Many(_));
    Ok(Box::new(Count {
        next: if many { 0 } else { range.start },
        cursor: Cursor::new(range),
        finder,
        many,
        first: None,
        count: 0,
        later: VecDeque::new(),
    }))
}

struct Count {
    cursor: Cursor,
    finder: Arc<Finder<'static>>,
    many: bool,
    /// Where the next match may begin: behind the last one, which may reach beyond the range.
    next: usize,
    /// Where the first match of one binary begins, of several bytes.
    first: Option<usize>,
    count: u64,
    /// Joined and not yet looked at.
    later: VecDeque<Box<Count>>,
}

impl Count {
    /// Searches one binary up to `end`, a window at most, and says how many bytes that were.
    fn search(&mut self, bytes: &[u8], end: usize) -> Result<usize, Error> {
        let (start, end) = (self.next, end.min(self.next.saturating_add(WINDOW)));
        if start >= end {
            return Ok(0);
        }
        // Matches that begin before the end.
        let reach = bytes.len().min(end + self.finder.needle().len() - 1);
        let window = bytes.get(start..reach).ok_or(Error::Mismatch)?;
        self.next = end;
        if let [byte] = self.finder.needle() {
            // No match reaches over another: where the first is does not matter.
            self.count += memchr_iter(*byte, window).count() as u64;
            return Ok(end - start);
        }
        for at in self.finder.find_iter(window) {
            self.count += 1;
            self.first.get_or_insert(start + at);
            self.next = end.max(start + at + self.finder.needle().len());
        }
        Ok(end - start)
    }

    /// Up to a window of work, and how many bytes that were.
    fn work(&mut self, input: &Input) -> Result<usize, Error> {
        if self.many {
            let item = input.item(self.cursor.at())?;
            let done = self.search(item, item.len())?;
            if self.next >= item.len() {
                self.next = 0;
                self.cursor.advance(1);
            }
            // A binary costs something, however short it is.
            return Ok(done + 64);
        }
        let done = self.search(input.item(0)?, self.cursor.range().end)?;
        self.cursor.advance_to(self.next);
        Ok(done)
    }

    /// Takes over a joined range. Where a match reaches into it over where its own first begins,
    /// the range has to be searched again from there: its matches may all be others.
    fn take(&mut self, part: &Count) -> Result<(), Error> {
        if !self.many && part.first.is_some_and(|first| first < self.next) {
            self.cursor.extend(&part.cursor, self.next)
        } else {
            self.count += part.count;
            self.next = self.next.max(part.next);
            self.first = self.first.or(part.first);
            self.cursor.join(&part.cursor)
        }
    }
}

impl Kernel for Count {
    fn step(&mut self, input: &Input, more: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        strides(WINDOW, more, || {
            if !self.cursor.is_done() {
                self.work(input).map(Some)
            } else if let Some(part) = self.later.pop_front() {
                self.take(&part)?;
                Ok(Some(0))
            } else {
                Ok(None)
            }
        })
    }

    fn join(&mut self, next: Box<dyn Kernel>) -> Result<(), Error> {
        let next = same::<Self>(next)?;
        let last = self.later.back().map_or(&self.cursor, |last| &last.cursor);
        last.meets(&next.cursor)?;
        if self.finder.needle() != next.finder.needle()
            || self.many != next.many
            || !next.later.is_empty()
        {
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
        Ok(Value::Int(i128::from(self.count)))
    }

    fn progress(&self) -> (u64, u64) {
        let (done, all) = self.cursor.progress();
        let later: u64 = self.later.iter().map(|part| part.cursor.len()).sum();
        (done, all + later)
    }
}
