//! Several runs from one prompt, each in a fork of its own, until one is kept or all are dropped. A comparison's status
//! in the store says which step it is at; each step can be done again from its begin, so whoever finds a comparison in
//! the middle of one (the request that asked, another one, the next server) brings it to rest the same way
//! ([`settle`]). What a candidate's run does is a run's like any other.

mod begin;
mod differ;
mod drop;
mod find;
mod keep;
mod make;
mod options;
mod settle;
mod shown;
pub(crate) mod turns;

pub(crate) use begin::{Asked, CANDIDATES_MAX, CANDIDATES_MIN, begin};
pub(crate) use differ::{Changed, file, files};
pub(crate) use find::find;
pub(crate) use settle::{run, settle};
pub(crate) use shown::{Shown, one, row};
