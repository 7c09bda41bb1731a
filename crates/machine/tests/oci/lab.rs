//! What the tests share: the backend on an engine of its own, and a look inside a machine.

use super::podman::Podman;
use std::{fs, path::PathBuf, time::Duration};
use toft_machine::{
    backend::{Backend as _, Running, StartSpec},
    init_client::{self, ExecEvent},
    oci::{self, Oci, OciConfig, OciImage},
};
use toft_model::{id::ProjectId, init::ExecSpec, machine::Limits};

pub(crate) const GRACE: Duration = Duration::from_millis(200);

pub(crate) struct Lab {
    pub(crate) oci: Oci,
    pub(crate) podman: Podman,
    pub(crate) tarball: PathBuf,
}

impl Lab {
    /// `None`, and says why, where there is no Podman.
    pub(crate) async fn open() -> Option<Self> {
        Self::with("").await
    }

    /// The same with disks that are plain folders.
    pub(crate) async fn open_plain() -> Option<Self> {
        Self::with("plain").await
    }

    async fn with(storage: &str) -> Option<Self> {
        let podman = Podman::start()?;
        let tarball = podman.busybox()?;
        if !storage.is_empty() {
            fs::create_dir_all(podman.dir.path().join("data/store")).unwrap();
            fs::write(podman.dir.path().join("data/store/kind"), storage).unwrap();
        }
        let oci = oci::open(config(&podman, OciImage::Tarball(tarball.clone()))).await;
        let oci = oci.unwrap_or_else(|e| panic!("{e}\n{}", podman.log()));
        Some(Self { oci, podman, tarball })
    }

    /// Another server on the same data folder.
    pub(crate) async fn reopen(&self) -> Oci {
        oci::open(config(&self.podman, OciImage::Tarball(self.tarball.clone()))).await.unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        fs::canonicalize(self.podman.dir.path().join("data")).unwrap()
    }

    /// A machine that runs.
    pub(crate) async fn machine(&self) -> (ProjectId, Running) {
        let project = ProjectId::random();
        self.oci.create(&project).await.unwrap();
        let running = self.oci.start(spec(&project)).await;
        let running = running.unwrap_or_else(|e| panic!("{e}\n{}", self.podman.log()));
        (project, running)
    }

    /// Output of a shell command inside, that must succeed.
    pub(crate) async fn says(&self, project: &ProjectId, command: &str) -> String {
        let (out, code) = self.shell(project, command).await;
        assert_eq!(code, Some(0), "{command}: {out}");
        out
    }

    /// Output and exit code of a shell command inside.
    pub(crate) async fn shell(&self, project: &ProjectId, command: &str) -> (String, Option<i32>) {
        let stream = self.oci.connect_init(project).await.unwrap();
        let argv = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        let spec = ExecSpec { argv, ..ExecSpec::default() };
        let mut handle = init_client::exec(stream, spec).await.unwrap();
        let mut out = Vec::new();
        loop {
            match handle.next().await.unwrap() {
                Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes)) => out.extend(bytes),
                Some(ExecEvent::Gap(_)) => {}
                Some(ExecEvent::Exit(exit)) => {
                    return (String::from_utf8_lossy(&out).trim().to_owned(), exit.code);
                }
                None => panic!("no end"),
            }
        }
    }

    /// Removes everything, and looks whether it is gone.
    pub(crate) async fn close(self, projects: &[&ProjectId]) {
        for project in projects {
            self.oci.destroy(project).await.unwrap();
        }
        assert_eq!(self.podman.containers(), Vec::<String>::new());
        let data = self.data();
        for project in projects {
            for folder in ["store/pool/p", "store/pool/ck", "logs", "run/m"] {
                assert!(!data.join(folder).join(project.as_str()).exists(), "{folder}");
            }
        }
        assert_eq!(fs::read_dir(data.join("store/pool/tmp")).unwrap().count(), 0);
        self.oci.close().await.unwrap();
        let images = self.podman.says(&["images", "--all", "--format", "{{.Repository}}"]);
        assert!(!images.contains("toft-frame"), "an image stays: {images}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&*data.to_string_lossy()), "a mount stays: {mounts}");
    }
}

pub(crate) fn config(podman: &Podman, image: OciImage) -> OciConfig {
    OciConfig {
        data_dir: podman.dir.path().join("data"),
        exe: PathBuf::from(env!("CARGO_BIN_EXE_toft-machine-probe")),
        sockets: vec![podman.socket()],
        image,
        disk_bytes_max: None,
    }
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
