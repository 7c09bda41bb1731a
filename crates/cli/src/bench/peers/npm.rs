//! Programs from npm, with the Node that they are run with.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::bench::{provider::Tool, scratch::Scratch};

/// How long Node may take to begin.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks whether it listens.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// An installed program.
#[derive(Debug, Clone)]
pub(in crate::bench) struct NodeProgram {
    node: PathBuf,
    entry: PathBuf,
}

impl NodeProgram {
    /// `bin` of a package, in the folder that `npm install --prefix` was given.
    pub(super) fn find(folder: &Path, package: &str, bin: &str) -> Option<Self> {
        let modules = folder.join("node_modules");
        let package = modules.join(package);
        let about: Value = fs::read(package.join("package.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())?;
        let entry = package.join(about["bin"][bin].as_str()?);
        let node = modules.join("node/bin/node");
        (entry.is_file() && node.is_file()).then_some(Self { node, entry })
    }

    /// Ready for its arguments, without the environment of whoever runs the bench.
    pub(super) fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(&self.entry)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// A running aimock: a provider that nobody here wrote; ended when dropped.
pub(in crate::bench) struct Aimock {
    pub(in crate::bench) addr: SocketAddr,
    _process: Child,
    _folder: Scratch,
}

impl Aimock {
    /// One that has its tool used in so many turns, and answers in words then.
    pub(in crate::bench) async fn open(
        program: &NodeProgram,
        turns: usize,
        tool: Tool,
    ) -> Result<Self> {
        let call = |turn: usize| {
            let arguments = tool.arguments(turn);
            json!({
                "match": {"turnIndex": turn},
                "response": {"toolCalls": [
                    {"id": format!("toolu_{turn}"), "name": tool.name(), "arguments": arguments},
                ]},
            })
        };
        let mut fixtures: Vec<Value> = (0..turns).map(call).collect();
        fixtures.push(json!({"match": {"turnIndex": turns}, "response": {"content": "done"}}));
        let folder = Scratch::make()?;
        let file = folder.path().join("fixtures.json");
        fs::write(&file, json!({"fixtures": fixtures}).to_string())?;
        // Free a moment ago; it takes no socket that is open.
        let addr = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let process = program
            .command(folder.path())
            .args(["-p", &addr.port().to_string(), "-f"])
            .arg(&file)
            .spawn()
            .context("starting node")?;
        let began = Instant::now();
        while TcpStream::connect(addr).await.is_err() {
            if began.elapsed() > START_TIMEOUT {
                bail!("it does not listen");
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(Self { addr, _process: process, _folder: folder })
    }
}
