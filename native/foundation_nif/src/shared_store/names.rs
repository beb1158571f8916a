//! Stores by name: read at every call by name, written when a named store comes or goes.
use std::sync::LazyLock;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustler::sys::ErlNifTerm;
use rustler::{Env, ResourceArc, Term};

use super::Handle;
use crate::terms::bits;

/// By the word of the name, sorted. Few: a program names its stores.
type Names = Vec<(usize, ResourceArc<Handle>)>;

static NAMES: LazyLock<ArcSwap<Names>> = LazyLock::new(|| ArcSwap::from_pointee(Vec::new()));
static WRITER: Mutex<()> = Mutex::new(());

/// The word of an atom.
pub fn word(name: Term) -> usize {
    bits(name.as_c_arg())
}

/// The atom of a word.
pub fn atom(env: Env<'_>, word: usize) -> Term<'_> {
    // SAFETY: the word was an atom's; atoms are the same everywhere and never go.
    unsafe { Term::new(env, std::mem::transmute::<usize, ErlNifTerm>(word)) }
}

/// Calls `then` with the store of a name.
#[inline]
pub fn with<R>(name: Term, then: impl FnOnce(&Handle) -> R) -> Option<R> {
    let names = NAMES.load();
    let at = position(&names, word(name)).ok()?;
    let handle = &names[at].1;
    (!handle.store.is_closed()).then(|| then(handle))
}

/// The store of a name.
pub fn find(word: usize) -> Option<ResourceArc<Handle>> {
    let names = NAMES.load();
    let at = position(&names, word).ok()?;
    Some(names[at].1.clone())
}

/// Names a store, unless the name is taken: then by whom.
pub fn add(word: usize, handle: &ResourceArc<Handle>) -> Option<ResourceArc<Handle>> {
    let _writer = WRITER.lock();
    let mut names = Names::clone(&NAMES.load());
    match position(&names, word) {
        Ok(at) => return Some(names[at].1.clone()),
        Err(at) => names.insert(at, (word, handle.clone())),
    }
    NAMES.store(names.into());
    None
}

/// Takes the name of a store away.
pub fn remove(handle: &Handle) {
    let Some(word) = handle.name else {
        return;
    };
    let before = {
        let _writer = WRITER.lock();
        let mut names = Names::clone(&NAMES.load());
        match position(&names, word) {
            Ok(at) if names[at].1.id == handle.id => names.remove(at),
            _ => return,
        };
        NAMES.swap(names.into())
    };
    // Maybe the last reference to the store: not under the lock.
    drop(before);
}

fn position(names: &Names, word: usize) -> Result<usize, usize> {
    names.binary_search_by_key(&word, |name| name.0)
}
