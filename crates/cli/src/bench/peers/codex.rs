//! Codex, with one prompt on its command line, against the provider that measures ours: on the host and
//! without a sandbox.

use crate::bench::{lab::ms, scratch::Scratch};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{process::Command, time::timeout};

/// A prompt takes half a second; a loaded host, with a wide margin.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// Its program below the folder that `npm install --prefix` was given: each platform's package brings one.
pub(super) fn find(folder: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(folder.join("node_modules/@openai")).ok()?;
    packages
        .flatten()
        .filter_map(|package| fs::read_dir(package.path().join("vendor")).ok())
        .flat_map(Iterator::flatten)
        .map(|platform| platform.path().join("bin/codex"))
        .find(|program| program.is_file())
}

/// Codex with its settings and a folder to work in.
pub(in crate::bench) struct Codex {
    program: PathBuf,
    folder: Scratch,
}

impl Codex {
    /// One that asks this provider, which must speak OpenAI's responses.
    pub(in crate::bench) fn make(program: &Path, provider: SocketAddr) -> Result<Self> {
        let folder = Scratch::make()?;
        fs::create_dir_all(folder.path().join(".codex"))?;
        fs::create_dir(folder.path().join("work"))?;
        let settings = format!(
            "model_provider = \"bench\"\n[model_providers.bench]\nname = \"bench\"\n\
             base_url = \"http://{provider}/v1\"\nenv_key = \"BENCH_KEY\"\nwire_api = \"responses\"\n"
        );
        fs::write(folder.path().join(".codex/config.toml"), settings)?;
        Ok(Self { program: program.to_owned(), folder })
    }

    /// Milliseconds of a whole process that says one thing and prints the answer.
    pub(in crate::bench) async fn once(&self, message: &str) -> Result<f64> {
        let folder = self.folder.path();
        let began = Instant::now();
        let mut process = Command::new(&self.program)
            .args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"])
            .args(["-m", "gpt-5", message])
            .current_dir(folder.join("work"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder)
            .env("BENCH_KEY", "sk-bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting it")?;
        let ended = timeout(STEP_TIMEOUT, process.wait()).await.context("it did not end")??;
        if !ended.success() {
            bail!("it ended with {ended}");
        }
        Ok(ms(began))
    }
}
