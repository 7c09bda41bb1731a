//! A backend whose machines are two unix sockets served in this process.

use crate::{
    box_bridge::{self, Bridge, Disk},
    box_init,
};
use async_trait::async_trait;
use serde_json::Value;
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use toft_machine::backend::{Backend, MachineError, Running, StartSpec, Stats};
use toft_model::{id::ProjectId, machine::Ability};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

struct Box_ {
    started_at: u64,
    /// As init holds it: connections wait in it while no bridge takes them.
    _held: std::os::unix::net::UnixListener,
    is_bridge_dead: Arc<AtomicBool>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// All machines of a test.
pub(crate) struct Machines {
    dir: TempDir,
    disks: Mutex<HashMap<ProjectId, Arc<Disk>>>,
    running: Mutex<HashMap<ProjectId, Box_>>,
    pub(crate) starts: AtomicUsize,
    /// The next starts fail with this text.
    pub(crate) broken: Mutex<Option<String>>,
    /// How long a start takes.
    pub(crate) start_takes: Mutex<Duration>,
    /// How long a stop takes after the bridge has gone.
    pub(crate) stop_takes: Mutex<Duration>,
    /// How long a sweep takes.
    pub(crate) sweep_takes: Mutex<Duration>,
}

impl Machines {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            dir: tempfile::tempdir().unwrap(),
            disks: Mutex::default(),
            running: Mutex::default(),
            starts: AtomicUsize::new(0),
            broken: Mutex::default(),
            start_takes: Mutex::default(),
            stop_takes: Mutex::default(),
            sweep_takes: Mutex::default(),
        })
    }

    pub(crate) fn disk(&self, id: &ProjectId) -> Arc<Disk> {
        Arc::clone(&self.disks.lock().unwrap()[id])
    }

    pub(crate) fn push(&self, id: &ProjectId, session: &str, kind: &str, data: &Value) -> u64 {
        self.disk(id).push(&self.log_dir(id), session, kind, data)
    }

    /// The machine's processes vanish, as after a crash of the host's kernel or a kill -9 of init.
    pub(crate) fn kill(&self, id: &ProjectId) {
        self.running.lock().unwrap().remove(id);
        let dir = self.dir.path().join(id.as_str());
        let _ = std::fs::remove_file(dir.join("bridge.sock"));
        let _ = std::fs::remove_file(dir.join("init.sock"));
    }

    /// The bridge takes no connections any more, while the machine still counts as running.
    pub(crate) fn hang_up(&self, id: &ProjectId) {
        let _ = std::fs::remove_file(self.dir.path().join(id.as_str()).join("bridge.sock"));
        if let Some(running) = self.running.lock().unwrap().get_mut(id) {
            running.tasks.clear();
        }
    }

    /// The bridge ends whenever init starts it.
    pub(crate) fn break_bridge(&self, id: &ProjectId) {
        let mut running = self.running.lock().unwrap();
        let running = running.get_mut(id).unwrap();
        running.is_bridge_dead.store(true, Ordering::SeqCst);
        drop(running.tasks.remove(0));
    }

    /// Whether nobody takes connections to its bridge.
    pub(crate) fn has_hung_up(&self, id: &ProjectId) -> bool {
        !self.dir.path().join(id.as_str()).join("bridge.sock").exists()
    }

    pub(crate) fn is_running(&self, id: &ProjectId) -> bool {
        self.running.lock().unwrap().contains_key(id)
    }

    fn running(&self, id: &ProjectId, adopted: bool) -> Option<Running> {
        let running = self.running.lock().unwrap();
        let found = running.get(id)?;
        Some(Running {
            project: id.clone(),
            token: "project-token".into(),
            gateway_listeners: (0..2)
                .map(|_| OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
                .collect(),
            init_pid: std::process::id(),
            started_at: found.started_at,
            adopted,
        })
    }

    async fn connect(&self, id: &ProjectId, name: &str) -> Result<UnixStream, MachineError> {
        UnixStream::connect(self.dir.path().join(id.as_str()).join(name))
            .await
            .map_err(|_| MachineError::NotRunning(id.clone()))
    }
}

#[async_trait]
impl Backend for Machines {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn abilities(&self) -> Vec<Ability> {
        vec![Ability {
            name: "user namespaces".into(),
            enforced: false,
            how: "machines of a test are sockets".into(),
            remedy: None,
        }]
    }

    fn storage(&self) -> String {
        "plain copy".into()
    }

    async fn create(&self, id: &ProjectId) -> Result<(), MachineError> {
        let dir = self.dir.path().join(id.as_str()).join("log");
        std::fs::create_dir_all(dir).unwrap();
        self.disks.lock().unwrap().entry(id.clone()).or_default();
        Ok(())
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let id = spec.project;
        if let Some(running) = self.running(&id, true) {
            return Ok(running);
        }
        let takes = *self.start_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.starts.fetch_add(1, Ordering::SeqCst);
        if let Some(detail) = self.broken.lock().unwrap().clone() {
            return Err(MachineError::DidNotStart { project: id, detail });
        }
        let dir = self.dir.path().join(id.as_str());
        for name in ["bridge.sock", "init.sock"] {
            let _ = std::fs::remove_file(dir.join(name));
        }
        let held = std::os::unix::net::UnixListener::bind(dir.join("bridge.sock")).unwrap();
        held.set_nonblocking(true).unwrap();
        let bridge = UnixListener::from_std(held.try_clone().unwrap()).unwrap();
        let is_bridge_dead = Arc::new(AtomicBool::new(false));
        let init = UnixListener::bind(dir.join("init.sock")).unwrap();
        let state = Bridge { disk: self.disk(&id), log_dir: dir.join("log"), project: id.clone() };
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(box_bridge::serve(bridge, state))),
            AbortOnDropHandle::new(tokio::spawn(box_init::serve(
                init,
                Arc::clone(&is_bridge_dead),
            ))),
        ];
        let started = Box_ { started_at: 5, _held: held, is_bridge_dead, tasks };
        self.running.lock().unwrap().insert(id.clone(), started);
        Ok(self.running(&id, false).unwrap())
    }

    async fn adopt(&self, id: &ProjectId) -> Result<Option<Running>, MachineError> {
        Ok(self.running(id, true))
    }

    async fn stop(&self, id: &ProjectId, _: Duration) -> Result<(), MachineError> {
        // The bridge goes first, the state that others see last.
        self.hang_up(id);
        let takes = *self.stop_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.kill(id);
        Ok(())
    }

    async fn destroy(&self, id: &ProjectId) -> Result<(), MachineError> {
        self.kill(id);
        self.disks.lock().unwrap().remove(id);
        std::fs::remove_dir_all(self.dir.path().join(id.as_str())).unwrap();
        Ok(())
    }

    /// As the native one: a machine that nobody knows is ended.
    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let takes = *self.sweep_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let running: Vec<ProjectId> = self.running.lock().unwrap().keys().cloned().collect();
        for id in running.iter().filter(|id| !known.contains(id)) {
            self.kill(id);
        }
        Ok(())
    }

    async fn connect_init(&self, id: &ProjectId) -> Result<UnixStream, MachineError> {
        self.connect(id, "init.sock").await
    }

    async fn connect_bridge(&self, id: &ProjectId) -> Result<UnixStream, MachineError> {
        self.connect(id, "bridge.sock").await
    }

    async fn stats(&self, _: &ProjectId) -> Result<Stats, MachineError> {
        Ok(Stats { memory_bytes: Some(1), pids: Some(2) })
    }

    fn log_dir(&self, id: &ProjectId) -> PathBuf {
        self.dir.path().join(id.as_str()).join("log")
    }
}
