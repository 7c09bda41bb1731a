//! What the tests share: a backend in a folder of its own, and a look inside a machine.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use toft_machine::{
    backend::{Backend as _, MachineError, Running, StartSpec},
    init_client::{self, ExecEvent},
    native::{self, Native, NativeConfig},
};
use toft_model::{
    id::ProjectId,
    init::{ExecExit, ExecSpec},
    machine::Limits,
};

pub(crate) struct Lab {
    pub(crate) native: Native,
    pub(crate) dir: TempDir,
}

/// Names another copy of the probe, for those who may not look into the build folder.
pub(crate) const PROBE: &str = "TOFT_PROBE";

pub(crate) fn exe() -> PathBuf {
    let copy = std::env::var_os(PROBE);
    copy.unwrap_or_else(|| env!("CARGO_BIN_EXE_toft-machine-probe").into()).into()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Lab {
    /// `None`, and says why, where this host cannot have machines.
    pub(crate) async fn open() -> Option<Self> {
        Self::open_in(tempfile::tempdir().unwrap()).await
    }

    /// The same with disks that are plain folders.
    pub(crate) async fn open_plain() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/store")).unwrap();
        fs::write(dir.path().join("data/store/kind"), "plain").unwrap();
        Self::open_in(dir).await
    }

    /// The same in a folder of that folder.
    pub(crate) async fn open_at(folder: &std::path::Path) -> Option<Self> {
        Self::open_in(tempfile::tempdir_in(folder).unwrap()).await
    }

    /// The same in this one.
    pub(crate) async fn open_in(dir: TempDir) -> Option<Self> {
        match native::open(Self::config(&dir)).await {
            Ok(native) => Some(Self { native, dir }),
            Err(e @ MachineError::Unsupported { .. }) => {
                toft_lane::skip("machines", e);
                None
            }
            Err(e) => panic!("{e}"),
        }
    }

    fn config(dir: &TempDir) -> NativeConfig {
        NativeConfig { data_dir: dir.path().join("data"), exe: exe(), disk_bytes_max: None }
    }

    /// Another server on the same data folder.
    pub(crate) async fn reopen(&self) -> Native {
        native::open(Self::config(&self.dir)).await.unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        fs::canonicalize(self.dir.path().join("data")).unwrap()
    }

    /// Whether an ability is in force.
    pub(crate) async fn enforced(&self, name: &str) -> bool {
        let all = self.native.abilities().await;
        all.iter().find(|a| a.name == name).unwrap_or_else(|| panic!("no ability {name}")).enforced
    }

    /// A machine that runs.
    pub(crate) async fn machine(&self) -> (ProjectId, Running) {
        let project = ProjectId::random();
        self.native.create(&project).await.unwrap();
        let running = self.native.start(spec(&project)).await.unwrap();
        (project, running)
    }

    /// Output and end of a shell command inside.
    pub(crate) async fn shell(&self, project: &ProjectId, command: &str) -> (String, ExecExit) {
        self.exec(project, &["/bin/sh", "-c", command]).await
    }

    pub(crate) async fn exec(&self, project: &ProjectId, argv: &[&str]) -> (String, ExecExit) {
        self.run(project, argv, false).await
    }

    /// The same of a program that only reads.
    pub(crate) async fn reading(&self, project: &ProjectId, argv: &[&str]) -> (String, ExecExit) {
        self.run(project, argv, true).await
    }

    async fn run(&self, project: &ProjectId, argv: &[&str], read_only: bool) -> (String, ExecExit) {
        let stream = self.native.connect_init(project).await.unwrap();
        let argv = argv.iter().map(|a| (*a).to_owned()).collect();
        let spec = ExecSpec { argv, read_only, ..ExecSpec::default() };
        let mut handle = init_client::exec(stream, spec).await.unwrap();
        let mut out = Vec::new();
        loop {
            match handle.next().await.unwrap() {
                Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes)) => out.extend(bytes),
                Some(ExecEvent::Gap(_)) => {}
                Some(ExecEvent::Exit(exit)) => {
                    return (String::from_utf8_lossy(&out).into_owned(), exit);
                }
                None => panic!("no end"),
            }
        }
    }

    /// Output of a command that must succeed.
    pub(crate) async fn says(&self, project: &ProjectId, command: &str) -> String {
        let (out, exit) = self.shell(project, command).await;
        assert_eq!(exit.code, Some(0), "{command}: {out}");
        out.trim().to_owned()
    }

    /// Removes everything, and looks whether it is gone.
    pub(crate) async fn close(self, projects: &[&ProjectId]) {
        for project in projects {
            self.native.destroy(project).await.unwrap();
        }
        let data = self.data();
        for project in projects {
            for folder in ["store/pool/p", "store/pool/ck"] {
                assert!(!data.join(folder).join(project.as_str()).exists(), "{folder}");
            }
        }
        assert!(fs::read_dir(data.join("store/pool/tmp")).unwrap().all(|e| {
            // The next project's disk may be in the making.
            e.unwrap().file_name().to_string_lossy().starts_with("spare-")
        }));
        self.native.close().await.unwrap();
        let named = data.to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&named), "a mount stays: {mounts}");
        // Another machine that starts at this moment holds a copy of every mount of the host until
        // it has changed its root; the kernel detaches the device after that.
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Some(device) = attached(&named) {
            assert!(Instant::now() < deadline, "{} stays attached", device.display());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for project in projects {
            let left = groups_of(project);
            assert!(left.is_empty(), "control groups stay: {left:?}");
            for folder in ["logs", "run/m", "store/pool/p"] {
                assert!(!data.join(folder).join(project.as_str()).exists(), "{folder}");
            }
        }
        assert_eq!(fs::read_dir(data.join("store/slots")).unwrap().count(), 0);
    }
}

impl Drop for Lab {
    /// After a failed assertion only: [`Lab::close`] leaves nothing to do.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let data = self.data();
        for machine in fs::read_dir(data.join("run/m")).into_iter().flatten().flatten() {
            let state = fs::read_to_string(machine.path().join("state.json")).unwrap_or_default();
            let state: serde_json::Value = serde_json::from_str(&state).unwrap_or_default();
            let pid = state["init_pid"].as_i64().and_then(|p| i32::try_from(p).ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let pool = data.join("store/pool");
        let _ = rustix::mount::unmount(&pool, rustix::mount::UnmountFlags::DETACH);
    }
}

/// A loop device whose file lies in this folder.
fn attached(folder: &str) -> Option<PathBuf> {
    fs::read_dir("/sys/block").into_iter().flatten().flatten().map(|e| e.path()).find(|device| {
        fs::read_to_string(device.join("loop/backing_file")).is_ok_and(|b| b.contains(folder))
    })
}

/// Control groups anywhere that carry a project's id.
pub(crate) fn groups_of(project: &ProjectId) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = next.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) || depth > 4 {
                continue;
            }
            if entry.file_name().to_string_lossy() == project.as_str() {
                found.push(entry.path());
            }
            next.push((entry.path(), depth + 1));
        }
    }
    found
}

pub(crate) fn spec(project: &ProjectId) -> StartSpec {
    StartSpec {
        project: project.clone(),
        name: "My Shop".to_owned(),
        limits: Limits::default(),
        app_url: format!("http://{project}.localhost:4000"),
        env: Vec::new(),
        awaits_environment: false,
    }
}

pub(crate) const GRACE: Duration = Duration::from_millis(200);
