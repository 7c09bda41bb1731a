//! Starts the launcher (`toft __launch 0`) and hears its reports. Blocking: callers run it on a
//! thread for such work.

use rustix::net::{
    Shutdown, shutdown,
    sockopt::{Timeout, set_socket_timeout},
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use toft_jail::{
    spec::{Commit, Facts, Report, Spec},
    wire,
};

/// From start to exec. Usually a few milliseconds; a busy host with a full disk queue takes longer.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a launch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The launcher did not work at all.
    #[error("the launcher: {0}")]
    Io(#[from] io::Error),
    /// It said what failed.
    #[error("could not {step}: {why}")]
    Failed { step: String, why: String, errno: Option<i32> },
    /// It ended without a word.
    #[error("the launcher ended without a word")]
    Silent,
}

/// What a launch has led to.
#[derive(Debug)]
pub(crate) struct Launched {
    /// Pid of the new process.
    pub(crate) pid: u32,
    /// What really stands.
    pub(crate) facts: Facts,
    /// The gateway's listeners, when they were made inside.
    pub(crate) listeners: Vec<OwnedFd>,
}

/// Runs one spec. `written` is called with the new pid before the program may start.
pub(crate) fn launch(
    exe: &Path,
    spec: &Spec,
    descriptors: &[BorrowedFd<'_>],
    log: File,
    written: impl FnOnce(u32) -> io::Result<()>,
) -> Result<Launched, LaunchError> {
    let (ours, mut child) = start(exe, spec, descriptors, log)?;
    let heard = hear(&ours, written);
    if heard.is_err() {
        // The launcher's child ends too: it waits for a word that never comes.
        let _ = shutdown(&ours, Shutdown::Both);
        let _ = child.kill();
    }
    // The launcher itself has nothing more to do once its child has reported.
    let _ = child.wait();
    heard
}

/// Runs a spec that starts nothing: a probe, or a removal.
pub(crate) fn run(exe: &Path, spec: &Spec, log: File) -> Result<Option<Facts>, LaunchError> {
    let mut facts = None;
    to_the_end(exe, spec, log, Some(LAUNCH_TIMEOUT), |report| {
        if let Report::Ready(ready) = report {
            facts = Some(ready);
        }
    })?;
    Ok(facts)
}

/// Copies a tree with the rights of the machine's root, however long that takes; answers how many
/// bytes took new room.
pub(crate) fn copy(exe: &Path, spec: &Spec, log: File) -> Result<u64, LaunchError> {
    let mut copied = None;
    to_the_end(exe, spec, log, None, |report| {
        if let Report::Copied { bytes } = report {
            copied = Some(bytes);
        }
    })?;
    copied.ok_or(LaunchError::Silent)
}

fn to_the_end(
    exe: &Path,
    spec: &Spec,
    log: File,
    timeout: Option<Duration>,
    mut each: impl FnMut(Report),
) -> Result<(), LaunchError> {
    let (ours, mut child) = start(exe, spec, &[], log)?;
    set_socket_timeout(&ours, Timeout::Recv, timeout).map_err(io::Error::from)?;
    let done = loop {
        match wire::recv::<Report>(&ours) {
            Ok(None) => break Ok(()),
            Ok(Some((Report::Failed { step, why, errno }, _))) => {
                break Err(LaunchError::Failed { step, why, errno });
            }
            Ok(Some((report, _))) => each(report),
            Err(e) => break Err(e.into()),
        }
    };
    if done.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    done
}

fn start(
    exe: &Path,
    spec: &Spec,
    descriptors: &[BorrowedFd<'_>],
    log: File,
) -> io::Result<(OwnedFd, Child)> {
    let (ours, theirs) = wire::pair()?;
    set_socket_timeout(&ours, Timeout::Recv, Some(LAUNCH_TIMEOUT))?;
    // Before the process exists: the message waits in the socket.
    wire::send(&ours, spec, descriptors)?;
    let child = Command::new(exe)
        .args(["__launch", "0"])
        // Keys may stand in the server's environment.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()?;
    Ok((ours, child))
}

fn hear(
    ours: &OwnedFd,
    written: impl FnOnce(u32) -> io::Result<()>,
) -> Result<Launched, LaunchError> {
    let mut pid = None;
    let mut written = Some(written);
    let mut ready = None;
    loop {
        match wire::recv::<Report>(ours)? {
            Some((Report::Cloned { pid: cloned }, _)) => pid = u32::try_from(cloned).ok(),
            Some((Report::Ready(facts), listeners)) => ready = Some((facts, listeners)),
            Some((Report::Copied { .. }, _)) => {}
            Some((Report::Failed { step, why, errno }, _)) => {
                return Err(LaunchError::Failed { step, why, errno });
            }
            None => break,
        }
        if let (Some(pid), Some(_)) = (pid, &ready)
            && let Some(written) = written.take()
        {
            written(pid)?;
            wire::send(ours.as_fd(), &Commit, &[])?;
        }
    }
    match (pid, ready) {
        (Some(pid), Some((facts, listeners))) => Ok(Launched { pid, facts, listeners }),
        _ => Err(LaunchError::Silent),
    }
}
