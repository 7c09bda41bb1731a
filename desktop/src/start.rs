//! Starting `toft up` as a child, and letting go of it. The machines are never ours to stop: SIGTERM
//! leaves them to the next server.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    io,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to serve: a cold start with many machines to adopt, generously.
const START_MS: u64 = 30_000;
/// How often we look meanwhile. A person does not see a delay of this size.
const LOOK_MS: u64 = 50;
/// How long a server may take to put its things away at SIGTERM.
const END_MS: u64 = 5_000;
/// What is shown of the server's last words.
const LAST_LINES: usize = 12;
/// How the server says that another program has its port (`toft_server::ServerError::PortInUse`).
const PORT_TAKEN: &str = "is in use by another program";

/// Why no server came up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the program `toft` was not found beside this one, nor on the path")]
    NoProgram,
    #[error("{path} cannot be started: {source}")]
    Spawn { path: String, source: io::Error },
    #[error("{path} cannot be written: {source}")]
    Log { path: String, source: io::Error },
    #[error("{0}")]
    Ended(String),
    #[error("it started, and did not serve within {} seconds", START_MS / 1000)]
    Slow,
}

/// The server that we started, if there is one. Shared: the thread that started it may be asking
/// something of a window when the shell ends, and is not waited for.
#[derive(Clone, Default)]
pub(crate) struct Own(Arc<Mutex<Slot>>);

#[derive(Default)]
enum Slot {
    #[default]
    Free,
    Runs(Child),
    /// The shell ends: none is started any more.
    Closed,
}

impl Own {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, command: &mut Command) -> io::Result<()> {
        self.end();
        let mut slot = self.slot();
        if matches!(*slot, Slot::Free) {
            *slot = Slot::Runs(command.spawn()?);
        }
        Ok(())
    }

    /// Whether there is none, or it is gone; takes notice of its end, so that nothing of it stays
    /// behind.
    fn has_ended(&self) -> bool {
        match &mut *self.slot() {
            Slot::Runs(child) => !matches!(child.try_wait(), Ok(None)),
            Slot::Free | Slot::Closed => true,
        }
    }

    /// Ends it, and lets none start any more.
    pub(crate) fn close(&self) {
        end(std::mem::replace(&mut *self.slot(), Slot::Closed));
    }

    fn end(&self) {
        let mut slot = self.slot();
        if matches!(*slot, Slot::Runs(_)) {
            let old = std::mem::take(&mut *slot);
            drop(slot);
            end(old);
        }
    }
}

/// Asks a server to end, and waits a little. The machines go on.
fn end(slot: Slot) {
    let Slot::Runs(mut child) = slot else { return };
    let mut has_ended = move |ask: bool| {
        let ended = !matches!(child.try_wait(), Ok(None));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| ask && !ended) {
            // One that is gone already needs no signal.
            let _ = kill_process(pid, Signal::TERM);
        }
        ended
    };
    let until = Instant::now() + Duration::from_millis(END_MS);
    let mut ask = true;
    while !has_ended(std::mem::take(&mut ask)) && Instant::now() < until {
        thread::sleep(Duration::from_millis(LOOK_MS));
    }
}

/// What it takes to start one.
pub(crate) struct Starter<'a> {
    pub(crate) own: &'a Own,
    pub(crate) toft: Option<&'a Path>,
    pub(crate) data: &'a Path,
    /// Where its last words go. A file, so that it outlives us without a broken pipe.
    pub(crate) log: PathBuf,
    /// The port that it had when its usual one was taken.
    pub(crate) port: Option<u16>,
}

