//! What surrounds a conversation, in memory: a shell, a journal, other conversations.

use crate::{
    Child, Conversation, Handle, Sessions,
    session::Session,
    shown::Shown,
    spawn,
    surroundings::{Intents, Surroundings},
};
use async_trait::async_trait;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
};
use toft_model::{
    id::SessionId,
    init::{ExecSpec, ExecStatus},
};
use toft_tools::{
    host::{Journal, Shell, ShellError, ShellRun},
    testing::LocalShell,
};
use tokio_util::sync::CancellationToken;

/// A shell that runs nothing unless it has a real one, and knows what it is told to.
#[derive(Default)]
pub(in crate::tests) struct BenchShell {
    pub(in crate::tests) life: Mutex<String>,
    pub(in crate::tests) known: Mutex<Vec<String>>,
    pub(in crate::tests) killed: Mutex<Vec<String>>,
    pub(in crate::tests) real: OnceLock<LocalShell>,
}

#[async_trait]
impl Shell for BenchShell {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        if let Some(real) = self.real.get() {
            // The project's folder is a mere name here.
            return real.start(ExecSpec { cwd: None, ..spec }).await;
        }
        Err(ShellError { code: "spawn".into(), message: "none here".into() })
    }
    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        self.killed.lock().unwrap().push(id.to_owned());
        match self.real.get() {
            Some(real) => real.kill(id, grace_ms).await,
            None => Ok(()),
        }
    }
    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        match self.real.get() {
            Some(real) => real.forget(id).await,
            None => Ok(()),
        }
    }
    async fn input(&self, id: &str, bytes: &[u8], close: bool) -> Result<(), ShellError> {
        match self.real.get() {
            Some(real) => real.input(id, bytes, close).await,
            None => Err(ShellError { code: "not_found".into(), message: id.to_owned() }),
        }
    }
    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        let status = |id: &String| ExecStatus {
            id: id.clone(),
            pid: 1,
            label: String::new(),
            pty: false,
            size: None,
            stdin: false,
            read_only: false,
            started_at: 0,
            output_bytes: 0,
            environment: 0,
            exit: None,
        };
        Ok(self.known.lock().unwrap().iter().map(status).collect())
    }
    fn life(&self) -> String {
        self.life.lock().unwrap().clone()
    }
}

#[derive(Default)]
pub(in crate::tests) struct BenchIntents(pub(in crate::tests) Mutex<HashMap<String, Value>>);

#[async_trait]
impl Journal for BenchIntents {
    async fn recorded(&self, run_id: &str) -> Option<Value> {
        self.0.lock().unwrap().get(run_id).cloned()
    }
    async fn record(&self, run_id: &str, intent: &Value) -> Result<(), String> {
        self.0.lock().unwrap().insert(run_id.to_owned(), intent.clone());
        Ok(())
    }
}

#[async_trait]
impl Intents for BenchIntents {
    async fn forget(&self, run_id: &str) {
        self.0.lock().unwrap().remove(run_id);
    }
}

/// Conversations of tasks, in the same folder.
pub(in crate::tests) struct Kin {
    pub(super) dir: std::path::PathBuf,
    pub(super) me: Weak<Self>,
    pub(super) around: Arc<Surroundings>,
    pub(in crate::tests) open: Mutex<HashMap<SessionId, Handle>>,
    pub(super) stop: Mutex<CancellationToken>,
}

#[async_trait]
impl Sessions for Kin {
    async fn child(&self, child: Child) -> Result<Handle, String> {
        let mut open = self.open.lock().unwrap();
        let known = open.get(&child.id);
        if let Some(handle) = known.filter(|handle| !handle.is_closed()) {
            return Ok(handle.clone());
        }
        let session = if let Some(handle) = known {
            Session::open(handle.conversation().session().path())
        } else {
            let id = child.id.clone();
            Session::create_task(&self.dir, id, "/home/project", None, child.task, 2)
        };
        let conversation =
            Conversation::new(session.unwrap(), Shown::default(), Arc::clone(&self.around))
                .unwrap();
        let stop = self.stop.lock().unwrap().clone();
        let handle = spawn(conversation, self.me.upgrade().unwrap(), stop);
        open.insert(child.id, handle.clone());
        Ok(handle)
    }

    async fn known_child(&self, id: &SessionId) -> Option<Handle> {
        self.open.lock().unwrap().get(id).cloned()
    }
}
