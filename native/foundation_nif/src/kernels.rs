//! Kernels of `Foundation.BEAM.Schedulers`: small inputs at once, larger ones as jobs, in slices of
//! about a millisecond on dirty CPU schedulers, each of which is one call.
mod args;
mod binaries;
mod cells;
mod give;
mod held;
mod numbers;
mod small;

use std::time::{Duration, Instant};

use foundation_core::kernels::{self as core, Entry, Fault, KERNELS, Slice, Splits, Takes};
use rustler::codegen_runtime::c_int;
use rustler::sys::{self, ErlNifEnv, ErlNifTerm};
use rustler::{Atom, Encoder, Env, Error, NifResult, Resource, ResourceArc, Term};

use crate::janitor;
use crate::raw::{self, raw_nif};
use args::Form;
use give::Given;
use held::Held;

mod atoms {
    rustler::atoms! {
        ok, error, more, done, large, pairs, r#true = "true", r#false = "false",
        numbers, bytes, many, always, never,
        nan, infinity, negative_infinity, counts, below, above,
    }
}

/// What a slice takes.
const SLICE: Duration = Duration::from_millis(1);

/// What a handle refers to.
pub struct Job {
    job: core::Job<Held>,
    /// Whether the numbers came as a list, as which they go.
    listed: bool,
}

#[rustler::resource_impl(name = "kernel_job")]
impl Resource for Job {
    const IMPLEMENTS_DESTRUCTOR: bool = true;

    fn destructor(self, env: Env<'_>) {
        held::bury(self.job.into_remains());
        janitor::wake(env);
    }
}

/// Whether a slice goes on: for about a millisecond, and while its caller lives.
fn slice(env: Env) -> impl FnMut() -> bool {
    let begin = Instant::now();
    // SAFETY: `env` is that of the running call, on the thread that runs it.
    let alive = move || unsafe { sys::enif_is_current_process_alive(env.as_c_arg()) != 0 };
    move || begin.elapsed() < SLICE && alive()
}

/// Name, input and whether it splits, of every kernel.
#[rustler::nif(name = "kernels_all")]
fn all(env: Env) -> NifResult<Vec<(Atom, Atom, Atom)>> {
    let row = |entry: &Entry| {
        let takes = match entry.takes {
            Takes::Numbers => atoms::numbers(),
            Takes::Bytes => atoms::bytes(),
            Takes::Many => atoms::many(),
        };
        let splits = match entry.splits {
            Splits::Always => atoms::always(),
            Splits::Many => atoms::many(),
            Splits::Never => atoms::never(),
        };
        Ok((Atom::from_str(env, entry.name)?, takes, splits))
    };
    KERNELS.iter().map(row).collect()
}

/// The result of what is small, `:large` for the rest.
fn kernels_now<'a>(env: Env<'a>, given: &[Term<'a>]) -> NifResult<Term<'a>> {
    let (form, name) = asked(given)?;
    if args::are_long(given[3])? {
        return Ok(atoms::large().encode(env));
    }
    let (begin, args) = (Instant::now(), args::decode(given[3])?);
    let answer = match core::find(&name) {
        Ok(entry) => small::run(env, entry, form, given[2], args),
        Err(error) => Err(error),
    };
    let percent = begin.elapsed().as_micros() / 10;
    rustler::schedule::consume_timeslice(env, percent.clamp(1, 100) as i32);
    Ok(match answer {
        Ok(Some(term)) => (atoms::ok(), term).encode(env),
        Ok(None) => atoms::large().encode(env),
        Err(error) => failure(env, &error),
    })
}

/// How the input is given, and the name of the kernel.
fn asked(given: &[Term]) -> NifResult<(Form, String)> {
    let (form, data) = (Form::decode(given[1])?, given[2]);
    let fits = match form.is_list() {
        true => data.is_list(),
        false => data.is_binary(),
    };
    match fits {
        true => Ok((form, given[0].atom_to_string()?)),
        false => Err(Error::BadArg),
    }
}

/// A job. Arguments that take long are read on a dirty scheduler.
fn kernels_new<'a>(env: Env<'a>, given: &[Term<'a>]) -> NifResult<Term<'a>> {
    if !args::are_long(given[3])? {
        return create(env, given);
    }
    let words: Vec<ErlNifTerm> = given.iter().map(|term| term.as_c_arg()).collect();
    // SAFETY: the arguments are those of this call, which the VM gives on to the function.
    unsafe {
        let dirty = sys::ERL_NIF_DIRTY_JOB_CPU_BOUND as c_int;
        let (name, argc) = (c"kernels_new".as_ptr(), words.len() as c_int);
        let term = sys::enif_schedule_nif(
            env.as_c_arg(),
            name,
            dirty,
            create_dirty,
            argc,
            words.as_ptr(),
        );
        Ok(Term::new(env, term))
    }
}

unsafe extern "C" fn create_dirty(
    env: *mut ErlNifEnv,
    argc: c_int,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: the VM calls this with the arguments of a NIF.
    unsafe { raw::call(env, argc, argv, create) }
}

fn create<'a>(env: Env<'a>, given: &[Term<'a>]) -> NifResult<Term<'a>> {
    let ((form, name), args) = (asked(given)?, args::decode(given[3])?);
    let made = core::find(&name).and_then(|entry| {
        let held = Held::new(form, given[2])?;
        Ok(core::Job::new(entry, args, held))
    });
    let listed = form == Form::List;
    Ok(match made {
        Ok(job) => (atoms::ok(), ResourceArc::new(Job { job, listed })).encode(env),
        Err(error) => failure(env, &error),
    })
}

/// Reads on in a list: `{:more, rest}` or `:ok`.
#[rustler::nif(name = "kernels_feed", schedule = "DirtyCpu")]
fn feed<'a>(env: Env<'a>, job: &Job, list: Term<'a>) -> NifResult<Term<'a>> {
    if !list.is_list() {
        return Err(Error::BadArg);
    }
    let mut more = slice(env);
    let fed = job.job.feed(|held| held.feed(env, list, &mut more));
    answer(env, fed, |(rest, complete)| match complete {
        true => atoms::ok().encode(env),
        false => (atoms::more(), rest).encode(env),
    })
}

/// Makes the kernels: `{:ok, parts}`.
#[rustler::nif(name = "kernels_split", schedule = "DirtyCpu")]
fn split<'a>(env: Env<'a>, job: &Job, parts: usize) -> NifResult<Term<'a>> {
    let made = share(&job.job, parts);
    answer(env, made, |made| (atoms::ok(), made).encode(env))
}

fn share(job: &core::Job<Held>, parts: usize) -> Result<usize, Fault> {
    job.feed(|held| match held {
        Held::One(_) => Ok(held.complete(&mut || true)?),
        _ => Ok(true),
    })?;
    job.split(parts)
}

/// What is left of a job of one part, which need not be made before: `{:more, done, all}`, and in the
/// end what `kernels_take` answers. A hop takes as long as short jobs do.
#[rustler::nif(name = "kernels_run", schedule = "DirtyCpu")]
fn run<'a>(env: Env<'a>, job: &Job) -> NifResult<Term<'a>> {
    let mut more = slice(env);
    match advance(&job.job, &mut more) {
        Ok(Slice::Done) => give(env, job, Term::list_new_empty(env), &mut more),
        other => answer(env, other, |step| stepped(env, step)),
    }
}

