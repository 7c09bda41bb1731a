//! A story told in a real Chromium by a script of `peers/`: started with what the test made, as JSON, and
//! listened to line by line. What it does there is the script's.

use crate::toft::Toft;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

/// How long a script may take; its own steps end after a minute each.
const STORY_TIMEOUT: Duration = Duration::from_mins(10);

/// A script that runs.
pub struct Driver {
    script: String,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    ends: Instant,
    _profile: TempDir,
}

impl Driver {
    /// Starts one. To what the test `made` come the sign-in link and a folder for the browser's profile.
    pub fn start(toft: &Toft, script: &str, mut made: Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        made["link"] = json!(toft.link);
        made["profile"] = json!(folder.path().join("profile"));
        let mut child = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script))
            .arg(made.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // How far it came, should it hang.
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .context("starting the browser driver")?;
        let input = child.stdin.take().context("stdin is piped")?;
        let output = child.stdout.take().context("stdout is piped")?;
        Ok(Self {
            script: script.to_owned(),
            child,
            input,
            lines: BufReader::new(output).lines(),
            said: Vec::new(),
            ends: Instant::now() + STORY_TIMEOUT,
            _profile: folder,
        })
    }

    /// The next line that it says; `None` when it has ended.
    pub async fn line(&mut self) -> Result<Option<String>> {
        let next = timeout_at(self.ends, self.lines.next_line()).await;
        let line = next.with_context(|| format!("{} hangs: {:?}", self.script, self.said))??;
        self.said.extend(line.clone());
        Ok(line)
    }

    /// Tells it a line.
    pub async fn answer(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Listens to its end; answers all that it has said. Fails if it did not tell the whole story.
    pub async fn done(mut self, toft: &Toft) -> Result<Vec<String>> {
        while self.line().await?.is_some() {}
        let status = self.child.wait().await?;
        let told = status.success() && self.said.iter().any(|line| line == "done");
        ensure!(told, "{}: {}\nserver log: {}", self.script, self.said.join("\n"), toft.log());
        Ok(self.said)
    }
}
