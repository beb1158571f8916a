//! Stores: handles, names and owners.
mod batch;
mod names;
mod read;
mod record;
mod reports;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foundation_core::memory::{Charge, Owner};
use foundation_core::reaper::NEVER;
use foundation_core::shared_store::{Key, Limits, Store, Stores};
use parking_lot::Mutex;
use rustler::{Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};

use crate::janitor;
use crate::raw::raw_nif;
use crate::terms::atoms;
use record::Record;

/// Every store of this VM.
pub static STORES: Stores<Record> = Stores::new();

static IDS: AtomicU64 = AtomicU64::new(1);

/// What a store is made with.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Config {
    limits: Limits,
    /// Milliseconds that an entry lives, [`NEVER`] for ever.
    ttl: u64,
    /// Bytes above which values are packed.
    compress_above: u64,
}

/// What a handle refers to.
pub struct Handle {
    store: Arc<Store<Record>>,
    config: Config,
    id: u64,
    /// For keys' hashes, so that nobody outside can choose keys of one bucket.
    salt: u32,
    /// The word of the atom that it is known by.
    name: Option<usize>,
    owner: Mutex<Ownership>,
    _charge: Charge,
}

/// Whose life the store's depends on.
struct Ownership {
    owner: Option<(LocalPid, Monitor)>,
    /// Watched from the start: `down`, in which it may become the owner, cannot begin to. Without a
    /// monitor it is the owner, whose monitor that is now.
    heir: Option<(LocalPid, Option<Monitor>)>,
}

#[rustler::resource_impl]
impl Resource for Handle {
    const IMPLEMENTS_DESTRUCTOR: bool = true;
    const IMPLEMENTS_DOWN: bool = true;

    fn destructor(self, env: Env<'_>) {
        drop(self);
        janitor::wake(env);
    }

    fn down<'a>(&'a self, env: Env<'a>, pid: LocalPid, monitor: Monitor) {
        let heir = {
            let mut ownership = self.owner.lock();
            if ownership.heir.is_some_and(|heir| heir.1 == Some(monitor)) {
                ownership.heir = None;
                return;
            }
            match ownership.owner {
                Some((_, known)) if known == monitor => ownership.inherit(),
                // It is somebody else's by now.
                _ => return,
            }
        };
        match heir {
            Some(heir) => self.tell_heir(env, heir, pid),
            None => self.close(env),
        }
    }
}

impl Ownership {
    /// Whether the heir is the owner now.
    fn is_inherited(&self) -> bool {
        let heir = self.heir.map(|heir| heir.0);
        heir.is_some() && self.owner.map(|owner| owner.0) == heir
    }

    /// Makes a living heir the owner.
    fn inherit(&mut self) -> Option<LocalPid> {
        let heir = self.heir.as_mut();
        self.owner = heir.and_then(|heir| Some((heir.0, heir.1.take()?)));
        self.owner.map(|owner| owner.0)
    }
}

impl Handle {
    /// Ends the store, and its name.
    fn close(&self, env: Env) {
        names::remove(self);
        self.store.close();
        janitor::wake(env);
    }

    /// Makes a living process the owner, where `may` says so.
    fn own(
        &self,
        env: Env,
        resource: &ResourceArc<Handle>,
        pid: LocalPid,
        may: impl FnOnce(&Ownership) -> bool,
    ) -> bool {
        // Under the lock, for which `down` waits: the process may die as soon as it is watched, and
        // whoever had the store until now may be dying.
        let mut ownership = self.owner.lock();
        if !may(&ownership) {
            return false;
        }
        let Some(monitor) = env.monitor(resource, &pid) else {
            return false;
        };
        if let Some((_, before)) = ownership.owner.replace((pid, monitor)) {
            env.demonitor(resource, &before);
        }
        true
    }

    /// Sets who is to become the owner; nobody, where that process is not alive.
    fn set_heir(&self, env: Env, resource: &ResourceArc<Handle>, heir: Option<LocalPid>) {
        let mut ownership = self.owner.lock();
        let watched = heir.and_then(|pid| Some((pid, Some(env.monitor(resource, &pid)?))));
        let before = std::mem::replace(&mut ownership.heir, watched);
        if let Some(monitor) = before.and_then(|before| before.1) {
            env.demonitor(resource, &monitor);
        }
    }

    fn tell_heir(&self, env: Env, heir: LocalPid, from: LocalPid) {
        // Only named stores have heirs. One that was closed has none any more, and its name may be
        // another's.
        if let Some(resource) = self.name.and_then(names::find)
            && resource.id == self.id
        {
            tell(env, &resource, heir, from);
        }
    }

    /// When an entry that is put now ends; `None` for what is no ttl.
    fn deadline(&self, ttl: Term) -> Option<u64> {
        let ttl = match ttl.decode::<u64>() {
            Ok(ttl) => ttl,
            Err(_) if atoms::default() == ttl => self.config.ttl,
            Err(_) => return None,
        };
        Some(match ttl {
            NEVER => NEVER,
            0 => janitor::now(),
            ttl => janitor::now_up().saturating_add(ttl).min(NEVER - 1),
        })
    }

    fn key<'a>(
        &self,
        env: Env<'a>,
        term: Term<'a>,
        dirty: bool,
    ) -> Option<Key<impl Fn(&Record) -> bool + use<>>> {
        record::key(env, term, self.salt, dirty)
    }
}

/// Tells a process that it owns a store now.
fn tell(env: Env, resource: &ResourceArc<Handle>, to: LocalPid, from: LocalPid) {
    let store = store_term(env, resource);
    let message = (atoms::foundation_store_transfer(), store, from);
    // A process that has just died is told nothing, and its monitor says so.
    let _sent = env.send(&to, message);
}

