//! The moments at which something about runs becomes durable, each named where it is committed, so that a test can end
//! a server right before or right after it and see what the next one makes of that. Nothing happens here unless [`arm`]
//! was called, which the binary does for a variable that only tests set.

use rustix::process::{Signal, getpid, kill_process};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::park,
};

/// All of them. Each has a moment `.before` and a moment `.after`.
pub const ALL: &[&str] = &[
    "runs.accepted",
    "runs.claimed",
    "runs.taken_over",
    "runs.renewed",
    "runs.let_go",
    "runs.given_back",
    "runs.told_of_hosts",
    "runs.written",
    "runs.cancelled",
    "runs.kept",
    "projects.deleted",
    "runs.deleted",
    "artifacts.forgotten",
    "webhooks.added",
    "webhooks.removed",
    "webhooks.claimed",
    "webhooks.told",
];

#[derive(Debug)]
struct Armed {
    point: &'static str,
    is_after: bool,
    left: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// This process is killed when it comes to a moment for the `n`th time: `NAME.before:N` or `NAME.after:N`. Whether there
/// is such a moment.
pub fn arm(text: &str) -> bool {
    parse(text).is_some_and(|armed| ARMED.set(armed).is_ok())
}

fn parse(text: &str) -> Option<Armed> {
    let (moment, times) = text.split_once(':')?;
    let (name, side) = moment.rsplit_once('.')?;
    let is_after = match side {
        "before" => false,
        "after" => true,
        _ => return None,
    };
    let point = ALL.iter().copied().find(|point| *point == name)?;
    let left = times.parse().ok().filter(|n| *n > 0)?;
    Some(Armed { point, is_after, left: AtomicU32::new(left) })
}

/// It comes to a moment now.
pub(crate) fn reached(name: &'static str, is_after: bool) {
    debug_assert!(ALL.contains(&name), "{name} is not listed");
    let Some(armed) = ARMED.get().filter(|a| a.point == name && a.is_after == is_after) else {
        return;
    };
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
        let armed = parse("runs.let_go.after:2").unwrap();
        assert_eq!(
            (armed.point, armed.is_after, armed.left.into_inner()),
            ("runs.let_go", true, 2)
        );
        for text in
            ["runs.let_go:1", "runs.never.after:1", "runs.let_go.after:0", "runs.let_go.at:1", ""]
        {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    /// Who commits without a name is not seen by the story that ends servers there.
    #[test]
    fn all_that_is_committed_about_runs_has_a_name() {
        let sources = [
            include_str!("sql/runs.rs"),
            include_str!("sql/runs/accept.rs"),
            include_str!("sql/runs/artifacts.rs"),
            include_str!("sql/runs/cancel.rs"),
            include_str!("sql/runs/events.rs"),
            include_str!("sql/runs/hosts.rs"),
            include_str!("sql/runs/write.rs"),
            include_str!("sql/queue.rs"),
            include_str!("sql/webhooks.rs"),
        ];
        for source in sources {
            assert!(!source.contains(".commit()"), "a commit without a name");
        }
        // What else these do is not about runs.
        let beside = [include_str!("sql/projects.rs"), include_str!("sql/comparisons/keep.rs")];
        for name in ALL {
            let named = format!("commit_as(\"{name}\")");
            let all = sources.iter().chain(&beside);
            let places: usize = all.map(|source| source.matches(&named).count()).sum();
            assert_eq!(places, 1, "{name}");
        }
    }
}
