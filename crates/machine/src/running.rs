//! Machines that run, whatever walls they have: find one again, end one, see what it uses.

use crate::{
    backend::{MachineError, Running, Stats},
    blocking::blocking,
    error::step,
    folders::{self, BRIDGE_SOCKET, INIT_SOCKET},
    frozen, init_client, procs,
    state::State,
    steps, watch,
};
use rustix::{
    fd::OwnedFd,
    net::{
        SocketType,
        sockopt::{socket_acceptconn, socket_type},
    },
    process::{PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_send_signal},
};
use std::{fs, io, path::Path, time::Duration};
use toft_model::{id::ProjectId, machine::NAMES_FILE};
use tokio::{net::UnixStream, time::timeout};

/// What stopping may take beyond the grace that programs get: init's own rounds of killing.
const STOP_MARGIN: Duration = Duration::from_secs(3);
/// The same where nobody gets any: an init that is not done by then may be the one to be ended.
const AT_ONCE_MARGIN: Duration = Duration::from_secs(1);
/// Until everything is gone after the kernel was told to kill it: a process in the middle of a
/// disk operation ends after that.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for a machine that answers no more to be gone: init's grace for its programs, and what
/// killing them takes.
const ENDING_TIMEOUT: Duration = Duration::from_secs(8);

/// The machine whose state lies in `folder`, if it runs.
pub(crate) async fn adopt(
    folder: &Path,
    project: &ProjectId,
) -> Result<Option<Running>, MachineError> {
    let Some(state) = State::read(folder) else { return Ok(None) };
    let Some(pidfd) = state.hold() else { return Ok(None) };
    // Its init answers nobody while it stands still, and nobody wakes it for this.
    let is_frozen = frozen::is_frozen(folder);
    let taken = if is_frozen { listeners_of(&pidfd, &state.gateway_fds) } else { None };
    let listeners = if let Some(listeners) = taken {
        listeners
    } else {
        if is_frozen {
            // Not allowed here: it goes on for the moment that an answer takes.
            state.thaw(folder).map_err(step(project, "letting the machine go on"))?;
        }
        let asked = ask_listeners(folder, project).await;
        if is_frozen {
            let (folder, project) = (folder.to_owned(), project.clone());
            blocking(move || frozen::freeze(&folder, &project)).await?;
        }
        match asked {
            Ok(listeners) => listeners,
            // One that is just ending answers no more, and is there until all in it has ended.
            Err(e) => {
                let gone = blocking(move || procs::wait_end(&pidfd, ENDING_TIMEOUT)).await;
                return if gone { Ok(None) } else { Err(e) };
            }
        }
    };
    Ok(Some(Running {
        project: project.clone(),
        token: state.token,
        gateway_listeners: listeners,
        init_pid: state.init_pid,
        started_at: state.started_at,
        adopted: true,
    }))
}

async fn ask_listeners(folder: &Path, project: &ProjectId) -> Result<Vec<OwnedFd>, MachineError> {
    let asking = "asking the machine's init";
    let failed = |e: init_client::InitError| step(project, asking)(io::Error::other(e));
    init_client::hello(connect(folder, INIT_SOCKET, project).await?).await.map_err(failed)?;
    let stream = connect(folder, INIT_SOCKET, project).await?;
    init_client::gateway_listeners(stream).await.map_err(failed)
}

/// The gateway's listeners, which init keeps under the numbers that it was given.
fn listeners_of(init: &OwnedFd, numbers: &[i32]) -> Option<Vec<OwnedFd>> {
    let fits = |socket: &OwnedFd| {
        socket_acceptconn(socket) == Ok(true) || socket_type(socket) == Ok(SocketType::DGRAM)
    };
    let take = |fd: &i32| pidfd_getfd(init, *fd, PidfdGetfdFlags::empty()).ok().filter(fits);
    numbers.iter().map(take).collect()
}

/// Connects to a socket of a machine.
pub(crate) async fn connect(
    folder: &Path,
    name: &str,
    project: &ProjectId,
) -> Result<UnixStream, MachineError> {
    match folders::connect(folder, name).await {
        Ok(stream) => Ok(stream),
        Err(e)
            if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Err(MachineError::NotRunning(project.clone()))
        }
        Err(e) => Err(step(project, "connecting to the machine")(e)),
    }
}

/// Ends a machine: politely by its init, then by the kernel. Returns when nothing of it is left.
pub(crate) async fn end(
    folder: &Path,
    project: &ProjectId,
    grace: Duration,
) -> Result<(), MachineError> {
    end_with(folder, project, grace, || ()).await
}

