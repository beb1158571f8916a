//! The process that takes the steps of the reaper, and how it is told that there is something to do.
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use foundation_core::memory::{TIDE, held_by_all};
use foundation_core::reaper::{Mortal, Next, Reaper};
use foundation_core::shared_term::Keeper;
use parking_lot::Mutex;
use rustler::sys::{ErlNifTimeUnit, enif_monotonic_time};
use rustler::{Atom, Encoder, Env, LocalPid, Term};

use crate::arena::TermArena;
use crate::memory::give_back;
use crate::shared_store::STORES;
use crate::terms::atoms;

/// Ends and frees what this library holds.
pub static KEEPER: Keeper<TermArena> = Keeper::new();

/// What has no deadline, and is freed once nobody wants it.
pub static LEFTOVERS: Reaper<Nobody, Box<dyn Send>> = Reaper::new();

/// Nothing has a deadline there.
pub enum Nobody {}

impl Mortal for Nobody {
    fn expire(&self) {
        match *self {}
    }
}

static JANITOR: Mutex<Option<LocalPid>> = Mutex::new(None);

/// A step's length on a dirty scheduler.
const STEP: Duration = Duration::from_millis(1);

/// The same on a normal one.
const SLICE: Duration = Duration::from_micros(100);

/// Where our clock has its zero, in nanoseconds: the VM's starts below its own, by under twenty
/// years.
const ZERO: i64 = -(1 << 60);

/// A time on the machine's clock, and the same on the VM's.
static START: LazyLock<(Instant, u64)> = LazyLock::new(|| {
    // SAFETY: may be called on any thread of the VM.
    let time = unsafe { enif_monotonic_time(ErlNifTimeUnit::ERL_NIF_NSEC) };
    (Instant::now(), time.wrapping_sub(ZERO) as u64)
});

/// Milliseconds on a clock that began with the VM's monotonic one. The machine's own costs 25 ns
/// to read, the VM's three times that, which shows in every read of an entry that expires.
#[inline]
pub fn now() -> u64 {
    nanoseconds() / 1_000_000
}

/// The same rounded up: what ends so many milliseconds after it does not end before they have passed.
#[inline]
pub fn now_up() -> u64 {
    nanoseconds().div_ceil(1_000_000)
}

#[inline]
fn nanoseconds() -> u64 {
    let (start, time) = *START;
    let since = start.elapsed();
    time + since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

/// Wakes the janitor where the reaper wants it. Called after whatever may have ended a term.
#[inline]
pub fn wake(env: Env) {
    if KEEPER.take_wanted() || STORES.take_wanted() || LEFTOVERS.take_wanted() {
        tell(env);
    }
}

#[cold]
fn tell(env: Env) {
    let janitor = *JANITOR.lock();
    if let Some(pid) = janitor
        && env.send(&pid, atoms::foundation_janitor_step()).is_err()
    {
        // The VM lets nobody send who was killed while on a dirty scheduler: the next caller does.
        if pid.is_alive(env) {
            return KEEPER.want();
        }
        // Its successor may have come meanwhile, and is not sent away.
        let mut janitor = JANITOR.lock();
        if *janitor == Some(pid) {
            set(&mut janitor, None);
        }
    }
}

/// Both change under the lock: whoever is known as the janitor is who takes steps.
fn set(janitor: &mut Option<LocalPid>, to: Option<LocalPid>) {
    *janitor = to;
    KEEPER.attend(to.is_some());
    STORES.attend(to.is_some());
    LEFTOVERS.attend(to.is_some());
}

#[rustler::nif(name = "janitor_attend")]
fn attend(pid: LocalPid) -> Atom {
    set(&mut JANITOR.lock(), Some(pid));
    atoms::ok()
}

#[rustler::nif(name = "janitor_leave")]
fn leave() -> Atom {
    set(&mut JANITOR.lock(), None);
    atoms::ok()
}

/// Ends shared terms, and frees what is large or was cleared: `:more`, `:idle`, or milliseconds
/// until the next step is due. After much was freed, one step gives it back to the system, which
/// takes up to 20 ms.
#[rustler::nif(name = "janitor_step", schedule = "DirtyCpu")]
fn step(env: Env) -> Term {
    let begin = Instant::now();
    let now = now();
    let enough = || begin.elapsed() >= STEP;
    if STORES.free(enough) || LEFTOVERS.step(now, enough) == Next::Now {
        return atoms::more().encode(env);
    }
    let next = KEEPER.step(now, enough);
    if next != Next::Now && TIDE.has_ebbed(held_by_all()) {
        give_back();
    }
    answer(env, now, next)
}

/// Frees expired entries of stores, with the same answers. On a normal scheduler: a dirty thread
/// may lose its core to others while it holds a shard's lock, and all who want that shard wait.
#[rustler::nif(name = "janitor_expire")]
fn expire(env: Env) -> Term {
    let begin = Instant::now();
    let next = STORES.expire(|| begin.elapsed() >= SLICE);
    let percent = begin.elapsed().as_micros() / 10;
    rustler::schedule::consume_timeslice(env, percent.clamp(1, 100) as i32);
    answer(env, now(), next)
}

fn answer(env: Env<'_>, now: u64, next: Next) -> Term<'_> {
    match next {
        Next::Now => atoms::more().encode(env),
        Next::Idle => atoms::idle().encode(env),
        Next::At(time) => time.saturating_sub(now).encode(env),
    }
}
