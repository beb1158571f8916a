//! The NIFs of `Foundation.Native`: decode, call core, encode. One module a domain.
#![allow(missing_docs)]

mod load;

rustler::init!("Elixir.Foundation.Native", load = load::on_load);
