//! The durable steps of a machine's life: each is named where it has just been done, so that a test
//! can end a server exactly there and see what the next one makes of it. Nothing happens here
//! unless [`arm`] was called, which the binary does for a variable that only tests set.

use rustix::process::{Signal, getpid, kill_process};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::park,
};

/// Every step of a machine. What comes before the point is the deed.
pub const ALL: &[&str] = &[
    "create.slot",
    "create.log",
    "create.copied",
    "create.placed",
    "start.folders",
    "start.groups",
    "start.sockets",
    "start.written",
    "start.committed",
    "start.greeted",
    "checkpoint.folder",
    "checkpoint.paused",
    "checkpoint.base",
    "checkpoint.kept",
    "checkpoint.counted",
    "drop.discarded",
    "drop.beside",
    "restore.copied",
    "restore.sessions",
    "restore.ticket",
    "restore.settled",
    "restore.counted",
    "restore.exchanged",
    "restore.removed",
    "fork.slot",
    "fork.log",
    "fork.copied",
    "fork.ticket",
    "fork.settled",
    "fork.counted",
    "fork.placed",
    "freeze.marked",
    "freeze.frozen",
    "thaw.thawed",
    "thaw.unmarked",
    "stop.asked",
    "stop.ended",
    "stop.groups",
    "stop.sockets",
    "stop.forgotten",
    "delete.checkpoints",
    "delete.taken",
    "delete.disk",
    "delete.log",
    "delete.folder",
    "delete.slot",
];

/// Steps of the server's own: rows that are written before or after a machine's deed.
pub const OF_SERVER: &[&str] = &[
    "create.recorded",
    "start.wanted",
    "start.told",
    "stop.wanted",
    "checkpoint.recorded",
    "drop.recorded",
    "fork.begun",
    "fork.secrets",
    "fork.recorded",
    "delete.recorded",
    "delete.destroyed",
];

/// Steps of a project's way to another backend, which are also those of two machines' lives.
pub const OF_MOVES: &[&str] =
    &["move.made", "move.part", "move.carried", "move.recorded", "move.left"];

/// Steps of a sandbox's life at somebody else's, that nothing on this host knows of yet, or still.
pub const OF_SANDBOXES: &[&str] = &["sandbox.made", "sandbox.deleted"];

/// Steps of secrets: nothing of a machine, but what the next server finds.
pub const OF_SECRETS: &[&str] =
    &["secret.recorded", "secret.rekeyed", "vault.next", "vault.rewrapped", "vault.replaced"];

/// Steps of images, the backend's and the server's.
pub const OF_IMAGES: &[&str] = &[
    "image.begun",
    "pull.folder",
    "pull.pulled",
    "pull.removed",
    "unpack.made",
    "unpack.unpacked",
    "unpack.finished",
    "unpack.defined",
    "keep.copied",
    "keep.defined",
    "keep.forgotten",
    "image.synced",
    "image.placed",
    "setup.named",
    "setup.created",
    "setup.started",
    "setup.ran",
    "setup.stopped",
    "setup.kept",
    "setup.destroyed",
    "setup.forgotten",
    "setup.released",
    "image.recorded",
    "unimage.recorded",
    "unimage.taken",
    "unimage.removed",
];

/// Steps of comparisons, beside those of the forks and the restore that they are made of.
pub const OF_COMPARISONS: &[&str] = &[
    "compare.begun",
    "compare.base",
    "compare.forked",
    "compare.queued",
    "compare.keeping",
    "compare.taken",
    "compare.artifacts",
    "compare.restored",
    "compare.kept",
    "compare.dropping",
    "compare.dropped",
];

#[derive(Debug)]
struct Armed {
    step: &'static str,
    left: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Why a step cannot be armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no step: `NAME:N`, with N from 1 on and NAME one of those in machine::steps")]
pub struct NoStep(String);

/// Lets this process end by SIGKILL when a step is done for the n-th time: `NAME:N`. For tests.
pub fn arm(text: &str) -> Result<(), NoStep> {
    let _ = ARMED.set(parse(text).ok_or_else(|| NoStep(text.to_owned()))?);
    Ok(())
}

fn parse(text: &str) -> Option<Armed> {
    let (name, times) = text.split_once(':')?;
    let step = all().find(|step| *step == name)?;
    let left = times.parse().ok().filter(|n| *n > 0)?;
    Some(Armed { step, left: AtomicU32::new(left) })
}

fn all() -> impl Iterator<Item = &'static str> {
    let of_many = OF_SECRETS.iter().chain(OF_IMAGES).chain(OF_COMPARISONS);
    ALL.iter().chain(OF_SERVER).chain(OF_MOVES).chain(OF_SANDBOXES).chain(of_many).copied()
}

/// A step was done just now. `name` is one of [`ALL`], [`OF_SERVER`], [`OF_MOVES`], [`OF_SANDBOXES`], [`OF_SECRETS`],
/// [`OF_IMAGES`] or [`OF_COMPARISONS`].
pub fn reached(name: &'static str) {
    debug_assert!(all().any(|step| step == name), "{name} is not listed");
    let Some(armed) = ARMED.get().filter(|armed| armed.step == name) else { return };
    if armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_can_be_armed() {
        assert_eq!(
            parse("stop.ended:2").map(|a| (a.step, a.left.into_inner())),
            Some(("stop.ended", 2))
        );
        for text in ["stop.ended", "stop.ended:0", "stop.ended:x", "stop.never:1", ""] {
            assert!(parse(text).is_none(), "{text}");
        }
        let mut names: Vec<&str> = all().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }
}
