//! Podman, typed as a person would: pausing, stopping and starting a container that sleeps, with the
//! host's programs read-only and no network. What it keeps lies in a folder of the bench's.

use super::{
    crun::programs,
    sandbox::{Sandbox, Steps},
};
use crate::bench::scratch::Scratch;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

/// Name of the one container.
const NAME: &str = "toft-bench";
/// Its program ends by itself should the bench be killed: longer than any run.
const SLEEP: &str = "3600";
/// Without limits that a nested host refuses, and without services of the host's.
const SETTINGS: &str = "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\n\
                        events_logger = \"none\"\nlock_type = \"file\"\n";

/// A container that runs; gone when this is dropped.
pub(super) struct Podman {
    program: PathBuf,
    folder: Scratch,
}

impl Podman {
    pub(super) async fn open(program: &Path, runtime: &Path) -> Result<Self> {
        let podman = Self { program: program.to_owned(), folder: Scratch::make()? };
        let folder = podman.folder.path();
        let runtime = runtime.file_name().unwrap_or_default().to_string_lossy();
        let settings = format!("{SETTINGS}runtime = \"{runtime}\"\n");
        fs::write(podman.settings(), settings)?;
        let root = folder.join("rootfs");
        let shown = programs(&root).context("making a tree for podman")?;
        let mut run = podman.command();
        run.args(["run", "--detach", "--name", NAME, "--network", "none"]);
        for folder in shown {
            run.arg("--volume").arg(format!("{0}:{0}:ro", folder.display()));
        }
        let ran = run.arg("--rootfs").arg(root).args(["sleep", SLEEP]).output().await?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            bail!("podman: {}", said.lines().last().unwrap_or("it said nothing"));
        }
        Ok(podman)
    }

    /// Its rounds beside a row of that name, if there is something like it.
    pub(super) fn beside(&self, row: &str) -> Option<Result<Sandbox>> {
        let podman =
            format!("CONTAINERS_CONF={} {}", self.settings().display(), self.arguments().join(" "));
        let of = |verb: &str| format!("{podman} {verb} {NAME}");
        let (pause, unpause) = (of("pause"), of("unpause"));
        let (start, stop) = (of("start"), of("stop --time 0"));
        let used = format!("{podman} exec {NAME} true");
        let (woken, started) = (format!("{unpause} && {used}"), format!("{start} && {used}"));
        let (name, ready, round, tidy) = match row {
            "freeze" => ("podman pause", ":", &pause, &*unpause),
            "thaw_request" => ("podman unpause, exec true", &*pause, &woken, ":"),
            "cold_wake" => ("podman start, exec true", &*stop, &started, ":"),
            "stop" => ("podman stop --time 0", ":", &stop, &*start),
            _ => return None,
        };
        let steps = Steps { ready, round, tidy };
        Some(Scratch::make().and_then(|own| Sandbox::open(name, own, &[], ":", &steps)))
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("containers.conf")
    }

    fn arguments(&self) -> Vec<String> {
        let folder = self.folder.path();
        [
            self.program.display().to_string(),
            "--root".into(),
            folder.join("store").display().to_string(),
            "--runroot".into(),
            folder.join("run").display().to_string(),
            "--storage-driver".into(),
            "vfs".into(),
        ]
        .to_vec()
    }

    fn command(&self) -> Command {
        let arguments = self.arguments();
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]).env("CONTAINERS_CONF", self.settings()).stdin(Stdio::null());
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut command = self.command().into_std();
        let _ = command.args(["rm", "--all", "--force", "--time", "0"]).output();
    }
}
