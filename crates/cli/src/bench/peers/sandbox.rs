//! A peer that is a command line. A shell runs it once per line that it reads, so that what must be
//! set up once (a mount namespace), or before and after each round, is not counted.

use crate::bench::{lab::ms, scratch::Scratch};
use anyhow::{Context, Result, bail};
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A round takes milliseconds; one that hangs must not hold the bench.
const ROUND_TIMEOUT: Duration = Duration::from_secs(20);
/// What of a peer's complaint is shown.
const COMPLAINT_CHARS_MAX: usize = 200;
/// Where the peer's standard error goes, in its folder.
const COMPLAINTS: &str = "stderr";

/// One peer and what it measured.
pub(super) struct Sandbox {
    pub(super) name: &'static str,
    pub(super) samples: Vec<f64>,
    /// Ends when its standard input closes.
    _shell: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    folder: Scratch,
}

/// Shell, with `$1` the peer's folder and `$n` a number of the round.
pub(super) struct Steps<'a> {
    /// Before each round, not counted.
    pub(super) ready: &'a str,
    /// What is measured.
    pub(super) round: &'a str,
    /// After each round, not counted.
    pub(super) tidy: &'a str,
}

impl<'a> Steps<'a> {
    /// Rounds that need nothing before or after.
    pub(super) fn only(round: &'a str) -> Self {
        Self { ready: ":", round, tidy: ":" }
    }
}

impl Sandbox {
    /// `set_up` runs once; `before` is put in front of the shell.
    pub(super) fn open(
        name: &'static str,
        folder: Scratch,
        before: &[&str],
        set_up: &str,
        steps: &Steps<'_>,
    ) -> Result<Self> {
        let Steps { ready, round, tidy } = steps;
        let script = format!(
            "{{ {set_up}; }} 2>>\"$1/{COMPLAINTS}\" >&2 || exit 1\n\
             while read -r step n; do {{ case $step in\n\
             ready) {ready} ;;\nround) {round} ;;\ntidy) {tidy} ;;\nesac; }} \
             </dev/null >/dev/null 2>>\"$1/{COMPLAINTS}\"; echo $?; done"
        );
        let argv: Vec<&str> = before.iter().copied().chain(["sh", "-c", &script, "sh"]).collect();
        let mut shell = Command::new(argv[0])
            .args(&argv[1..])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("running {}", argv[0]))?;
        let input = shell.stdin.take().context("stdin is piped")?;
        let answers = BufReader::new(shell.stdout.take().context("stdout is piped")?).lines();
        Ok(Self { name, samples: Vec::new(), _shell: shell, input, answers, folder })
    }

    /// Runs it once, to its exit; milliseconds.
    pub(super) async fn round(&mut self) -> Result<f64> {
        let number = toft_model::id::random_hex(4);
        self.step("ready", &number).await?;
        let took = self.step("round", &number).await?;
        self.step("tidy", &number).await?;
        Ok(took)
    }

    async fn step(&mut self, step: &str, number: &str) -> Result<f64> {
        let line = format!("{step} {number}\n");
        let began = Instant::now();
        let answered = timeout(ROUND_TIMEOUT, async {
            self.input.write_all(line.as_bytes()).await?;
            self.answers.next_line().await
        });
        let answer = answered.await.context("it did not end")?;
        let took = ms(began);
        match answer {
            Ok(Some(status)) if status == "0" => Ok(took),
            Ok(Some(status)) => bail!("it ended with {status}: {}", self.complaint()),
            Ok(None) | Err(_) => bail!("it could not be set up: {}", self.complaint()),
        }
    }

    fn complaint(&self) -> String {
        let text = std::fs::read(self.folder.path().join(COMPLAINTS)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().last().unwrap_or("it said nothing");
        last.chars().take(COMPLAINT_CHARS_MAX).collect()
    }
}

/// bubblewrap with all namespaces and the host's tree read-only.
pub(super) fn bubblewrap(program: &Path) -> Result<Sandbox> {
    let round = format!("{} --unshare-all --ro-bind / / --proc /proc true", program.display());
    let name = "bwrap --unshare-all true";
    Sandbox::open(name, Scratch::make()?, &[], ":", &Steps::only(&round))
}