impl Starter<'_> {
    /// Starts a server and waits until `serves`. Where it listens is its own affair, by its
    /// configuration; only if that port is taken it gets another, the same as last time if it can be.
    pub(crate) fn start(&self, serves: impl Fn() -> bool) -> Result<(), StartError> {
        match self.attempt(None, &serves) {
            Err(StartError::Ended(words)) if words.contains(PORT_TAKEN) => {
                let port = self.port.filter(|p| TcpListener::bind(("127.0.0.1", *p)).is_ok());
                self.attempt(Some(port.unwrap_or(0)), &serves)
            }
            other => other,
        }
    }

    fn attempt(&self, port: Option<u16>, serves: &impl Fn() -> bool) -> Result<(), StartError> {
        let toft = self.toft.ok_or(StartError::NoProgram)?;
        let failed = |source| StartError::Log { path: self.log.display().to_string(), source };
        let log = File::create(&self.log).map_err(failed)?;
        let mut command = Command::new(toft);
        command.arg("up").arg("--data").arg(self.data);
        if let Some(port) = port {
            command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        }
        // Its first line is a sign-in link: nobody reads that. In a group of its own, a Ctrl-C for
        // the shell does not reach it, which would stop the machines.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        self.own
            .spawn(command.process_group(0))
            .map_err(|source| StartError::Spawn { path: toft.display().to_string(), source })?;
        let until = Instant::now() + Duration::from_millis(START_MS);
        loop {
            if self.own.has_ended() {
                return Err(StartError::Ended(self.last_words()));
            }
            if serves() {
                return Ok(());
            }
            if Instant::now() >= until {
                self.own.end();
                return Err(StartError::Slow);
            }
            thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }

    fn last_words(&self) -> String {
        // A log that cannot be read is as good as an empty one.
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&bytes))
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Starts a stand-in for `toft` that does what the script says. A file of the repository: one that
    /// was just written may still be open in the child of another test, and would not run.
    fn start(own: &Own, dir: &Path, script: &str) -> Result<(), StartError> {
        fs::write(dir.join("script"), script).unwrap();
        let toft = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/toft");
        let log = dir.join("log");
        let starter = Starter { own, toft: Some(&toft), data: dir, log, port: None };
        starter.start(|| dir.join("serves").exists())
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo no namespaces here >&2; exit 1";
        let error = start(&Own::default(), dir.path(), script).unwrap_err();
        assert_eq!(error.to_string(), "no namespaces here");
    }

    #[test]
    fn a_taken_port_is_answered_with_another_and_sigterm_ends_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "[ \"$4\" = --listen ] || {{ echo port 4000 {PORT_TAKEN} >&2; exit 1; }}\n\
             trap 'echo \"$@\" > {0}/ended; exit 0' TERM; touch {0}/serves\n\
             while :; do sleep 0.05; done",
            dir.path().display()
        );
        let own = Own::default();
        start(&own, dir.path(), &script).unwrap();
        own.close();
        let ended = fs::read_to_string(dir.path().join("ended")).unwrap();
        assert_eq!(ended, format!("up --data {} --listen 127.0.0.1:0\n", dir.path().display()));
    }

    #[test]
    fn a_shell_that_ends_while_its_server_starts_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let own = Own::default();
        let (closing, started) = (own.clone(), dir.path().join("started"));
        let script = format!("touch {}; while :; do sleep 0.05; done", started.display());
        let closer = thread::spawn(move || {
            while !started.exists() {
                thread::yield_now();
            }
            closing.close();
        });
        assert!(matches!(start(&own, dir.path(), &script), Err(StartError::Ended(_))));
        closer.join().unwrap();
        fs::remove_file(dir.path().join("started")).unwrap();
        assert!(start(&own, dir.path(), "exit 0").is_err(), "closed is closed");
    }

    #[test]
    fn without_the_program_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let (own, log) = (Own::default(), dir.path().join("log"));
        let starter = Starter { own: &own, toft: None, data: dir.path(), log, port: None };
        assert!(matches!(starter.start(|| true), Err(StartError::NoProgram)));
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let text = (0..40).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n\n");
        let last = last_lines(&text);
        assert!(last.starts_with("line 28\n") && last.ends_with("line 39"), "{last}");
    }
}
