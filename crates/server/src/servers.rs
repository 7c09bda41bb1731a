//! Other servers on the same database: which there are (`known`), whose machine a project's is (`elsewhere`, `bind`,
//! `still_here`), what this server says of itself (`watch`), and whose machines it goes on with (`takeover`). Machines of
//! others are nowhere in `machines`: whoever looks through that finds this server's own, and those of projects that have
//! none yet. Who takes over runs is in `runs`.

pub(crate) mod bind;
pub(crate) mod elsewhere;
pub(crate) mod known;
pub(crate) mod still_here;
mod takeover;
mod watch;

pub(crate) use bind::bind;
pub(crate) use known::{join, me};
pub(crate) use takeover::{instead, prepare};
pub(crate) use watch::{run, tell_runs, tell_shared};
