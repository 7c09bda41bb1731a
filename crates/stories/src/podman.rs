//! A Podman of a story's own: service, storage and sockets in a folder that goes with it, and the
//! root tarball that its machines are made of.

use crate::{lane, made};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// See the module.
pub struct Podman {
    folder: TempDir,
    service: Child,
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
    folders.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

/// The root file system that `.ci/prepare tests` makes once, of the distribution's packages.
fn tarball() -> Option<PathBuf> {
    let path = made::folder()?.join("oci/root.tar");
    path.exists().then_some(path)
}

impl Podman {
    /// `None`, and says why, where it cannot run.
    pub fn start(story: &str) -> Result<Option<Self>> {
        if !lane::root() {
            lane::skip(story, "a Podman of its own needs root");
            return Ok(None);
        }
        if lane::as_user() {
            lane::skip(story, "this Podman is root's, and closed to the user that runs the server");
            return Ok(None);
        }
        // crun refuses control groups of both versions at once, which some hosts have.
        let runtime = program("runc").or_else(|| program("crun"));
        let (Some(podman), Some(runtime), Some(_)) = (program("podman"), runtime, tarball()) else {
            lane::skip(
                story,
                "podman, runc or the root tarball is missing; `.ci/prepare tests` makes them",
            );
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("toft-podman-").tempdir()?;
        let runtime = runtime.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::write(
            folder.path().join("containers.conf"),
            format!(
                "[containers]\ndefault_ulimits = []\n[engine]\nruntime = \"{runtime}\"\n\
                 cgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n"
            ),
        )?;
        let log = fs::File::create(folder.path().join("service.log"))?;
        let service = command(&podman, folder.path())
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", folder.path().join("podman.sock").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting podman")?;
        let podman = Self { folder, service };
        let until = Instant::now() + crate::toft::STEP_TIMEOUT;
        while UnixStream::connect(podman.socket()).is_err() {
            ensure!(Instant::now() < until, "podman does not serve: {}", podman.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(podman))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("podman.sock")
    }

    /// What the service wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("service.log")).unwrap_or_default()
    }

    /// Arguments of `toft up` for machines in this Podman.
    pub fn args(&self) -> Vec<String> {
        let socket = self.socket().display().to_string();
        let image = tarball().unwrap_or_default().display().to_string();
        ["--backend", "oci", "--oci-socket", &socket, "--oci-image", &image]
            .map(str::to_owned)
            .to_vec()
    }

    /// All containers, with their states.
    pub fn containers(&self) -> Result<Vec<String>> {
        let podman = program("podman").context("podman is gone")?;
        let out = command(&podman, self.folder.path())
            .args(["ps", "--all", "--format", "{{.Names}} {{.Status}}"])
            .output()?;
        ensure!(out.status.success(), "podman ps: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    }
}

/// `podman` on storage of the story's own.
fn command(podman: &Path, folder: &Path) -> Command {
    let mut command = Command::new(podman);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", folder).env("CONTAINERS_CONF", folder.join("containers.conf"));
    for (flag, name) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(flag).arg(folder.join(name));
    }
    command.args(["--storage-driver", "vfs"]);
    command
}

fn groups() -> Vec<PathBuf> {
    let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let tops = controllers.map(|e| e.path()).chain(["/sys/fs/cgroup".into()]);
    tops.map(|top| top.join("libpod_parent")).filter(|path| path.exists()).collect()
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Some(podman) = program("podman") {
            let _ = command(&podman, self.folder.path()).args(["rm", "--all", "--force"]).output();
        }
        let _ = self.service.kill();
        let _ = self.service.wait();
        // Only empty ones go: a Podman that is still at work has something in them. Those of version 1
        // empty a moment after their last process.
        for _ in 0..20 {
            for top in groups() {
                for path in [top.join("conmon"), top] {
                    let _ = fs::remove_dir(path);
                }
            }
            if groups().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = self.folder.path().to_string_lossy().into_owned();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if point.starts_with(&own) {
                let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
            }
        }
    }
}
