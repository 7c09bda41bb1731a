//! A project as large as a real one, and measuring on it: files that do not compress, spread over
//! folders. Made once for all rows that want it.

use super::{
    Row,
    lab::{Lab, ms},
    peers::{Beside, Peers},
    rows::WARM_UP,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Files of the tree that rows are measured on, 1.1 GB together.
const FILES: usize = 50_000;
/// Bytes of each.
const FILE_BYTES: usize = 22_000;
/// As many lie in one folder.
const FOLDER_FILES: usize = 1_000;
/// A row that copies files takes seconds a round: it ends then, after [`ROUNDS_MIN`].
const ROW_TIME_MAX: Duration = Duration::from_mins(1);
/// Fewer say nothing.
const ROUNDS_MIN: usize = 5;

/// See the module.
pub(super) struct Tree {
    pub(super) lab: Lab,
    pub(super) project: String,
}

impl Tree {
    /// The tree of the table in the module's page.
    pub(super) async fn open() -> Result<Self> {
        Self::of(FILES, FILE_BYTES).await
    }

    /// A running project with that many files.
    pub(super) async fn of(files: usize, file_bytes: usize) -> Result<Self> {
        let lab = Lab::open(&[]).await?;
        let project = lab.project().await?;
        let tree = Self { lab, project };
        let folders = files.div_ceil(FOLDER_FILES);
        let bytes = file_bytes * files.min(FOLDER_FILES);
        let script = format!(
            "set -e; for i in $(seq {folders}); do mkdir -p tree/$i; head -c {bytes} /dev/urandom | \
             split -b {file_bytes} -a 4 -d - tree/$i/f; done; find tree -type f | wc -l"
        );
        let made = tree.run(&script).await?;
        let count: usize = made.trim().parse().context("counting the files")?;
        if count != files {
            bail!("{count} files were made instead of {files}");
        }
        Ok(tree)
    }

    /// What a shell prints in the machine.
    pub(super) async fn run(&self, script: &str) -> Result<String> {
        let body = json!({"argv": ["sh", "-c", script]});
        let done = self.lab.client.post(&self.path("exec"), &body).await?;
        if done["exitCode"] != 0 {
            bail!("a command of the bench failed: {done}");
        }
        Ok(done["stdout"].as_str().unwrap_or_default().to_owned())
    }

    /// Rounds of a row of that name on this tree, beside the peers that do something like it.
    pub(super) async fn rounds<F>(
        &self,
        name: &'static str,
        n: usize,
        peers: &Peers,
        work: impl FnMut() -> F,
    ) -> Result<Vec<Row>>
    where
        F: Future<Output = Result<f64>>,
    {
        rounds(name, n, peers.beside(name, &self.lab, &self.project).await, work).await
    }

    /// Path of a route below the project.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v1/projects/{}/{rest}", self.project)
    }

    /// Posts to a route below the project.
    pub(super) async fn post(&self, rest: &str, body: &Value) -> Result<Value> {
        self.lab.client.post(&self.path(rest), body).await
    }
}

/// Milliseconds of what `work` tells, round by round. `work` gets the round and answers how long the
/// measured part took. A round of each peer comes after it.
pub(super) async fn rounds<F>(
    name: &str,
    rounds: usize,
    mut beside: Beside,
    mut work: impl FnMut() -> F,
) -> Result<Vec<Row>>
where
    F: Future<Output = Result<f64>>,
{
    let began = Instant::now();
    let mut samples = Vec::new();
    for round in 0..rounds + WARM_UP {
        let took = work().await?;
        if round >= WARM_UP {
            samples.push(took);
        }
        beside.round(round >= WARM_UP).await;
        if began.elapsed() > ROW_TIME_MAX && samples.len() >= ROUNDS_MIN {
            break;
        }
    }
    let mut rows = vec![Row::new(name, "ms", samples)];
    rows.extend(beside.rows());
    Ok(rows)
}

/// Milliseconds that `work` took.
pub(super) async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<f64> {
    let began = Instant::now();
    work.await?;
    Ok(ms(began))
}
