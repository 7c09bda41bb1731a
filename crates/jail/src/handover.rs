//! What goes from the launcher to its child, and what both say to the one who started them.

use crate::{failure::Failure, spec::Spec, wire};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write as _},
    os::fd::OwnedFd,
};

/// Descriptors are moved at least this high, above every number that the program gets.
pub(crate) const HIGH: i32 = 64;

/// What the launcher tells its child once it has ids. Comes with the mounts that the launcher made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    /// Whether each mount's owners are mapped; `None` when left out. Empty: the child makes the
    /// mounts itself.
    pub(crate) mapped: Vec<Option<bool>>,
}

/// What the child has when it begins.
pub(crate) struct Seat {
    pub(crate) spec: Spec,
    pub(crate) socket: OwnedFd,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) launcher: OwnedFd,
}

/// Tells the caller, or at least the log, what failed.
pub(crate) fn report(socket: &OwnedFd, failure: &Failure) {
    let _ = writeln!(io::stderr(), "launcher: {failure}");
    // Nobody listens any more: the log has it.
    let _ = wire::send(socket, &failure.report(), &[]);
}
