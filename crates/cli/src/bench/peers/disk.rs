//! What a person would type to keep or double the files of the same project: the bare cost of a copy,
//! without server, quota, record or a machine to run in it.

use super::sandbox::{Sandbox, Steps};
use crate::bench::scratch::Scratch;
use anyhow::Result;
use std::path::Path;

/// Its rounds beside a row of that name: `disk` is the project's, `pool` lies on the same file system.
pub(super) fn beside(row: &str, disk: &Path, pool: &Path) -> Option<Result<Sandbox>> {
    let (disk, copy) = (disk.display(), format!("{}/bench-$n", pool.display()));
    let snapshot = format!("btrfs subvolume snapshot -r {disk} {copy}");
    let dropped = format!("btrfs subvolume delete {copy}");
    let copied = format!("cp -a --reflink=always {disk} {copy}");
    let removed = format!("rm -rf {copy}");
    let (name, round, tidy) = match row {
        "checkpoint_idle" | "checkpoint_writing" => {
            ("btrfs subvolume snapshot -r", &snapshot, &dropped)
        }
        "fork_first_output" => ("cp -a --reflink=always", &copied, &removed),
        _ => return None,
    };
    let steps = Steps { ready: ":", round, tidy };
    Some(Scratch::make().and_then(|own| Sandbox::open(name, own, &[], ":", &steps)))
}