fn advance(job: &core::Job<Held>, more: &mut dyn FnMut() -> bool) -> Result<Slice, Fault> {
    if job.is_feeding() {
        share(job, 1)?;
    }
    let step = job.step(0, more)?;
    if matches!(step, Slice::Done) {
        job.finish()?;
    }
    Ok(step)
}

fn stepped(env: Env<'_>, step: Slice) -> Term<'_> {
    match step {
        Slice::More(done, all) => (atoms::more(), done, all).encode(env),
        Slice::Done => atoms::done().encode(env),
    }
}

/// Goes on with a part: `{:more, done, all}` or `:done`.
#[rustler::nif(name = "kernels_step", schedule = "DirtyCpu")]
fn step<'a>(env: Env<'a>, job: &Job, part: usize) -> NifResult<Term<'a>> {
    let step = job.job.step(part, &mut slice(env));
    answer(env, step, |step| stepped(env, step))
}

/// Joins all parts into the first, which is to be stepped then.
#[rustler::nif(name = "kernels_join", schedule = "DirtyCpu")]
fn join<'a>(env: Env<'a>, job: &Job) -> NifResult<Term<'a>> {
    answer(env, job.job.join(), |()| atoms::ok().encode(env))
}

/// Takes of the result: `{:ok, value}`, or `{:more, acc}` or `{:pairs, pairs}` where it goes on.
#[rustler::nif(name = "kernels_take", schedule = "DirtyCpu")]
fn take<'a>(env: Env<'a>, job: &Job, acc: Term<'a>) -> NifResult<Term<'a>> {
    if !acc.is_list() {
        return Err(Error::BadArg);
    }
    give(env, job, acc, &mut slice(env))
}

fn give<'a>(
    env: Env<'a>,
    job: &Job,
    acc: Term<'a>,
    more: &mut dyn FnMut() -> bool,
) -> NifResult<Term<'a>> {
    let taken = job
        .job
        .take(|value, input| Ok(give::slice(env, value, input, job.listed, acc, more)?));
    if !matches!(
        taken,
        Ok(Given::More(_) | Given::Pairs(_)) | Err(Fault::Misuse)
    ) {
        end(env, job);
    }
    answer(env, taken, |given| match given {
        Given::All(term) => (atoms::ok(), term).encode(env),
        Given::More(term) => (atoms::more(), term).encode(env),
        Given::Pairs(term) => (atoms::pairs(), term).encode(env),
    })
}

/// Ends a job that nobody works on: false where somebody does.
#[rustler::nif(name = "kernels_close")]
fn close(env: Env, job: &Job) -> bool {
    end(env, job)
}

fn end(env: Env, job: &Job) -> bool {
    let remains = job.job.close();
    let ended = remains.is_some();
    if let Some(remains) = remains {
        held::bury(remains);
        janitor::wake(env);
    }
    ended
}

fn answer<'a, T>(
    env: Env<'a>,
    result: Result<T, Fault>,
    term: impl FnOnce(T) -> Term<'a>,
) -> NifResult<Term<'a>> {
    match result {
        Ok(found) => Ok(term(found)),
        Err(Fault::Misuse) => Err(Error::BadArg),
        Err(Fault::Kernel(error)) => Ok(failure(env, &error)),
    }
}

/// `{:error, {reason, message, figures}}`.
fn failure<'a>(env: Env<'a>, error: &core::Error) -> Term<'a> {
    let atom = |name: &str| Atom::from_str(env, name).map(|atom| atom.encode(env));
    let figures = error.figures().into_iter();
    let figures = figures.map(|(name, figure)| Ok((atom(name)?, figure.encode(env))));
    let context = figures
        .collect::<NifResult<Vec<_>>>()
        .and_then(|figures| Term::map_from_pairs(env, &figures));
    match (atom(error.reason()), context) {
        (Ok(reason), Ok(context)) => {
            (atoms::error(), (reason, error.to_string(), context)).encode(env)
        }
        _ => atoms::error().encode(env),
    }
}

raw_nif!("kernels_now", 4, Normal, kernels_now);
raw_nif!("kernels_new", 4, Normal, kernels_new);
