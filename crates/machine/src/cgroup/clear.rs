//! Ends what is left in a group and removes it with all below it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs, io,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// How long killed processes may take to leave a group. They hold it until the kernel has taken
/// them apart, which takes milliseconds.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to remove a group.
const LEAVE_PAUSE: Duration = Duration::from_millis(2);
/// Groups within groups that are followed; we make two levels below a machine's own.
const DEPTH_MAX: usize = 8;

/// Kills what lives in a group and below it, and removes them.
pub(crate) fn clear(folder: &Path) {
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    if let Err(e) = clear_until(folder, deadline, 0)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(group = %folder.display(), "a control group stays for now: {e}");
    }
}

fn clear_until(folder: &Path, deadline: Instant, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other("groups lie too deep"));
    }
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            clear_until(&entry.path(), deadline, depth + 1)?;
        }
    }
    loop {
        match fs::remove_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                for pid in pids_in(folder) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                sleep(LEAVE_PAUSE);
            }
            other => return other,
        }
    }
}

fn pids_in(folder: &Path) -> Vec<Pid> {
    fs::read_to_string(folder.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| Pid::from_raw(l.parse().ok()?))
        .collect()
}
