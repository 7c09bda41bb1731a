//! A server of the bench's own: this binary, an empty data folder, a port that was free.

use super::child::Ends;
use crate::client::Client;
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// How long a server may take to come up before the bench gives up.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The program whose servers are measured, where it is not this one.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Measures servers of another build from here on.
pub(super) fn measure(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// The program that serves, and that is the command line to it.
pub(super) fn program() -> Result<PathBuf> {
    match PROGRAM.get() {
        Some(program) => Ok(program.clone()),
        None => std::env::current_exe().context("finding this program"),
    }
}

/// A running server; ended by [`Lab::close`].
pub(super) struct Lab {
    pub(super) client: Client,
    /// From spawn to the printed link.
    pub(super) start_ms: f64,
    server: Serving,
}

/// A server from its spawn on. One that is dropped while it runs, because a row failed or the bench was interrupted, is
/// ended and leaves nothing behind.
struct Serving {
    folder: PathBuf,
    child: Option<Ends>,
}

impl Lab {
    /// Starts one. `env` comes on top of an empty environment.
    pub(super) async fn open(env: &[(String, String)]) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("toft-bench-{}", toft_model::id::random_hex(6)));
        std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let exe = program()?;
        let began = Instant::now();
        let mut child = Command::new(exe)
            .args(["up", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &folder)
            .envs(env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting a server")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let server = Serving { folder, child: Some(Ends(child)) };
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("http://") {
                    return Ok(());
                }
            }
            bail!("the server ended before it served; `toft up` says why")
        };
        tokio::time::timeout(START_TIMEOUT, ready).await.context("the server did not start")??;
        let start_ms = ms(began);
        // Keeps the pipe read, so that the server never blocks on it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = Client::local(&server.data())?;
        Ok(Self { client, start_ms, server })
    }

    /// Pid of the server.
    pub(super) fn pid(&self) -> Result<u32> {
        self.server.child.as_ref().and_then(|child| child.0.id()).context("the server runs")
    }

    /// Data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.server.data()
    }

    /// Makes a project and answers its id.
    pub(super) async fn project(&self) -> Result<String> {
        let made = self.client.post("/v1/projects", &json!({"name": "bench"})).await?;
        id_of(&made)
    }

    /// What a running machine has on the host.
    pub(super) fn run_dir(&self, project: &str) -> PathBuf {
        self.data().join("run/m").join(project)
    }

    /// What the machine of a project wrote down about itself when it started.
    pub(super) fn machine(&self, project: &str) -> Result<Value> {
        let path = self.run_dir(project).join("state.json");
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Pid of a running machine's init on the host.
    pub(super) fn init_pid(&self, project: &str) -> Result<u32> {
        let pid = self.machine(project)?["init_pid"].as_u64().context("it names init")?;
        Ok(u32::try_from(pid)?)
    }

    /// Pid of its bridge, which is a child of init.
    pub(super) fn bridge_pid(&self, project: &str) -> Result<u32> {
        let is_bridge = |pid: &u32| {
            // Not the process that is about to become one.
            let argv = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            argv.ends_with(b"\0bridge\0")
        };
        let found = children(self.init_pid(project)?)?.into_iter().find(is_bridge);
        found.context("the machine has no bridge now")
    }

    /// Ends server and machines and removes the folder.
    pub(super) async fn close(mut self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            // Some of a machine's files belong to ids that only its server can act for.
            for project in self.client.projects().await? {
                let path = format!("/v1/projects/{}", id_of(&project)?);
                self.client.call(Method::DELETE, &path, None).await?;
            }
        }
        self.client.post("/v1/shutdown", &json!({"stopMachines": true})).await?;
        if let Some(mut child) = self.server.child.take() {
            tokio::time::timeout(START_TIMEOUT, child.0.wait())
                .await
                .context("ending the server")??;
        }
        remove(&self.server.folder)
    }
}

impl Serving {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What a verb of this program prints about this server; empty when it fails.
    fn asked(&self, verb: &[&str]) -> Vec<u8> {
        let Ok(exe) = program() else { return Vec::new() };
        let mut command = std::process::Command::new(exe);
        command.args(verb).arg("--data").arg(self.data()).stdin(Stdio::null());
        command.output().map(|done| done.stdout).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        if !rustix::process::geteuid().is_root() {
            // As in [`Lab::close`].
            let all: Vec<Value> =
                serde_json::from_slice(&self.asked(&["ps", "--json"])).unwrap_or_default();
            for id in all.iter().filter_map(|project| project["id"].as_str()) {
                self.asked(&["rm", "--yes", id]);
            }
        }
        drop(child);
        // Told to end, a server leaves machines and gateway running.
        self.asked(&["down"]);
        let _ = remove(&self.folder);
    }
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

/// Processes that this one's first thread has started.
pub(super) fn children(pid: u32) -> Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.split_whitespace().filter_map(|p| p.parse().ok()).collect())
}

/// `id` of a project.
pub(super) fn id_of(project: &Value) -> Result<String> {
    Ok(project["id"].as_str().context("a project has an id")?.to_owned())
}

/// Milliseconds since then.
pub(super) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
