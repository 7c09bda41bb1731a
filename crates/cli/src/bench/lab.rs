//! A server of the bench's own: this binary, an empty data folder, a port that was free.

use crate::client::Client;
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// How long a server may take to come up before the bench gives up.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running server; ended by [`Lab::close`].
pub(super) struct Lab {
    pub(super) client: Client,
    /// From spawn to the printed link.
    pub(super) start_ms: f64,
    folder: PathBuf,
    server: Child,
    ended: bool,
}

impl Lab {
    /// Starts one. `env` comes on top of an empty environment.
    pub(super) async fn open(env: &[(String, String)]) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("toft-bench-{}", toft_model::id::random_hex(6)));
        std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let exe = std::env::current_exe().context("finding this program")?;
        let began = Instant::now();
        let mut server = Command::new(exe)
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
        let stdout = server.stdout.take().context("stdout is piped")?;
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
        let client = Client::local(&folder.join("data"))?;
        Ok(Self { client, start_ms, folder, server, ended: false })
    }

    /// Pid of the server.
    pub(super) fn pid(&self) -> Result<u32> {
        self.server.id().context("the server runs")
    }

    /// Data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Makes a project and answers its id.
    pub(super) async fn project(&self) -> Result<String> {
        let made = self.client.post("/v1/projects", &json!({"name": "bench"})).await?;
        id_of(&made)
    }

    /// What the machine of a project wrote down about itself when it started.
    pub(super) fn machine(&self, project: &str) -> Result<Value> {
        let path = self.data().join("run/m").join(project).join("state.json");
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Pid of a running machine's init on the host.
    pub(super) fn init_pid(&self, project: &str) -> Result<u32> {
        let pid = self.machine(project)?["init_pid"].as_u64().context("it names init")?;
        Ok(u32::try_from(pid)?)
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
        tokio::time::timeout(START_TIMEOUT, self.server.wait())
            .await
            .context("ending the server")??;
        self.ended = true;
        remove(&self.folder)
    }
}

impl Drop for Lab {
    /// A row that failed leaves nothing running either.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Ok(exe) = std::env::current_exe() {
            let _ = std::process::Command::new(exe)
                .arg("down")
                .arg("--data")
                .arg(self.data())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        let _ = remove(&self.folder);
    }
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

/// `id` of a project.
pub(super) fn id_of(project: &Value) -> Result<String> {
    Ok(project["id"].as_str().context("a project has an id")?.to_owned())
}

/// Milliseconds since then.
pub(super) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
