//! Searches for leaked binaries.
//!
//! A search has a number beside its handle: what runs in another process names it by that, so that
//! no heap but the searcher's own holds on to it.
mod reach;
mod reader;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use foundation_core::leaks::{Fault, Listing, Look, Meanwhile, Ranges, Summary, Tally, Visible};
use foundation_core::measure::{self, Outcome};
use parking_lot::Mutex;
use rustler::sys::*;
use rustler::{Atom, Encoder, Env, Error, NifResult, Resource, ResourceArc, Term};

use crate::raw::raw_nif;
use crate::terms::{self, atoms, bits};
use reach::Reach;
use reader::Reader;

/// Elements of a list that are read on a normal scheduler: about 100 us.
const NORMAL_ELEMENTS: usize = 2_000;

/// Elements read in a percent of a time slice, about 10 us.
const ELEMENTS_PER_PERCENT: u64 = 200;

type Shared = Mutex<Tally>;

/// What a handle refers to.
pub struct Search(Arc<Shared>);

/// Searches under way, by number.
static SEARCHES: Mutex<Vec<(u64, Weak<Shared>)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

#[rustler::resource_impl]
impl Resource for Search {}

impl Drop for Search {
    fn drop(&mut self) {
        let this = Arc::as_ptr(&self.0);
        SEARCHES.lock().retain(|(_, other)| other.as_ptr() != this);
    }
}

/// `{handle, number}` of a new search.
#[rustler::nif(name = "leaks_new")]
fn new(env: Env) -> Term {
    let tally = Arc::new(Shared::default());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SEARCHES.lock().push((number, Arc::downgrade(&tally)));
    (ResourceArc::new(Search(tally)), number).encode(env)
}

/// Lets go of all that a search has found.
#[rustler::nif(name = "leaks_close", schedule = "DirtyCpu")]
fn close(search: &Search) -> Atom {
    let found = std::mem::take(&mut *search.0.lock());
    drop(found);
    atoms::ok()
}

/// Takes what a process lists, with the bytes that its young and its old generation show: how many
/// references those are, or `:dirty` for a list that is longer than a normal scheduler reads.
fn leaks_list<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let Some(listing) = read(env, args[2], NORMAL_ELEMENTS)? else {
        return Ok(atoms::dirty().encode(env));
    };
    let percent = listing.references() / ELEMENTS_PER_PERCENT;
    rustler::schedule::consume_timeslice(env, percent.clamp(1, 100) as i32);
    take(env, args, listing)
}

/// The same of any length.
fn leaks_list_dirty<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    match read(env, args[2], usize::MAX)? {
        Some(listing) => take(env, args, listing),
        None => Ok(answer(env, Err(Fault::Full))),
    }
}

fn take<'a>(env: Env<'a>, args: &[Term<'a>], listing: Listing) -> NifResult<Term<'a>> {
    let (search, key) = (args[0].decode::<&Search>()?, key(args[1])?);
    let visible = Visible {
        young: args[3].decode()?,
        old: args[4].decode()?,
    };
    let references = listing.references();
    let taken = search.0.lock().list(key, listing, visible);
    Ok(answer(env, taken.map(|()| references)))
}

/// Takes what a process lists once it has `:worked`, was `:looked` into or `:collected`: the bytes that
/// went as garbage.
fn leaks_again<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (search, key) = (args[0].decode::<&Search>()?, key(args[1])?);
    let meanwhile = match args[3].decode::<Atom>()? {
        atom if atom == atoms::worked() => Meanwhile::Worked,
        atom if atom == atoms::looked() => Meanwhile::Looked,
        atom if atom == atoms::collected() => Meanwhile::Collected,
        _ => return Err(Error::BadArg),
    };
    let freed = match read(env, args[2], usize::MAX)? {
        Some(listing) => search.0.lock().again(key, listing, meanwhile),
        None => Err(Fault::Full),
    };
    Ok(answer(env, freed))
}

/// A number, or `{:error, {reason, message}}`.
fn answer(env: Env<'_>, result: Result<u64, Fault>) -> Term<'_> {
    match result {
        Ok(number) => number.encode(env),
        Err(fault) => {
            let reason = match fault {
                Fault::Full => atoms::too_large(),
                Fault::Unknown => atoms::missing(),
            };
            (atoms::error(), (reason, fault.to_string())).encode(env)
        }
    }
}

/// A list of `{address, bytes, references}`; `None` where it has more than `most` elements, or more
/// than a search holds.
fn read<'a>(env: Env<'a>, list: Term<'a>, most: usize) -> NifResult<Option<Listing>> {
    let len = list.list_length()?;
    if len > most {
        return Ok(None);
    }
    let reader = Reader::new(env);
    let mut listing = Listing::default();
    let mut fits = listing.reserve(len).is_ok();
    let mut rest = list.as_c_arg();
    for _ in 0..len {
        // SAFETY: the terms are of this environment.
        unsafe {
            let [head, tail] = reader.cell(rest).ok_or(Error::BadArg)?;
            let [id, size, count] = reader.element(head).ok_or(Error::BadArg)?;
            fits = fits && listing.push(id, size, count).is_ok();
            rest = tail;
        }
    }
    Ok(fits.then_some(listing))
}

