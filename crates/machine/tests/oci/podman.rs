//! A Podman of the test's own: service, storage and sockets in a folder that goes with it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use toft_lane::skip;

/// A service that starts; a busy host takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Podman {
    pub(crate) dir: TempDir,
    service: Mutex<Child>,
}

/// Where a program of the system lies.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
    folders.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

impl Podman {
    /// `None`, and says why, where it cannot run.
    pub(crate) fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("oci", "a Podman of the test's own needs root");
            return None;
        }
        // crun refuses control groups of both versions at once, which some hosts have.
        let (Some(podman), Some(runtime)) =
            (program("podman"), program("runc").or_else(|| program("crun")))
        else {
            skip("oci", "podman and runc are missing; `.ci/prepare tests` installs them");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("toft-oci-").tempdir().unwrap();
        let runtime = runtime.file_name().unwrap().to_string_lossy().into_owned();
        fs::write(
            dir.path().join("containers.conf"),
            format!(
                "[containers]\ndefault_ulimits = []\n[engine]\nruntime = \"{runtime}\"\n\
                 cgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n"
            ),
        )
        .unwrap();
        let podman = Self { service: Mutex::new(serve(&podman, dir.path())), dir };
        podman.wait();
        Some(podman)
    }

    /// Until it answers.
    fn wait(&self) {
        let until = Instant::now() + START_TIMEOUT;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < until, "the service does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the service at once. Containers live on.
    pub(crate) fn stop(&self) {
        let mut service = self.service.lock().unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        *self.service.lock().unwrap() = serve(&program("podman").unwrap(), self.dir.path());
        self.wait();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("podman.sock")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("service.log")).unwrap_or_default()
    }

    /// What it prints for these arguments.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let podman = program("podman").unwrap();
        let out = command(&podman, self.dir.path()).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Names of all containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        let text = self.says(&["ps", "--all", "--format", "{{.Names}} {{.Status}}"]);
        text.lines().map(str::to_owned).collect()
    }

    /// A tarball of a root file system with nothing but busybox.
    pub(crate) fn busybox(&self) -> Option<PathBuf> {
        let tarball = self.dir.path().join("busybox.tar");
        if tarball.exists() {
            return Some(tarball);
        }
        let busybox = program("busybox").filter(|path| is_static(path));
        let Some(busybox) = busybox else {
            skip("oci", "a static busybox is missing; `.ci/prepare tests` installs it");
            return None;
        };
        let root = self.dir.path().join("root");
        for name in ["usr/bin", "etc", "tmp", "var", "root", "opt"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        fs::copy(&busybox, root.join("usr/bin/busybox")).unwrap();
        fs::set_permissions(root.join("usr/bin/busybox"), fs::Permissions::from_mode(0o755))
            .unwrap();
        for name in
            ["sh", "cat", "ls", "id", "sleep", "touch", "mkdir", "wget", "mount", "rm", "nc"]
        {
            std::os::unix::fs::symlink("busybox", root.join("usr/bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        let mut archive = Command::new("tar");
        archive.arg("-C").arg(&root).arg("-cf").arg(&tarball).arg(".");
        assert!(archive.status().unwrap().success());
        Some(tarball)
    }
}

fn is_static(program: &Path) -> bool {
    // A program that names no loader needs none.
    fs::read(program).is_ok_and(|bytes| !bytes.windows(9).any(|w| w == b"/ld-linux"))
}

fn serve(podman: &Path, dir: &Path) -> Child {
    // One that was killed has left it.
    let _ = fs::remove_file(dir.join("podman.sock"));
    let log = fs::File::options().create(true).append(true).open(dir.join("service.log")).unwrap();
    command(podman, dir)
        .args(["system", "service", "--time", "0"])
        .arg(format!("unix://{}", dir.join("podman.sock").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// `podman` on storage of the test's own.
fn command(podman: &Path, dir: &Path) -> Command {
    let mut command = Command::new(podman);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", dir).env("CONTAINERS_CONF", dir.join("containers.conf"));
    for (flag, folder) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(flag).arg(dir.join(folder));
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
        let podman = program("podman").unwrap();
        let _ = command(&podman, self.dir.path()).args(["rm", "--all", "--force"]).output();
        let service = self.service.get_mut().unwrap();
        let _ = service.kill();
        let _ = service.wait();
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
        let own = self.dir.path().to_string_lossy().into_owned();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if point.starts_with(&own) {
                let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
            }
        }
    }
}
