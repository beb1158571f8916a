//! What happened in stores by itself, for events: counted here, told in batches.
use std::sync::{Arc, Weak};

use foundation_core::shared_store::Store;
use parking_lot::Mutex;
use rustler::{Encoder, Env, Term};

use super::names;
use super::record::Record;

/// A store, and what of its figures has been told.
struct Told {
    store: Weak<Store<Record>>,
    id: u64,
    name: Option<usize>,
    evictions: u64,
    expirations: u64,
}

static TOLD: Mutex<Vec<Told>> = Mutex::new(Vec::new());

/// Begins to report on a store.
pub fn add(store: &Arc<Store<Record>>, id: u64, name: Option<usize>) {
    TOLD.lock().push(Told {
        store: Arc::downgrade(store),
        id,
        name,
        evictions: 0,
        expirations: 0,
    });
}

impl Told {
    /// What is new, if anything.
    fn news(&mut self, store: &Store<Record>) -> Option<(u64, u64)> {
        let (evictions, expirations) = store.losses();
        let (evicted, expired) = (evictions - self.evictions, expirations - self.expirations);
        (self.evictions, self.expirations) = (evictions, expirations);
        (evicted + expired > 0).then_some((evicted, expired))
    }
}

/// `{id, name | nil, evicted, expired}` of the stores where something was, since the last call.
#[rustler::nif(name = "shared_store_reports", schedule = "DirtyCpu")]
fn reports(env: Env) -> Vec<Term> {
    // Kept until the lock is gone: the last reference to a store ends it.
    let mut seen = Vec::new();
    let mut news = Vec::new();
    TOLD.lock().retain_mut(|told| {
        let Some(store) = told.store.upgrade() else {
            return false;
        };
        if let Some((evicted, expired)) = told.news(&store) {
            let name = told.name.map(|name| names::atom(env, name));
            news.push((told.id, name, evicted, expired).encode(env));
        }
        seen.push(store);
        true
    });
    news
}
