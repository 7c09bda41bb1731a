//! Pausing single processes of a machine, while it goes on: they are moved to a v2 group that stands
//! still, and stay in that group when it goes on again. Not on hosts without v2.

use super::{
    detect::tell,
    groups::{Groups, procs_below},
    programs::make_folder,
};
use std::{fs, io, path::PathBuf};

/// The group of paused processes: below what limits them, or below the machine's own.
const HELD: &str = "held";

impl Groups {
    fn held(&self) -> Option<PathBuf> {
        let unified = self.unified.as_ref()?;
        let work = unified.join("work");
        let above = if work.is_dir() { work } else { unified.clone() };
        above.join("cgroup.freeze").exists().then(|| above.join(HELD))
    }

    /// Pauses these processes. False: no group of this machine can.
    pub(crate) fn hold(&self, pids: &[u32]) -> io::Result<bool> {
        let Some(held) = self.held() else { return Ok(false) };
        make_folder(&held)?;
        tell(&held.join("cgroup.freeze"), "1")?;
        // One may have ended since it was seen, and its number be another's on the host by now.
        let here = procs_below(held.parent().unwrap_or(&held));
        for pid in pids.iter().filter(|pid| here.contains(pid)) {
            match tell(&held.join("cgroup.procs"), &pid.to_string()) {
                // It has ended.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                other => other?,
            }
        }
        Ok(true)
    }

    /// Whether any are paused, also by an earlier server.
    pub(crate) fn is_holding(&self) -> bool {
        let Some(held) = self.held() else { return false };
        fs::read_to_string(held.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// Lets them go on.
    pub(crate) fn release(&self) -> io::Result<()> {
        match self.held().map(|held| tell(&held.join("cgroup.freeze"), "0")) {
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}
