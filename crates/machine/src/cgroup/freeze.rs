//! Pausing all processes of a machine for a moment, by the freezer of its v2 group.

use super::{detect::tell, group::Groups};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_micros(200);

/// A machine stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Paused(Option<PathBuf>);

impl Groups {
    /// Pauses the machine: half a millisecond; a process in the middle of a disk operation stops
    /// after that. `None`: it has no group that can.
    pub(crate) fn pause(&self, limit: Duration) -> io::Result<Option<Paused>> {
        let Some(group) = self.unified.as_ref().filter(|g| g.join("cgroup.freeze").exists()) else {
            return Ok(None);
        };
        if is_frozen(group)? {
            // By somebody else, who goes on holding it.
            return Ok(Some(Paused(None)));
        }
        let paused = Paused(Some(group.clone()));
        tell(&group.join("cgroup.freeze"), "1")?;
        let deadline = Instant::now() + limit;
        while !is_frozen(group)? {
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "a process does not stand still, probably in a disk operation that hangs",
                ));
            }
            sleep(LOOK_PAUSE);
        }
        Ok(Some(paused))
    }

    /// Lets a machine go on that a killed server has paused.
    pub(crate) fn resume(&self) {
        if let Some(group) = &self.unified {
            // Kernels before 5.2 have no such file, and nothing that is paused.
            let _ = tell(&group.join("cgroup.freeze"), "0");
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(group) = &self.0
            && let Err(e) = tell(&group.join("cgroup.freeze"), "0")
        {
            tracing::warn!(group = %group.display(), "a machine stays paused: {e}");
        }
    }
}

fn is_frozen(group: &Path) -> io::Result<bool> {
    let events = fs::read_to_string(group.join("cgroup.events"))?;
    Ok(events.lines().any(|l| l == "frozen 1"))
}
