//! Pausing all processes of a machine, by the freezer of its v2 group, else by a v1 freezer. Not
//! why it is paused: that is in `frozen`.

use super::{detect::tell, groups::Groups};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_micros(200);

/// A group whose processes can be paused together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Freezer {
    V2(PathBuf),
    V1(PathBuf),
}

impl Freezer {
    /// That of a v2 group. Kernels before 5.2 have none.
    pub(super) fn of_v2(group: &Path) -> Option<Self> {
        group.join("cgroup.freeze").exists().then(|| Self::V2(group.to_owned()))
    }

    fn set(&self, frozen: bool) -> io::Result<()> {
        match self {
            Self::V2(group) => tell(&group.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            Self::V1(group) => {
                tell(&group.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
        }
    }

    /// Whether it was told to pause.
    pub(super) fn is_held(&self) -> bool {
        match self {
            Self::V2(group) => is(&group.join("cgroup.freeze"), "1"),
            // What it was told itself, whatever the groups above it are.
            Self::V1(group) => is(&group.join("freezer.self_freezing"), "1"),
        }
    }

    /// Whether every process stands still.
    fn is_still(&self) -> io::Result<bool> {
        match self {
            Self::V2(group) => {
                let events = fs::read_to_string(group.join("cgroup.events"))?;
                Ok(events.lines().any(|l| l == "frozen 1"))
            }
            Self::V1(group) => {
                Ok(fs::read_to_string(group.join("freezer.state"))?.trim() == "FROZEN")
            }
        }
    }

    /// Returns when all stand still; otherwise all go on.
    pub(super) fn freeze(&self, limit: Duration) -> io::Result<()> {
        let frozen = self.set(true).and_then(|()| {
            let deadline = Instant::now() + limit;
            while !self.is_still()? {
                if Instant::now() > deadline {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "a process does not stand still, probably in a disk operation that hangs",
                    ));
                }
                sleep(LOOK_PAUSE);
            }
            Ok(())
        });
        if frozen.is_err() {
            let _ = self.set(false);
        }
        frozen
    }

    pub(super) fn thaw(&self) -> io::Result<()> {
        self.set(false)
    }
}

fn is(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|now| now.trim() == text)
}

/// A machine stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Paused(Option<Freezer>);

impl Groups {
    fn freezer(&self) -> Option<Freezer> {
        let v2 = self.unified.as_deref().and_then(Freezer::of_v2);
        v2.or_else(|| self.freezer.clone().map(Freezer::V1))
    }

    /// Whether the machine has a group that can.
    pub(crate) fn can_freeze(&self) -> bool {
        self.freezer().is_some()
    }

    /// Pauses the machine: half a millisecond; a process in the middle of a disk operation stops
    /// after that. `None`: it has no group that can. One that is paused already stays so.
    pub(crate) fn pause(&self, limit: Duration) -> io::Result<Option<Paused>> {
        let Some(freezer) = self.freezer() else { return Ok(None) };
        if freezer.is_held() {
            return Ok(Some(Paused(None)));
        }
        freezer.freeze(limit)?;
        Ok(Some(Paused(Some(freezer))))
    }

    /// Pauses the machine until [`Groups::thaw`]. False: it has no group that can.
    pub(crate) fn freeze(&self, limit: Duration) -> io::Result<bool> {
        self.freezer().map_or(Ok(false), |freezer| freezer.freeze(limit).map(|()| true))
    }

    /// Whether the machine was told to stand still.
    pub(crate) fn is_held(&self) -> bool {
        self.freezer().is_some_and(|freezer| freezer.is_held())
    }

    /// Lets the machine go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.freezer().map_or(Ok(()), |freezer| freezer.thaw())
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(freezer) = &self.0
            && let Err(e) = freezer.thaw()
        {
            tracing::warn!("a machine stays paused ({freezer:?}): {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{CgroupHost, MachineGroup};
    use std::process::{Child, Command};
    use toft_model::machine::Limits;

    const LONG: Duration = Duration::from_secs(5);

    /// Whether the process has used processor time since `before`.
    fn ticks(child: &Child) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat[stat.rfind(')').unwrap() + 2..].split(' ').nth(11).unwrap().parse().unwrap()
    }

    fn check(host: &CgroupHost, door: impl Fn(&Groups) -> PathBuf) {
        let made = MachineGroup::make(host, "one", &Limits::default(), None).unwrap();
        let groups = &made.groups;
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        tell(&door(groups), &child.id().to_string()).unwrap();
        assert!(!groups.is_held());
        assert!(groups.freeze(LONG).unwrap() && groups.is_held());
        // A checkpoint's short pause leaves it as it was.
        drop(groups.pause(LONG).unwrap().unwrap());
        assert!(groups.is_held());
        let then = ticks(&child);
        sleep(Duration::from_millis(30));
        assert_eq!(ticks(&child), then);
        groups.thaw().unwrap();
        assert!(!groups.is_held());
        let paused = groups.pause(LONG).unwrap().unwrap();
        assert!(groups.is_held());
        drop(paused);
        assert!(!groups.is_held());
        let deadline = Instant::now() + LONG;
        while ticks(&child) == then {
            assert!(Instant::now() < deadline, "it does not go on");
            sleep(Duration::from_millis(5));
        }
        // Removing the groups ends what is in them, also while it is paused.
        groups.freeze(LONG).unwrap();
        let folders = groups.folders.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| child.wait().unwrap());
            groups.remove();
        });
        assert!(folders.iter().all(|f| !f.exists()), "{folders:?}");
    }

    #[test]
    fn a_group_is_paused_by_v2_and_by_v1_and_goes_on() {
        let detected =
            CgroupHost::detect(Path::new(&format!("/of-a-freezer/{}", std::process::id())));
        if detected.unified.is_some() {
            check(&detected, |g| g.unified.clone().unwrap().join("cgroup.procs"));
        } else {
            toft_lane::skip("cgroup v2", format!("{:?}", detected.notes));
        }
        // No machine of it had a group of `cpu`.
        detected.remove();
        assert!(detected.folders().all(|folder| !folder.exists()));
        let v1 = Path::new("/sys/fs/cgroup/freezer");
        if !v1.join("tasks").exists() || !rustix::process::geteuid().is_root() {
            toft_lane::skip("cgroup v1", "no freezer");
            return;
        }
        let name = format!("toft-of-a-test-{}", std::process::id());
        let host = CgroupHost { v1: [("freezer", v1.join(name))].into(), ..CgroupHost::default() };
        check(&host, |g| g.freezer.clone().unwrap().join("tasks"));
        host.remove();
    }
}
