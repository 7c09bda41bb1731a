//! Processes of a test's own: this very program, told to run one test of its own that works on a database.

use super::databases::Place;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};
use toft_store::{PostgresStore, SqliteStore, Store, StoreError};

/// Where such a process finds its database.
const PLACE: &str = "TOFT_CHILD_PLACE";

/// Gone when it is dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Runs the ignored test of that name.
    pub(crate) fn start(test: &str, place: &Place) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(PLACE, place.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn tell(&mut self, word: &str) {
        writeln!(self.input, "{word}").unwrap();
    }

    /// Waits until it says a line that begins so; the rest of it. `None`: it ended before.
    pub(crate) fn says(&mut self, word: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The harness speaks, too.
            if let Some(at) = line.find(&format!("CHILD {word}")) {
                return Some(line[at + 6 + word.len()..].trim().to_owned());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The database of this process.
pub(crate) async fn open() -> Result<Arc<dyn Store>, StoreError> {
    let place = env::var(PLACE).expect("a process is told where it works");
    Ok(if place.starts_with("postgres:") {
        Arc::new(PostgresStore::open(&place).await?)
    } else {
        Arc::new(SqliteStore::open(place.as_ref()).await?)
    })
}

/// Says a line to whoever started this process.
#[expect(clippy::print_stdout, reason = "that is how it speaks")]
pub(crate) fn say(word: &str) {
    println!("CHILD {word}");
}

/// Waits for a line from there.
pub(crate) fn told() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}