/// The same with a last look at its groups, when nothing runs in them any more.
pub(crate) async fn end_with(
    folder: &Path,
    project: &ProjectId,
    grace: Duration,
    last_look: impl FnOnce() + Send + 'static,
) -> Result<(), MachineError> {
    let Some(state) = State::read(folder) else { return forget(folder, project) };
    if let Err(e) = frozen::thaw(folder, project) {
        // The kernel ends what stands still, too.
        tracing::warn!(project.id = %project, "a machine that is to end stays paused: {e}");
    }
    if let Some(pidfd) = state.hold() {
        let asked = async {
            let stream = connect(folder, INIT_SOCKET, project).await?;
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            init_client::stop(stream, grace_ms)
                .await
                .map_err(|e| step(project, "stopping the machine")(io::Error::other(e)))
        };
        let margin = if grace.is_zero() { AT_ONCE_MARGIN } else { STOP_MARGIN };
        let stopped = match timeout(grace + margin, asked).await {
            Ok(Ok(())) => true,
            // An init that does not answer is killed below.
            Ok(Err(e)) => {
                tracing::warn!(project.id = %project, "init did not stop: {e}");
                false
            }
            Err(_) => {
                tracing::warn!(project.id = %project, "init did not stop in time");
                false
            }
        };
        steps::reached("stop.asked");
        let pid = state.init_pid;
        let gone = blocking(move || kill(&pidfd, pid, stopped)).await;
        if !gone {
            let stuck = io::Error::new(
                io::ErrorKind::TimedOut,
                "its processes do not end, probably in a disk operation that hangs",
            );
            return Err(step(project, "killing the machine")(stuck));
        }
    }
    steps::reached("stop.ended");
    let groups = state.groups.clone();
    blocking(move || {
        procs::reap(state.init_pid);
        last_look();
        groups.remove();
    })
    .await;
    steps::reached("stop.groups");
    forget(folder, project)
}

/// Machines that were started here, and whether each is alive.
pub(crate) fn started(runs: &Path) -> Vec<(ProjectId, bool)> {
    fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| {
            let project = e.file_name().to_str()?.parse().ok()?;
            let alive = State::read(&e.path()).is_some_and(|s| s.hold().is_some());
            Some((project, alive))
        })
        .collect()
}

/// Those that are no longer alive, or that nobody knows: to be stopped.
pub(crate) fn unwanted(runs: &Path, known: &[ProjectId]) -> Vec<ProjectId> {
    started(runs)
        .into_iter()
        .filter(|(project, alive)| !alive || !known.contains(project))
        .map(|(project, _)| project)
        .collect()
}

/// Kills init, and in a confined machine everything with it: the kernel ends a pid namespace with
/// its first process, and that process is gone only after all others. `stopped`: init has said that it
/// ends.
fn kill(init: &OwnedFd, pid: u32, stopped: bool) -> bool {
    /// After `Stop` was answered init only has to exit.
    const EXIT_GRACE: Duration = Duration::from_millis(500);
    if procs::wait_end(init, if stopped { EXIT_GRACE } else { Duration::ZERO }) {
        return true;
    }
    // Without walls its children would outlive it: they go first, as long as they can be found.
    for child in procs::descendants(pid) {
        if let Some(held) = procs::stat(child).and_then(|s| procs::hold(child, s.start_ticks)) {
            let _ = pidfd_send_signal(held, Signal::KILL);
        }
    }
    // It may have ended by itself just now.
    let _ = pidfd_send_signal(init, Signal::KILL);
    procs::wait_end(init, KILL_TIMEOUT)
}

/// Removes the names that an earlier run of a machine has looked up.
pub(crate) fn forget_names(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(NAMES_FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes what a machine that no longer runs has left beside its disk.
fn forget(folder: &Path, project: &ProjectId) -> Result<(), MachineError> {
    let removing = step(project, "removing the machine's sockets");
    let removed = [INIT_SOCKET, BRIDGE_SOCKET, NAMES_FILE].into_iter().try_for_each(|name| {
        match fs::remove_file(folder.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    });
    let removed = removed.and_then(|()| {
        steps::reached("stop.sockets");
        frozen::unmark(folder);
        watch::forget(folder);
        State::remove(folder)
    });
    steps::reached("stop.forgotten");
    removed.map_err(removing)
}

/// What a machine uses; nothing when it does not run.
pub(crate) fn stats(folder: &Path) -> Stats {
    let Some(state) = State::read(folder) else { return Stats::default() };
    if state.hold().is_none() {
        return Stats::default();
    }
    let mut stats = state.groups.stats();
    if stats.memory_bytes.is_none() || stats.pids.is_none() {
        let (pids, bytes) = procs::usage(state.init_pid);
        stats.memory_bytes.get_or_insert(bytes);
        stats.pids.get_or_insert(pids);
    }
    stats
}
