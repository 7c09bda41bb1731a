//! The last part of every start: run the launcher, write down what runs before it may go on, and
//! hear that its init works.

use crate::{
    backend::{MachineError, Running},
    cgroup::Groups,
    folders::{self, INIT_SOCKET},
    init_client,
    launcher::{self, LaunchError},
    procs,
    running::{connect, end},
    state::State,
    steps,
};
use std::{
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use toft_jail::spec::{Facts, Spec};
use toft_model::id::ProjectId;

/// Bytes of a project token.
pub(crate) const TOKEN_BYTES: usize = 32;

/// What a start needs beside its spec.
pub(crate) struct Start<'a> {
    pub(crate) project: &'a ProjectId,
    pub(crate) exe: &'a Path,
    /// Where its sockets and state lie.
    pub(crate) run: &'a Path,
    /// Where `init.log` lies.
    pub(crate) log: &'a Path,
    /// The same, open.
    pub(crate) said: File,
    pub(crate) token: String,
    pub(crate) groups: Groups,
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// Their numbers in init.
    pub(crate) gateway_fds: Vec<i32>,
    /// The gateway's listeners when they are not made inside.
    pub(crate) listeners: Vec<OwnedFd>,
    /// Done when the walls stand and nothing runs in them yet. On an error nothing will.
    pub(crate) walls_stand: Box<dyn FnOnce() -> io::Result<()> + 'a>,
}

/// Blocks until the program runs. On an error nothing of it does.
pub(crate) fn launch(start: Start<'_>, spec: &Spec) -> Result<(Running, Facts), MachineError> {
    let Start { project, run, token, groups, gateway_fds, walls_stand, .. } = start;
    let started_at = unix_ms();
    let remember = |pid: u32| {
        walls_stand()?;
        let stat = procs::stat(pid).ok_or_else(|| io::Error::other("the new process is gone"))?;
        let state = State {
            init_pid: pid,
            start_ticks: stat.start_ticks,
            boot_id: procs::boot_id()?,
            token: token.clone(),
            started_at,
            groups,
            gateway_fds,
        };
        state.write(run)?;
        steps::reached("start.written");
        Ok(())
    };
    match launcher::launch(start.exe, spec, start.descriptors, start.said, remember) {
        Ok(launched) => {
            let mut listeners = start.listeners;
            listeners.extend(launched.listeners);
            let running = Running {
                project: project.clone(),
                token,
                gateway_listeners: listeners,
                init_pid: launched.pid,
                started_at,
                adopted: false,
            };
            Ok((running, launched.facts))
        }
        Err(e) => {
            // Its process has ended or is about to: it waits for a word that never comes. A file
            // that stays names no living process.
            let _ = State::remove(run);
            Err(did_not_start(project, start.log, &e))
        }
    }
}

/// Waits until init answers; ends the machine when it does not.
pub(crate) async fn greet(run: &Path, log: &Path, project: &ProjectId) -> Result<(), MachineError> {
    let greeted = match connect(run, INIT_SOCKET, project).await {
        Ok(stream) => init_client::hello(stream).await.map(|_| ()).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    let Err(why) = greeted else { return Ok(()) };
    if let Err(e) = end(run, project, Duration::ZERO).await {
        tracing::warn!(project.id = %project, "a failed start left processes: {e}");
    }
    let said = folders::log_tail(log);
    let detail = if said.is_empty() { why } else { format!("{why}: {said}") };
    Err(MachineError::DidNotStart { project: project.clone(), detail })
}

fn did_not_start(project: &ProjectId, log: &Path, e: &LaunchError) -> MachineError {
    let is_full = |e: &io::Error| {
        matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    };
    let full = match e {
        LaunchError::Failed { errno: Some(n), .. } => is_full(&io::Error::from_raw_os_error(*n)),
        LaunchError::Io(e) => is_full(e),
        LaunchError::Failed { errno: None, .. } | LaunchError::Silent => false,
    };
    if full {
        return MachineError::DiskFull { step: "starting the machine" };
    }
    let said = folders::log_tail(log);
    let detail = match e {
        LaunchError::Silent if !said.is_empty() => said,
        other => other.to_string(),
    };
    MachineError::DidNotStart { project: project.clone(), detail }
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
