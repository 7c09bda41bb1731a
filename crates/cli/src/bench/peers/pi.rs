//! Pi, driven over its RPC (JSON lines on standard input and output) against the provider that
//! measures ours, on the host and without a sandbox. Its session files are kept, as ours are.

use crate::bench::scratch::Scratch;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Start of Node and twenty turns take about a second here; a loaded host, with a wide margin.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// The installed programs.
pub(in crate::bench) struct PiFiles {
    node: PathBuf,
    entry: PathBuf,
}

impl PiFiles {
    /// Looks in the folder that `npm install --prefix` was given.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        let modules = folder.join("node_modules");
        let package = modules.join("@earendil-works/pi-coding-agent");
        let about: Value = fs::read(package.join("package.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())?;
        let entry = package.join(about["bin"]["pi"].as_str()?);
        let node = modules.join("node/bin/node");
        (entry.is_file() && node.is_file()).then_some(Self { node, entry })
    }
}

/// A running Pi; ended when dropped.
pub(in crate::bench) struct Pi {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: Scratch,
}

impl Pi {
    /// Starts one that asks this provider; `file` and its content lie where it works.
    pub(in crate::bench) async fn open(
        files: &PiFiles,
        provider: SocketAddr,
        file: (&str, &str),
    ) -> Result<Self> {
        let folder = Scratch::make()?;
        let (agent, work) = (folder.path().join("agent"), folder.path().join("work"));
        fs::create_dir(&agent)?;
        fs::create_dir(&work)?;
        fs::write(work.join(file.0), file.1)?;
        let models = json!({"providers": {"bench": {
            "baseUrl": format!("http://{provider}"),
            "api": "anthropic-messages",
            "apiKey": "sk-bench",
            "models": [{"id": "bench"}],
        }}});
        fs::write(agent.join("models.json"), models.to_string())?;
        let mut process = Command::new(&files.node)
            .arg(&files.entry)
            .args(["--mode", "rpc", "--provider", "bench", "--model", "bench"])
            .current_dir(&work)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("PI_CODING_AGENT_DIR", &agent)
            .env("PI_OFFLINE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting node")?;
        let input = process.stdin.take().context("stdin is piped")?;
        let output = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
        let mut pi = Self { _process: process, input, output, _folder: folder };
        pi.ask(&json!({"type": "get_state"})).await?;
        Ok(pi)
    }

    /// A prompt in a new session, to its end.
    pub(in crate::bench) async fn prompt(&mut self) -> Result<()> {
        self.ask(&json!({"type": "new_session"})).await?;
        self.ask(&json!({"type": "prompt", "message": "go"})).await?;
        self.until(|line| line["type"] == "agent_settled").await?;
        Ok(())
    }

    async fn ask(&mut self, command: &Value) -> Result<()> {
        self.input.write_all(format!("{command}\n").as_bytes()).await.context("it has ended")?;
        let kind = command["type"].clone();
        let answer =
            self.until(|line| line["type"] == "response" && line["command"] == kind).await?;
        if answer["success"] != true {
            bail!("it refused {kind}: {}", answer["error"]);
        }
        Ok(())
    }

    /// Reads to a wanted line. Pi splits only at LF, as this does.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let read = async {
            loop {
                let line = self.output.next_line().await?.context("it has ended")?;
                let line: Value = serde_json::from_str(&line).context("it wrote no JSON")?;
                if wanted(&line) {
                    return Ok(line);
                }
            }
        };
        timeout(STEP_TIMEOUT, read).await.context("it did not answer")?
    }
}
