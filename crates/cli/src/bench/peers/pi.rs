//! Pi, driven over its RPC (JSON lines on standard input and output) or with one prompt on its command
//! line, against the provider that measures ours, on the host and without a sandbox. Its session files
//! are kept, as ours are.

use super::npm::NodeProgram;
use crate::bench::{lab::ms, scratch::Scratch};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Start of Node and twenty turns take about a second here; a loaded host, with a wide margin.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// Pi with its settings and a folder to work in.
pub(in crate::bench) struct PiHome {
    program: NodeProgram,
    folder: Scratch,
}

impl PiHome {
    /// One that asks this provider; `file` and its content lie where it works.
    pub(in crate::bench) fn make(
        program: &NodeProgram,
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
        Ok(Self { program: program.clone(), folder })
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = self.program.command(folder);
        command
            .args(["--provider", "bench", "--model", "bench"])
            .current_dir(folder.join("work"))
            .env("PI_CODING_AGENT_DIR", folder.join("agent"))
            .env("PI_OFFLINE", "1");
        command
    }

    /// Milliseconds of a whole process that says one thing and prints the answer.
    pub(in crate::bench) async fn once(&self, message: &str) -> Result<f64> {
        let began = Instant::now();
        let mut process = self.command().args(["-p", message]).spawn().context("starting node")?;
        let ended = timeout(STEP_TIMEOUT, process.wait()).await.context("it did not end")??;
        if !ended.success() {
            bail!("it ended with {ended}");
        }
        Ok(ms(began))
    }
}

/// A running Pi; ended when dropped.
pub(in crate::bench) struct Pi {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Pi {
    /// Starts it; returns when it has answered once.
    pub(in crate::bench) async fn open(home: &PiHome) -> Result<Self> {
        let mut process = home
            .command()
            .args(["--mode", "rpc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting node")?;
        let input = process.stdin.take().context("stdin is piped")?;
        let output = BufReader::new(process.stdout.take().context("stdout is piped")?).lines();
        let mut pi = Self { process, input, output };
        pi.ask(&json!({"type": "get_state"})).await?;
        Ok(pi)
    }

    /// Its process.
    pub(in crate::bench) fn pid(&self) -> Result<u32> {
        self.process.id().context("it has ended")
    }

    /// A prompt, to its end; in a new session, or in the one before.
    pub(in crate::bench) async fn prompt(&mut self, in_new: bool) -> Result<()> {
        if in_new {
            self.ask(&json!({"type": "new_session"})).await?;
        }
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
