//! A folder with tools, shell, journal and people, for one test.

use super::{LocalShell, MemoryJournal, MemorySecrets, NoTasks, PreparedPeople};
use crate::{
    host::{Journal, People, Secrets, Shell, ToolContext, Update},
    outcome::ToolOutcome,
    registry::Toolbox,
    seen::Seen,
};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_model::id::SessionId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Updates that a test keeps.
const UPDATES_MAX: usize = 1_024;

/// How long a test waits for something to happen.
const APPEARS_MAX: Duration = Duration::from_secs(20);

/// All of it in a folder of its own, which goes when it is dropped.
pub struct Bench {
    /// The standard tools.
    pub toolbox: Toolbox,
    /// See [`LocalShell`].
    pub shell: Arc<LocalShell>,
    /// See [`MemoryJournal`].
    pub journal: Arc<MemoryJournal>,
    /// See [`PreparedPeople`].
    pub people: Arc<PreparedPeople>,
    /// See [`MemorySecrets`].
    pub secrets: Arc<MemorySecrets>,
    /// See [`Seen`].
    pub seen: Arc<Seen>,
    folder: PathBuf,
    calls: AtomicU64,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// With an empty project folder.
    pub fn new() -> Self {
        let name = format!("toft-tools-{}", toft_model::id::random_hex(8));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("project")).expect("the temporary folder is writable");
        std::fs::create_dir_all(folder.join("exec")).expect("the temporary folder is writable");
        Self {
            toolbox: Toolbox::standard(),
            shell: Arc::new(LocalShell::new(&folder.join("exec"))),
            journal: Arc::default(),
            people: Arc::default(),
            secrets: Arc::default(),
            seen: Arc::default(),
            folder,
            calls: AtomicU64::new(0),
        }
    }

    /// A context for one call, and its updates.
    pub fn context(&self, run_id: &str) -> (ToolContext, mpsc::Receiver<Update>) {
        let (updates, receiver) = mpsc::channel(UPDATES_MAX);
        let ctx = ToolContext {
            session_id: SessionId::of("bench"),
            call_id: run_id.to_owned(),
            run_id: run_id.to_owned(),
            cwd: self.folder.join("project"),
            shell: Arc::clone(&self.shell) as Arc<dyn Shell>,
            journal: Arc::clone(&self.journal) as Arc<dyn Journal>,
            people: Arc::clone(&self.people) as Arc<dyn People>,
            secrets: Arc::clone(&self.secrets) as Arc<dyn Secrets>,
            tasks: Arc::new(NoTasks),
            seen: Arc::clone(&self.seen),
            read_only: false,
            updates,
            cancel: CancellationToken::new(),
        };
        (ctx, receiver)
    }

    /// Runs a call with this run id.
    pub async fn call_as(&self, run_id: &str, tool: &str, arguments: Value) -> ToolOutcome {
        let (ctx, _updates) = self.context(run_id);
        self.toolbox.run(tool, &ctx, arguments).await
    }

    /// The same of a call that may change nothing.
    pub async fn reading(&self, run_id: &str, tool: &str, arguments: Value) -> ToolOutcome {
        let (ctx, _updates) = self.context(run_id);
        self.toolbox.run(tool, &ToolContext { read_only: true, ..ctx }, arguments).await
    }

    /// Runs a call with a run id of its own.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolOutcome {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        self.call_as(&format!("call{number}"), tool, arguments).await
    }

    /// A path in the project's folder; the folder itself for `""`.
    pub fn path(&self, name: &str) -> PathBuf {
        let project = self.folder.join("project");
        if name.is_empty() { project } else { project.join(name) }
    }

    /// Writes a file and its folders.
    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    /// See [`Bench::write`].
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let folder = path.parent().expect("it lies in the project");
        std::fs::create_dir_all(folder).expect("the temporary folder is writable");
        std::fs::write(path, bytes).expect("the temporary folder is writable");
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file is there and text")
    }

    /// Names in a folder, in order.
    pub fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(name))
            .expect("the folder is there")
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Waits until a file is there and not empty.
    pub async fn appears(&self, name: &str) {
        let path = self.path(name);
        let wait = async {
            while std::fs::metadata(&path).map_or(0, |meta| meta.len()) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(APPEARS_MAX, wait).await.expect("the file appears");
    }

    /// Whether a process runs.
    pub fn runs(&self, pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, r)| r.starts_with(" Z")))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