/// What users know the store by.
fn store_term<'a>(env: Env<'a>, resource: &ResourceArc<Handle>) -> Term<'a> {
    match resource.name {
        Some(name) => names::atom(env, name),
        None => resource.encode(env),
    }
}

/// The store behind a name or a handle, and what `then` makes of it.
fn with<'a>(
    env: Env<'a>,
    store: Term<'a>,
    then: impl FnOnce(&Handle) -> NifResult<Term<'a>>,
) -> NifResult<Term<'a>> {
    let answer = if store.is_atom() {
        match names::with(store, |handle| then(handle)) {
            Some(answer) => answer,
            None => return Ok(atoms::gone().encode(env)),
        }
    } else {
        match store.decode::<&Handle>() {
            Ok(handle) if handle.store.is_closed() => return Ok(atoms::gone().encode(env)),
            Ok(handle) => then(handle),
            Err(_) => return Ok(atoms::no_store().encode(env)),
        }
    };
    janitor::wake(env);
    answer
}

/// As [`with`], for what changes who owns the store.
fn with_resource<'a>(
    env: Env<'a>,
    store: Term<'a>,
    then: impl FnOnce(&ResourceArc<Handle>) -> Term<'a>,
) -> NifResult<Term<'a>> {
    let resource = if store.is_atom() {
        names::find(names::word(store))
    } else {
        match store.decode::<ResourceArc<Handle>>() {
            Ok(resource) => Some(resource),
            Err(_) => return Ok(atoms::no_store().encode(env)),
        }
    };
    Ok(
        match resource.filter(|resource| !resource.store.is_closed()) {
            Some(resource) => then(&resource),
            None => atoms::gone().encode(env),
        },
    )
}

/// `handle`, or `{:taken, owner | nil}`.
fn shared_store_new<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let name = match args[0] {
        name if atoms::nil() == name => None,
        name if name.is_atom() => Some(names::word(name)),
        _ => return Err(rustler::Error::BadArg),
    };
    let (owner, heir): (Option<LocalPid>, Option<LocalPid>) =
        (args[1].decode()?, args[2].decode()?);
    if name.is_some() && owner.is_none() {
        // Nothing would ever end it.
        return Err(rustler::Error::BadArg);
    }
    let (entries, bytes, ttl, compress_above): (u64, u64, u64, u64) = args[3].decode()?;
    let config = Config {
        limits: Limits { entries, bytes },
        ttl,
        compress_above,
    };
    if let Some(living) = name.and_then(names::find) {
        return Ok(take_over(env, &living, config, owner, heir));
    }
    let handle = make(name, config);
    if let Some(name) = name
        && let Some(living) = names::add(name, &handle)
    {
        return Ok(taken(env, &living));
    }
    if let Some(owner) = owner
        && !handle.own(env, &handle, owner, |_| true)
    {
        handle.close(env);
    }
    handle.set_heir(env, &handle, heir);
    Ok(handle.encode(env))
}

fn make(name: Option<usize>, config: Config) -> ResourceArc<Handle> {
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    let own = size_of::<Handle>() as u64;
    let store = Store::new(config.limits, janitor::now, &STORES);
    reports::add(&store, id, name);
    ResourceArc::new(Handle {
        store,
        config,
        id,
        salt: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), id) as u32,
        name,
        owner: Mutex::new(Ownership {
            owner: None,
            heir: None,
        }),
        _charge: Charge::new(Owner::SharedStores, own),
    })
}

/// A store that has come to its heir goes back to whoever makes one of the same name and kind.
fn take_over<'a>(
    env: Env<'a>,
    living: &ResourceArc<Handle>,
    config: Config,
    owner: Option<LocalPid>,
    heir: Option<LocalPid>,
) -> Term<'a> {
    let take =
        |owner| living.config == config && living.own(env, living, owner, Ownership::is_inherited);
    match owner {
        Some(owner) if take(owner) => {
            living.set_heir(env, living, heir);
            living.encode(env)
        }
        _ => taken(env, living),
    }
}

fn taken<'a>(env: Env<'a>, living: &ResourceArc<Handle>) -> Term<'a> {
    let owner = living.owner.lock().owner.map(|owner| owner.0);
    (atoms::taken(), owner).encode(env)
}

/// `:ok`, or `:noproc`.
fn shared_store_give_away<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    let pid: LocalPid = args[1].decode()?;
    with_resource(env, args[0], |resource| {
        if !resource.own(env, resource, pid, |_| true) {
            return atoms::noproc().encode(env);
        }
        tell(env, resource, pid, env.pid());
        atoms::ok().encode(env)
    })
}

fn shared_store_close<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with_resource(env, args[0], |resource| {
        resource.close(env);
        atoms::ok().encode(env)
    })
}

/// `{id, name | nil, owner | nil, heir | nil}`.
fn shared_store_about<'a>(env: Env<'a>, args: &[Term<'a>]) -> NifResult<Term<'a>> {
    with_resource(env, args[0], |resource| {
        let ownership = resource.owner.lock();
        let owner = ownership.owner.map(|owner| owner.0);
        let name = resource.name.map(|name| names::atom(env, name));
        let heir = ownership.heir.map(|heir| heir.0);
        (resource.id, name, owner, heir).encode(env)
    })
}

raw_nif!("shared_store_new", 4, Normal, shared_store_new);
raw_nif!("shared_store_give_away", 2, Normal, shared_store_give_away);
raw_nif!("shared_store_close", 1, Normal, shared_store_close);
raw_nif!("shared_store_about", 1, Normal, shared_store_about);
