//! Real machines on this host: what they can see, reach and do, and what they leave behind. Where
//! the host lacks what a test needs it prints why and is skipped; as root the main story also runs
//! as an ordinary user.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests: a panic is the answer")]

mod bombs;
mod checkpoints;
mod direct;
mod escape;
mod frozen;
mod full;
mod full_start;
mod hits;
mod host;
mod images;
mod killed;
mod lab;
mod life;
mod limits;
mod race;
mod read_only;
mod room;
mod several;
mod steps;
mod user;
