//! One sandbox: namespaces of processes, mounts, network, names and IPC around a folder with homes. Nothing
//! in it reaches this host's network, control groups or `/tmp`.

use crate::mounts::WITHOUT_OTHERS;
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

/// `PATH` of its programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Until its first process has mounted everything.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Until nothing of it runs.
const STILL_TIMEOUT: Duration = Duration::from_secs(10);

/// What its first process does: `$1` is the folder. It reaps whatever is left to it.
/// Disks of servers on this host, which lie on loop devices, are not held here.
const FIRST: &str = r#"ip link set lo up
mount -t tmpfs none /home
mkdir /home/user
mount --bind "$1/user" /home/user
mount --bind "$1/root" /root
mount -t tmpfs none /sys/fs/cgroup
: > "$1/ready"
mount -t tmpfs -o mode=1777 none /tmp
cd /
while :; do sleep 3600; done
"#;

/// A program that runs.
pub(super) struct Process {
    pub(super) cmd: String,
    pub(super) args: Vec<String>,
    pub(super) tag: Option<String>,
    /// Of who enters the sandbox: the program is its child.
    pub(super) outer: u32,
    pub(super) stdin: tokio::sync::Mutex<Option<ChildStdin>>,
}

pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) template: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) token: String,
    pub(super) auto_pause: bool,
    pub(super) started: u64,
    /// Unix seconds.
    pub(super) ends: AtomicU64,
    state: Mutex<State>,
    folder: TempDir,
    anchor: Child,
    /// On this host.
    first: u32,
    pub(super) processes: Mutex<BTreeMap<u64, std::sync::Arc<Process>>>,
}

struct State {
    runs: bool,
    /// Connections into it as long as it runs.
    connections: CancellationToken,
}

impl Sandbox {
    /// `of`: a folder with homes that it starts from.
    pub(super) fn make(
        id: String,
        template: String,
        metadata: BTreeMap<String, String>,
        of: Option<&Path>,
        auto_pause: bool,
        (started, ends): (u64, u64),
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-story-e2b-").tempdir()?;
        if let Some(of) = of {
            for home in ["user", "root"] {
                let copied = Command::new("cp")
                    .args(["-a", "--reflink=auto"])
                    .args([of.join(home), folder.path().join(home)])
                    .status()?;
                ensure!(copied.success(), "a snapshot could not be copied");
            }
        }
        fs::create_dir_all(folder.path().join("user"))?;
        fs::create_dir_all(folder.path().join("root"))?;
        let anchor = Command::new("unshare")
            .args(["-p", "-m", "-n", "-i", "-u", "-f", "--kill-child=KILL", "--mount-proc"])
            .args(["/bin/sh", "-c", &format!("set -e\n{WITHOUT_OTHERS}{FIRST}"), "sandbox"])
            .arg(folder.path())
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting a sandbox: `unshare` of util-linux, as root")?;
        let until = Instant::now() + READY_TIMEOUT;
        while !folder.path().join("ready").exists() {
            ensure!(Instant::now() < until, "a sandbox does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        let first = child_of(anchor.id()).context("a sandbox has a first process")?;
        Ok(Self {
            token: format!("ea_{id}"),
            id,
            template,
            metadata,
            auto_pause,
            started,
            ends: AtomicU64::new(ends),
            state: Mutex::new(State { runs: true, connections: CancellationToken::new() }),
            folder,
            anchor,
            first,
            processes: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn runs(&self) -> bool {
        self.state().runs
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn first(&self) -> u32 {
        self.first
    }

    pub(super) fn ends(&self) -> u64 {
        self.ends.load(Ordering::Relaxed)
    }

    /// Cancelled when connections are to break.
    pub(super) fn connections(&self) -> CancellationToken {
        self.state().connections.clone()
    }

    pub(super) fn break_connections(&self) {
        let mut state = self.state();
        std::mem::take(&mut state.connections).cancel();
    }

    /// All that runs in it but its first process.
    pub(super) fn pids(&self) -> Vec<u32> {
        let space = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(own) = space(self.first) else { return Vec::new() };
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != self.first && space(*pid).as_ref() == Some(&own)).collect()
    }

    /// Those on this host that have started its programs, and wait for them.
    fn outer(&self) -> Vec<u32> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.values().map(|process| process.outer).collect()
    }

    /// Stops every process, those too that begin meanwhile. False: it was paused. Blocks.
    pub(super) fn pause(&self) -> Result<bool> {
        {
            let mut state = self.state();
            if !state.runs {
                return Ok(false);
            }
            state.runs = false;
            std::mem::take(&mut state.connections).cancel();
        }
        let until = Instant::now() + STILL_TIMEOUT;
        loop {
            let moving: Vec<u32> = self.pids().into_iter().filter(|pid| moves(*pid)).collect();
            if moving.is_empty() {
                return Ok(true);
            }
            ensure!(Instant::now() < until, "processes of a sandbox do not stand still");
            signal_all(&moving, Signal::STOP);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// False: it ran.
    pub(super) fn resume(&self) -> bool {
        let mut state = self.state();
        if state.runs {
            return false;
        }
        signal_all(&self.pids(), Signal::CONT);
        // Who entered the sandbox with one of them has stopped with it.
        signal_all(&self.outer(), Signal::CONT);
        state.runs = true;
        true
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.state().connections.cancel();
        // The kernel ends all of a namespace with its first process.
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
        // One that is stopped would not see that its program has ended, and hold what was mounted.
        signal_all(&self.outer(), Signal::KILL);
        let until = Instant::now() + STILL_TIMEOUT;
        while !self.pids().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn signal_all(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process is neither stopped nor at its end.
fn moves(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rfind(')').and_then(|at| stat[at..].chars().nth(2));
    state.is_some_and(|state| !"TtZX".contains(state))
}

/// The first child of a process.
pub(super) fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
