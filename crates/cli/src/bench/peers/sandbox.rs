//! A sandbox that runs `true`: the bare cost around a command, without server, disk of its own or
//! HTTP. A shell runs it once per line that it reads, so that what must be set up once (a mount
//! namespace) is not counted.

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

/// One sandbox and what it measured.
pub(super) struct Sandbox {
    pub(super) name: &'static str,
    pub(super) samples: Vec<f64>,
    /// Ends when its standard input closes.
    _shell: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    folder: Scratch,
}

impl Sandbox {
    /// `set_up` runs once, `round` once per round with `$1` the folder and `$n` a number; both are
    /// shell. `before` is put in front of the shell.
    pub(super) fn open(
        name: &'static str,
        folder: Scratch,
        before: &[&str],
        set_up: &str,
        round: &str,
    ) -> Result<Self> {
        let script = format!(
            "{{ {set_up}; }} 2>>\"$1/{COMPLAINTS}\" || exit 1\n\
             while read -r n; do {round} </dev/null >/dev/null 2>>\"$1/{COMPLAINTS}\"; echo $?; done"
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
        let number = format!("{}\n", toft_model::id::random_hex(4));
        let began = Instant::now();
        let answered = timeout(ROUND_TIMEOUT, async {
            self.input.write_all(number.as_bytes()).await?;
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
    Sandbox::open("bwrap --unshare-all true", Scratch::make()?, &[], ":", &round)
}
