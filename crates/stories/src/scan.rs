//! Looks for a secret in all that a machine has and all that is written down: the memory, environment
//! and arguments of its processes, its disk, its file systems in memory, logs, databases, the journal.

use crate::{lane, processes, toft::Toft};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where it is: a line for each place. The gateway may hold it, and is not looked at.
pub fn places(toft: &Toft, project: &str, secret: &[u8]) -> Result<Vec<String>> {
    let mut found = written(toft, secret);
    let machine = toft.machine_processes(project);
    ensure!(machine.len() >= 2, "init and bridge at least: {machine:?}");
    if !lane::root() {
        lane::skip("memory of a machine", "reading other processes' memory needs root");
        return Ok(found);
    }
    for process in &machine {
        if processes::memory_holds(process.pid, secret) {
            found.push(format!("memory of {process:?}"));
        }
    }
    // The disk lies in the data folder; what is only in memory does not.
    let init = toft.init_pid(project).context("the machine runs")?;
    let mounts = fs::read_to_string(format!("/proc/{init}/mountinfo"))?;
    let root = format!("/proc/{init}/root");
    let mounts: Vec<(PathBuf, bool)> = mounts
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            Some((format!("{root}{point}").into(), right.starts_with("tmpfs ")))
        })
        .collect();
    // What is mounted further down is the kernel's, or has its own line.
    let mounted = |path: &Path| mounts.iter().any(|(point, _)| point == path);
    for (point, _) in mounts.iter().filter(|(_, in_memory)| *in_memory) {
        let files = processes::files_holding_but(point, secret, &mounted);
        found.extend(files.into_iter().map(|path| path.display().to_string()));
    }
    Ok(found)
}

/// The part of [`places`] that is on this host's disk.
pub fn written(toft: &Toft, secret: &[u8]) -> Vec<String> {
    let files = processes::files_holding(&toft.data, secret).into_iter();
    let mut found: Vec<String> = files.map(|path| path.display().to_string()).collect();
    if memchr::memmem::find(toft.log().as_bytes(), secret).is_some() {
        found.push("the server's log".into());
    }
    found
}
