//! What the store keeps under one key.
use std::ptr::NonNull;
use std::sync::Arc;

use foundation_core::measure::{self, Outcome, Size};
use foundation_core::memory::{self, Owner};
use foundation_core::shared_store::shapes::Shapes;
use foundation_core::shared_store::{Entry, Key, Meta};
use foundation_core::shared_term::{Arena, Held};
use rustler::sys::*;
use rustler::{Env, Term};

use crate::arena::{TermArena, copy};
use crate::image::Image;
use crate::janitor::KEEPER;
use crate::measure::{Terms, is_within};
use crate::terms::{bits, is_immediate, tuple};

/// Bytes of key and value that are kept in one block, and copied out under the shard's lock: about
/// a microsecond. What is larger has an environment of its own.
const BLOCK_BYTES: u64 = 8 * 1024;

/// The same with a packed value, which is copied out beside the lock.
const PACKED_BYTES: u64 = 72 * 1024;

/// Bytes copied in on a normal scheduler: about 100 us.
pub const NORMAL_BYTES: u64 = 256 * 1024;

/// Bytes of a key that a normal scheduler hashes and compares.
const KEY_BYTES: u64 = 16 * 1024;

/// Bytes of a key that a dirty scheduler hashes and compares: neither looks whether it should stop, and
/// a term that shares its parts over and over has no end for them.
const LARGEST_KEY_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes on the caller's heap that a value may take there before it is better sent as a message.
pub const INLINE_BYTES: u64 = 16 * 1024;

/// Key and value: a block of our own, or a frozen environment. One word, so that slots are small:
/// the lowest bit says which.
pub struct Record(NonNull<()>);

/// What the other kind points to: the store's own words are not the readers'.
#[repr(C)]
struct Large {
    meta: Meta,
    frozen: Arc<Frozen>,
}

/// A key and a value frozen together; readers keep it beyond the shard's lock.
pub struct Frozen {
    body: Body,
    bytes: u64,
    weight: u64,
    /// Key and value in it.
    pair: [ErlNifTerm; 2],
    /// Whether the value is the packed form of what was put.
    pub packed: bool,
}

/// Where they lie.
enum Body {
    /// There until the drop.
    Arena(Option<Held<TermArena>>),
    /// A value in its packed form has few words, so it needs no environment.
    Block { _image: Image },
}

