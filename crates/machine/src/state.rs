//! What is remembered of a machine that runs, so that the next server finds it: a file that only
//! the host reads, written whole or not at all.

use crate::{cgroup::Groups, places::gateway_fds, procs};
use rustix::fd::OwnedFd;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

const FILE: &str = "state.json";

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Pid of init on the host.
    pub(crate) init_pid: u32,
    /// Its start in clock ticks since boot.
    pub(crate) start_ticks: u64,
    /// Which run of the kernel these two belong to.
    pub(crate) boot_id: String,
    /// The project token.
    pub(crate) token: String,
    /// Unix milliseconds.
    pub(crate) started_at: u64,
    /// Its control groups.
    pub(crate) groups: Groups,
    /// Descriptors of the gateway's sockets, in init. An older server did not write them down.
    #[serde(default = "first_gateway_fds")]
    pub(crate) gateway_fds: Vec<i32>,
}

fn first_gateway_fds() -> Vec<i32> {
    gateway_fds(false)
}

impl State {
    /// `None`: no machine was started here, or its file is from a version that we cannot read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(FILE)).ok()?;
        match serde_json::from_slice(&text) {
            Ok(state) => Some(state),
            Err(e) => {
                tracing::warn!(folder = %folder.display(), "a machine's state file is damaged: {e}");
                None
            }
        }
    }

    /// Not synced to the disk: after a crash of the host the process is gone as well.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let new = folder.join("state.json.new");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?
            .write_all(&text)?;
        fs::rename(new, folder.join(FILE))
    }

    /// Forgets the machine.
    pub(crate) fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(FILE)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// A handle to init, if it is still the same process and lives.
    pub(crate) fn hold(&self) -> Option<OwnedFd> {
        if procs::boot_id().ok()? != self.boot_id {
            return None;
        }
        procs::hold(self.init_pid, self.start_ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> State {
        let pid = std::process::id();
        State {
            init_pid: pid,
            start_ticks: procs::stat(pid).unwrap().start_ticks,
            boot_id: procs::boot_id().unwrap(),
            token: "t".to_owned(),
            started_at: 1,
            groups: Groups::default(),
            gateway_fds: gateway_fds(true),
        }
    }

    #[test]
    fn a_state_is_found_again_and_only_while_its_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        own().write(dir.path()).unwrap();
        let state = State::read(dir.path()).unwrap();
        assert!(state.hold().is_some());
        assert!(State { boot_id: "another".to_owned(), ..state.clone() }.hold().is_none());
        assert!(State { start_ticks: 1, ..state }.hold().is_none());
        State::remove(dir.path()).unwrap();
        assert!(State::read(dir.path()).is_none());
    }

    #[test]
    fn a_machine_of_an_older_server_has_two_doors() {
        let dir = tempfile::tempdir().unwrap();
        let mut old = serde_json::to_value(own()).unwrap();
        old.as_object_mut().unwrap().remove("gateway_fds").unwrap();
        fs::write(dir.path().join(FILE), old.to_string()).unwrap();
        assert_eq!(State::read(dir.path()).unwrap().gateway_fds, gateway_fds(false));
    }

    #[test]
    fn a_damaged_file_is_no_machine() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(State::read(dir.path()).is_none());
    }
}
