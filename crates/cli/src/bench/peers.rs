//! Peers that a distribution packages, run in the same rounds as ours: the bare cost of a sandbox
//! around a command, without server, disk of its own or HTTP. Missing ones are left out.

use super::{Row, lab::ms};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};
use tokio::process::Command;

/// One peer and what it measured.
pub(super) struct Peer {
    name: &'static str,
    argv: Vec<String>,
    samples: Vec<f64>,
}

impl Peer {
    /// Runs it once, to its exit.
    pub(super) async fn round(&mut self, counted: bool) -> Result<()> {
        let began = Instant::now();
        let status = Command::new(&self.argv[0])
            .args(&self.argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .with_context(|| format!("running {}", self.name))?;
        if counted && status.success() {
            self.samples.push(ms(began));
        }
        Ok(())
    }

    pub(super) fn into_row(self, of: &str) -> Row {
        Row::new(&format!("{of} (peer: {})", self.name), "ms", self.samples)
    }
}

/// Peers for the rows about machines.
pub(super) fn sandboxes(wanted: bool) -> Vec<Peer> {
    if !wanted {
        return Vec::new();
    }
    let mut out = Vec::new();
    if find("bwrap").is_some() {
        let argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"];
        out.push(Peer {
            name: "bwrap --unshare-all true",
            argv: argv.map(str::to_owned).to_vec(),
            samples: Vec::new(),
        });
    }
    out
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())
}