/// What a record shows.
pub enum View<'a> {
    /// A block.
    Small(&'a Image),
    /// An environment.
    Large(&'a Arc<Frozen>),
}

const FROZEN: usize = 1;

// SAFETY: a record owns what it points to: an image or a counted pointer to a frozen environment,
// both of which are made to be read by any thread, and freed by any.
unsafe impl Send for Record {}
// SAFETY: as above; it is changed through `&mut` alone.
unsafe impl Sync for Record {}

impl Record {
    /// A record of a key and a value of any kind that fits into a block.
    pub fn small(env: Env, shapes: &Shapes, key: Term, value: Term) -> Option<Record> {
        let image = Image::build(env, shapes, key.as_c_arg(), value.as_c_arg(), BLOCK_BYTES)?;
        memory::enter(Owner::SharedStores, image.bytes());
        // The block is aligned to words, so the lowest bit is free.
        let pointer: NonNull<u64> = image.into_raw();
        Some(Record(pointer.cast()))
    }

    /// A record of any key and value, of the size of both.
    pub fn large<'a>(
        env: Env<'a>,
        key: Term<'a>,
        value: Term<'a>,
        size: Size,
        packed: bool,
    ) -> Record {
        let pair = tuple(env, [key, value]);
        let arena = TermArena::freeze(pair, size);
        Record::frozen(Frozen {
            bytes: arena.bytes(),
            weight: arena.weight(),
            pair: arena.pair(),
            body: Body::Arena(Some(Held::new(arena, Owner::SharedStores))),
            packed,
        })
    }

    /// A record of a key and the packed form of a value, where that is no larger than a block takes.
    pub fn packed(env: Env, shapes: &Shapes, key: Term, packed: Term) -> Option<Record> {
        let image = Image::build(env, shapes, key.as_c_arg(), packed.as_c_arg(), PACKED_BYTES)?;
        memory::enter(Owner::SharedStores, image.bytes());
        Some(Record::frozen(Frozen {
            bytes: image.bytes(),
            weight: image.bytes(),
            pair: [image.key(), image.value()],
            body: Body::Block { _image: image },
            packed: true,
        }))
    }

    fn frozen(frozen: Frozen) -> Record {
        let raw = Box::into_raw(Box::new(Large {
            meta: Meta::new(),
            frozen: Arc::new(frozen),
        }));
        let tagged = raw.map_addr(|address| address | FROZEN);
        // SAFETY: it points to a box, so it is not null; with the bit less so.
        Record(unsafe { NonNull::new_unchecked(tagged.cast()) })
    }

    /// As [`Self::large`], where a normal scheduler can measure and copy it.
    pub fn measured<'a>(env: Env<'a>, key: Term<'a>, value: Term<'a>) -> Option<Record> {
        let mut source = Terms::new(env);
        let pair = tuple(env, [key, value]);
        match measure::measure(&mut source, pair.as_c_arg(), NORMAL_BYTES) {
            (size, Outcome::Complete) if source.apart.is_empty() => {
                Some(Record::large(env, key, value, size, false))
            }
            _ => None,
        }
    }

    /// What it is.
    #[inline]
    pub fn view<R>(&self, look: impl FnOnce(View) -> R) -> R {
        if !self.is_large() {
            // SAFETY: without the bit it is an image's pointer, which stays the record's own:
            // `ManuallyDrop` keeps it from being freed here.
            let image = std::mem::ManuallyDrop::new(unsafe { Image::from_raw(self.0.cast()) });
            look(View::Small(&image))
        } else {
            // SAFETY: with the bit it is a box's pointer, which stays the record's own.
            look(View::Large(unsafe { &(*self.as_large()).frozen }))
        }
    }

    /// The image, to be changed.
    pub fn image_mut<R>(&mut self, change: impl FnOnce(Option<&mut Image>) -> R) -> R {
        if self.is_large() {
            return change(None);
        }
        // SAFETY: as in `view`, and nobody else has the record.
        let mut image = std::mem::ManuallyDrop::new(unsafe { Image::from_raw(self.0.cast()) });
        change(Some(&mut image))
    }

    /// The value where it is a number in a block: a number has few bytes.
    pub fn number<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        self.view(|view| match view {
            View::Small(image) => Some(copy(env, image.value())),
            View::Large(frozen) if frozen.bytes() <= INLINE_BYTES => {
                Some(copy(env, frozen.value()))
            }
            View::Large(_) => None,
        })
        .filter(|value| value.is_number())
    }

    /// Whether it is of this key.
    #[inline]
    pub fn is(&self, key: ErlNifTerm) -> bool {
        let own = self.view(|view| match view {
            View::Small(image) => image.key(),
            View::Large(frozen) => frozen.key(),
        });
        if bits(own) == bits(key) {
            return true;
        }
        // SAFETY: both are alive during the call.
        !is_immediate(own) && !is_immediate(key) && unsafe { enif_is_identical(own, key) != 0 }
    }

    #[inline]
    fn is_large(&self) -> bool {
        self.0.as_ptr().addr() & FROZEN != 0
    }

    #[inline]
    fn as_large(&self) -> *mut Large {
        self.0
            .as_ptr()
            .cast::<Large>()
            .map_addr(|address| address & !FROZEN)
    }
}

impl Entry for Record {
    fn bytes(&self) -> u64 {
        self.view(|view| match view {
            View::Small(image) => image.bytes(),
            View::Large(frozen) => frozen.weight,
        })
    }

    #[inline]
    fn meta(&self) -> &Meta {
        // SAFETY: both kinds begin with it, and it stays as long as the record.
        unsafe { &*self.as_large().cast() }
    }

    #[inline]
    fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as above, and nobody else has the record.
        unsafe { &mut *self.as_large().cast() }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_large() {
            // SAFETY: the pointer is an image's, and the record owns it.
            let image = unsafe { Image::from_raw(self.0.cast()) };
            memory::leave(Owner::SharedStores, image.bytes());
        } else {
            // SAFETY: the pointer is a box's, and the record owns it.
            drop(unsafe { Box::from_raw(self.as_large()) });
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        match &mut self.body {
            Body::Arena(held) => {
                if let Some(held) = held.take() {
                    held.free(&KEEPER);
                }
            }
            Body::Block { .. } => memory::leave(Owner::SharedStores, self.bytes),
        }
    }
}

impl Frozen {
    /// The frozen key, to be read while the record is there.
    pub fn key(&self) -> ErlNifTerm {
        self.pair[0]
    }

    /// The frozen value.
    pub fn value(&self) -> ErlNifTerm {
        self.pair[1]
    }

    /// Bytes of both.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A key to look for; `None` where it takes too long for the scheduler.
pub fn key<'a>(
    env: Env<'a>,
    term: Term<'a>,
    salt: u32,
    dirty: bool,
) -> Option<Key<impl Fn(&Record) -> bool + use<>>> {
    let word = term.as_c_arg();
    let most = if dirty { LARGEST_KEY_BYTES } else { KEY_BYTES };
    if !is_within(env, word, most, dirty) {
        return None;
    }
    // SAFETY: the term is alive during the call.
    let hash = unsafe { enif_hash(ErlNifHash::ERL_NIF_INTERNAL_HASH, word, u64::from(salt)) };
    Some(Key {
        hash: hash as u32,
        is: move |record: &Record| record.is(word),
    })
}