/// A process of this node, by its only word.
fn key(pid: Term) -> NifResult<u64> {
    match pid.is_pid() && terms::is_immediate(pid.as_c_arg()) {
        true => Ok(bits(pid.as_c_arg()) as u64),
        false => Err(Error::BadArg),
    }
}

/// The process again.
fn pid(env: Env<'_>, key: u64) -> Term<'_> {
    // SAFETY: every key is the word of a pid of this node, which refers to nothing; `ErlNifTerm` is a
    // transparent wrapper of it.
    unsafe { Term::new(env, std::mem::transmute::<usize, ErlNifTerm>(key as usize)) }
}

fn find(number: u64) -> Option<Arc<Shared>> {
    let searches = SEARCHES.lock();
    let (_, search) = searches.iter().find(|(other, _)| *other == number)?;
    search.upgrade()
}

/// Adds what the terms lead to, to what the caller reaches: `{whether that was all, bytes walked,
/// funs}`, or `:gone` where the search is over. Walks `limit` bytes of heap at most.
fn leaks_reach<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (number, limit): (u64, u64) = (args[0].decode()?, args[2].decode()?);
    let Some(search) = find(number) else {
        return Ok(atoms::gone().encode(env));
    };
    let Some(mut reach) = Reach::new(env) else {
        return Ok((false, 0, Vec::<Term>::new()).encode(env));
    };
    let (size, outcome) = measure::measure(&mut reach, args[1].as_c_arg(), limit);
    // SAFETY: the terms are of this environment.
    let apart = |term: &ErlNifTerm| unsafe { Term::new(env, *term) };
    let apart: Vec<Term> = reach.apart().iter().map(apart).collect();
    let own = key(env.pid().encode(env))?;
    // What is in order is joined fast: the sorting is not for those who wait for the lock.
    let ranges = Ranges::from(reach.ranges.into_merged());
    let taken = search.lock().reached(own, ranges).is_ok();
    let complete = outcome == Outcome::Complete && reach.complete && taken;
    Ok((complete, size.heap_bytes(), apart).encode(env))
}

/// Says that what a process reaches is known: all of it (`true`), or not (`false`). A late look of
/// another process may hold the lock for long.
#[rustler::nif(name = "leaks_looked", schedule = "DirtyCpu")]
fn looked(search: &Search, pid: Term, whole: bool) -> NifResult<bool> {
    let look = if whole { Look::Whole } else { Look::Partial };
    Ok(search.0.lock().looked(key(pid)?, look).is_ok())
}

/// `{totals, summaries}`: see `Totals` and `Summary` for the figures, in their order.
#[rustler::nif(name = "leaks_report", schedule = "DirtyCpu")]
fn report<'a>(env: Env<'a>, search: &Search, least: u64, most: usize) -> Term<'a> {
    match search.0.lock().report(least, most) {
        Ok((totals, found)) => {
            let totals = [
                totals.binaries,
                totals.held,
                totals.wasted,
                totals.doubtful,
                totals.freed,
                totals.hidden,
            ];
            let totals = terms::tuple(env, totals.map(|figure| figure.encode(env)));
            let found: Vec<Term> = found
                .iter()
                .map(|summary| summarize(env, summary))
                .collect();
            (totals, found).encode(env)
        }
        Err(fault) => answer(env, Err(fault)),
    }
}

fn summarize<'a>(env: Env<'a>, summary: &Summary) -> Term<'a> {
    let figures = [
        summary.references,
        summary.binaries,
        summary.held,
        summary.sole,
        summary.seen,
        summary.parts,
        summary.unreachable,
        summary.involved,
        summary.doubtful,
        summary.freed,
        summary.visible.old,
    ];
    let figures = terms::tuple(env, figures.map(|figure| figure.encode(env)));
    let looked = summary.look != Look::None;
    (pid(env, summary.key), looked, figures).encode(env)
}

raw_nif!("leaks_list", 5, Normal, leaks_list);
raw_nif!("leaks_list_dirty", 5, DirtyCpu, leaks_list_dirty);
raw_nif!("leaks_again", 4, DirtyCpu, leaks_again);
raw_nif!("leaks_reach", 3, DirtyCpu, leaks_reach);
