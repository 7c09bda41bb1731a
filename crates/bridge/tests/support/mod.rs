//! A machine without walls for tests: init as an ordinary process, started from the test binary
//! itself, with everything in a folder of its own. Ends with the test.

#![expect(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod http;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::{
    fs::File,
    io::{Seek as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use toft_jail::child::{ChildSpec, spawn};
use toft_machine::init_client::{self, ExecEvent, ExecHandle};
use toft_model::{
    boot::{BridgeBoot, InitBoot},
    init::{ExecExit, ExecSpec},
};
use tokio::net::UnixStream;

/// An argument that only a process started by this module has.
const AS_A_PROCESS: &str = "started-as-a-process";

/// Whether this test binary was started to be init or the bridge. Such a `#[test]` does nothing
/// otherwise.
pub(crate) fn is_a_process() -> bool {
    std::env::args().any(|arg| arg == AS_A_PROCESS)
}

/// Arguments that make this test binary run `entry` only.
pub(crate) fn argv_of(entry: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [&exe, entry, "--exact", "--nocapture", "--test-threads=1", "--skip", AS_A_PROCESS]
        .map(str::to_owned)
        .to_vec()
}

/// A running init.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
    pub(crate) pid: Pid,
    pub(crate) app: SocketAddr,
    pub(crate) gateways: Vec<SocketAddr>,
}

impl Machine {
    /// With a bridge that only sleeps.
    pub(crate) fn start() -> Self {
        Self::with_bridge(vec!["sleep".into(), "3600".into()])
    }

    /// With a bridge of its own.
    pub(crate) fn with_bridge(bridge_argv: Vec<String>) -> Self {
        Self::with(bridge_argv, Vec::new())
    }

    /// With a bridge and control groups of its own.
    pub(crate) fn with(bridge_argv: Vec<String>, work_cgroup_procs: Vec<String>) -> Self {
        Self::made(bridge_argv, work_cgroup_procs, false, None)
    }

    /// With a bridge that waits for the machine's secrets.
    pub(crate) fn awaiting() -> Self {
        Self::made(vec!["sleep".into(), "3600".into()], Vec::new(), true, None)
    }

    /// Whose programs that only read are started in this mount namespace.
    pub(crate) fn reading_in(mounts: &std::os::fd::OwnedFd) -> Self {
        Self::made(vec!["sleep".into(), "3600".into()], Vec::new(), false, Some(mounts))
    }

    fn made(
        bridge_argv: Vec<String>,
        work_cgroup_procs: Vec<String>,
        awaits_environment: bool,
        read_only: Option<&std::os::fd::OwnedFd>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["project", "home", "log", "log/exec"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let init = UnixListener::bind(at("init.sock")).unwrap();
        let bridge = UnixListener::bind(at("bridge.sock")).unwrap();
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (app, gateway, egress) = (tcp(), tcp(), tcp());
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let boot = InitBoot {
            init_fd: init.as_raw_fd(),
            bridge_fd: bridge.as_raw_fd(),
            app_fd: Some(app.as_raw_fd()),
            gateway_fds: vec![gateway.as_raw_fd(), egress.as_raw_fd()],
            bridge_argv,
            work_env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("HOME".into(), text(at("home"))),
                ("TOFT_PROJECT".into(), "abcdefghijkl".into()),
            ],
            awaits_environment,
            exec_dir: text(at("log/exec")),
            log_fd: None,
            read_only_fd: read_only.map(std::os::fd::AsRawFd::as_raw_fd),
            work_cgroup_procs,
            bridge: BridgeBoot {
                project: "abcdefghijkl".parse().unwrap(),
                name: "Test".into(),
                token: "project-token".into(),
                gateway_url: format!("http://{}", gateway.local_addr().unwrap()),
                cwd: text(at("project")),
                home: text(at("home")),
                log_dir: text(at("log")),
                app_port: 3000,
                app_url: "http://abcdefghijkl.localhost:4000".into(),
                path_policy: false,
            },
        };
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(&serde_json::to_vec(&boot).unwrap()).unwrap();
        stdin.rewind().unwrap();
        let mut keep =
            vec![init.as_fd(), bridge.as_fd(), app.as_fd(), gateway.as_fd(), egress.as_fd()];
        keep.extend(read_only.as_ref().map(|fd| fd.as_fd()));
        let null: File = File::options().write(true).open("/dev/null").unwrap();
        let said = File::create(at("stderr")).unwrap();
        let pid = spawn(ChildSpec {
            argv: &argv_of("init_process"),
            env: &[("PATH".into(), "/usr/bin:/bin".into())],
            cwd: Path::new("/"),
            stdin: stdin.into(),
            stdout: null.into(),
            stderr: said.into(),
            controlling_terminal: false,
            join: Vec::new(),
            keep,
            die_with_parent: true,
            own: false,
            read_only: None,
        })
        .unwrap();
        Self {
            pid: Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
            app: app.local_addr().unwrap(),
            gateways: vec![gateway.local_addr().unwrap(), egress.local_addr().unwrap()],
            dir,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A connection to init.
    pub(crate) async fn init(&self) -> UnixStream {
        UnixStream::connect(self.path("init.sock")).await.unwrap()
    }

    /// Starts a program.
    pub(crate) async fn exec(&self, spec: ExecSpec) -> ExecHandle {
        init_client::exec(self.init().await, spec).await.unwrap()
    }

    /// Runs a shell script to its end.
    pub(crate) async fn sh(&self, script: &str) -> Ran {
        ran(self.exec(sh(script)).await).await
    }

    /// Bytes of memory that init uses now, and the most that it ever used.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let pid = self.pid.as_raw_nonzero();
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (kib("VmRSS:") << 10, kib("VmHWM:") << 10)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // TERM makes init end everything that it started.
        let _ = kill_process(self.pid, Signal::TERM);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.path("stderr")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "init and the bridge said:\n{said}");
        }
    }
}

/// A script as a request.
pub(crate) fn sh(script: &str) -> ExecSpec {
    ExecSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..ExecSpec::default() }
}

/// What a program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    /// Both, in order of arrival.
    pub(crate) all: String,
    pub(crate) gaps: Vec<u64>,
    pub(crate) exit: ExecExit,
}

/// Follows a program to its end.
pub(crate) async fn ran(mut handle: ExecHandle) -> Ran {
    let (mut out, mut err, mut all, mut gaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    loop {
        match handle.next().await.unwrap().expect("an exit comes before the end") {
            ExecEvent::Stdout(bytes) => {
                out.extend_from_slice(&bytes);
                all.extend_from_slice(&bytes);
            }
            ExecEvent::Stderr(bytes) => {
                err.extend_from_slice(&bytes);
                all.extend_from_slice(&bytes);
            }
            ExecEvent::Gap(to) => gaps.push(to),
            ExecEvent::Exit(exit) => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                return Ran { out: text(out), err: text(err), all: text(all), gaps, exit };
            }
        }
    }
}

/// The next line of output.
pub(crate) async fn line(handle: &mut ExecHandle) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"\n") {
        match handle.next().await.unwrap() {
            Some(ExecEvent::Stdout(bytes)) => got.extend_from_slice(&bytes),
            other => panic!("no line but {other:?} after {:?}", String::from_utf8_lossy(&got)),
        }
    }
    String::from_utf8(got).unwrap().trim_end().to_owned()
}

/// Whether a process lives (a zombie does not).
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// Waits until something holds; the test's own timeout ends it otherwise.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
