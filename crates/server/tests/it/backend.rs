//! A backend whose machines are two unix sockets served in this process.

use crate::{
    box_bridge::{self, Bridge, Disk},
    box_init,
    kept::Kept,
    resting::Resting,
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
use toft_machine::{
    at_rest::Files,
    backend::{Backend, Checkpointed, MachineError, Running, StartSpec, Stats},
};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    event::LimitHit,
    id::ProjectId,
    machine::{Ability, Can, DiskUse, Limits},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::broadcast,
};
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
    name: &'static str,
    dir: TempDir,
    disks: Mutex<HashMap<ProjectId, Arc<Disk>>>,
    running: Mutex<HashMap<ProjectId, Box_>>,
    /// Those that were begun.
    pub(crate) starts: AtomicUsize,
    /// The next starts fail with this text.
    pub(crate) broken: Mutex<Option<String>>,
    /// Why programs that write are paused.
    pub(crate) paused: Mutex<Option<String>>,
    /// How long a start takes.
    pub(crate) start_takes: Mutex<Duration>,
    /// How long a stop takes after the bridge has gone.
    pub(crate) stop_takes: Mutex<Duration>,
    /// How long a sweep takes.
    pub(crate) sweep_takes: Mutex<Duration>,
    /// Files and their copies.
    pub(crate) kept: Kept,
    /// What stands still, and limits.
    pub(crate) resting: Resting,
    /// Machines whose init answers nobody, with the connections that wait for it.
    muted: Mutex<HashMap<ProjectId, Vec<UnixStream>>>,
}

impl Machines {
    pub(crate) fn new() -> Arc<Self> {
        Self::named("native")
    }

    pub(crate) fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            dir: tempfile::tempdir().unwrap(),
            disks: Mutex::default(),
            running: Mutex::default(),
            starts: AtomicUsize::new(0),
            broken: Mutex::default(),
            paused: Mutex::default(),
            start_takes: Mutex::default(),
            stop_takes: Mutex::default(),
            sweep_takes: Mutex::default(),
            kept: Kept::default(),
            resting: Resting::default(),
            muted: Mutex::default(),
        })
    }

    pub(crate) fn disk(&self, id: &ProjectId) -> Arc<Disk> {
        Arc::clone(&self.disks.lock().unwrap()[id])
    }

    /// What is on its disk.
    pub(crate) fn files_dir(&self, id: &ProjectId) -> PathBuf {
        self.dir.path().join(id.as_str()).join("files")
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

    /// Init takes connections and answers none, until that is over and they break.
    pub(crate) fn mute_init(&self, id: &ProjectId, muted: bool) {
        let mut all = self.muted.lock().unwrap();
        if muted {
            all.entry(id.clone()).or_default();
        } else {
            all.remove(id);
        }
    }

    /// Connections that wait for an init that is muted.
    pub(crate) fn waits_for_init(&self, id: &ProjectId) -> usize {
        self.muted.lock().unwrap().get(id).map_or(0, Vec::len)
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
        self.name
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
        let files = self.files_dir(id);
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("f"), "0123456789").unwrap();
        self.disks.lock().unwrap().entry(id.clone()).or_default();
        Ok(())
    }

    async fn why_paused(&self, _project: &ProjectId) -> Option<String> {
        self.paused.lock().unwrap().clone()
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let id = spec.project;
        if let Some(running) = self.running(&id, true) {
            return Ok(running);
        }
        self.starts.fetch_add(1, Ordering::SeqCst);
        let takes = *self.start_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.resting.limits.lock().unwrap().insert(id.clone(), spec.limits);
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
        if let Some(disk) = self.disks.lock().unwrap().get(id) {
            disk.rest.set_frozen(false);
        }
        Ok(())
    }

    async fn destroy(&self, id: &ProjectId) -> Result<(), MachineError> {
        self.kill(id);
        self.disks.lock().unwrap().remove(id);
        self.kept.forget(id);
        // A fork that was never made has none.
        let _ = std::fs::remove_dir_all(self.dir.path().join(id.as_str()));
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
        if let Some(held) = self.muted.lock().unwrap().get_mut(id) {
            let (ours, theirs) = UnixStream::pair().unwrap();
            held.push(theirs);
            return Ok(ours);
        }
        self.connect(id, "init.sock").await
    }

    async fn connect_bridge(&self, id: &ProjectId) -> Result<UnixStream, MachineError> {
        self.connect(id, "bridge.sock").await
    }

    async fn stats(&self, _: &ProjectId) -> Result<Stats, MachineError> {
        Ok(Stats { memory_bytes: Some(1), pids: Some(2) })
    }

    fn can(&self) -> Can {
        self.kept.can.lock().unwrap().clone()
    }

    async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        self.kept.checkpoint(project, id).await
    }

    async fn checkpoints(&self, project: &ProjectId) -> Result<Vec<CheckpointId>, MachineError> {
        Ok(self.kept.ids(project))
    }

    async fn drop_checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(), MachineError> {
        self.kept.drop(project, id);
        Ok(())
    }

    async fn base(&self, _: &ProjectId) -> Result<Option<String>, MachineError> {
        Ok(Some(self.kept.base.lock().unwrap().clone()))
    }

    async fn is_small(&self, _: &ProjectId, _: u64, _: u64) -> Result<bool, MachineError> {
        Ok(self.kept.is_small.load(Ordering::SeqCst))
    }

    async fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        assert!(!self.is_running(project), "a machine that runs is never gone back with");
        self.kept.restore(project, id, ticket, force)
    }

    async fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        self.kept.fork(from, checkpoint, to, ticket)?;
        self.create(to).await?;
        // As its bridge does when it finds the ticket.
        let forked = serde_json::json!({"from": from, "seq": 0, "checkpointId": checkpoint});
        self.push(to, "s1", "forked", &forked);
        Ok(())
    }

    async fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        self.kept.diff(project, from, to, max)
    }

    async fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        self.kept.read(project, at, path, max)
    }

    async fn freeze(&self, id: &ProjectId) -> Result<(), MachineError> {
        if !self.is_running(id) {
            return Err(MachineError::NotRunning(id.clone()));
        }
        self.resting.freezes.fetch_add(1, Ordering::SeqCst);
        self.disk(id).rest.set_frozen(true);
        Ok(())
    }

    async fn thaw(&self, id: &ProjectId) -> Result<(), MachineError> {
        let disk = self.disk(id);
        if disk.rest.is_frozen() {
            self.resting.thaws.fetch_add(1, Ordering::SeqCst);
            disk.rest.set_frozen(false);
        }
        Ok(())
    }

    async fn is_frozen(&self, id: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.disks.lock().unwrap().get(id).is_some_and(|disk| disk.rest.is_frozen()))
    }

    async fn set_limits(&self, id: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        if *self.resting.refuses_limits.lock().unwrap() {
            return Err(MachineError::Unable { what: "limiting it", why: "a test says so".into() });
        }
        self.resting.limits.lock().unwrap().insert(id.clone(), limits.clone());
        Ok(())
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.resting.hits.subscribe()
    }

    async fn disk(&self, _: &ProjectId) -> Result<DiskUse, MachineError> {
        Ok(DiskUse {
            exclusive_bytes: Some(100 << 20),
            free_bytes: Some(if self.kept.is_scarce.load(Ordering::SeqCst) { 9 } else { 1 << 40 }),
            yield_below_bytes: Some(4 << 20),
            ..DiskUse::default()
        })
    }

    async fn shared_bytes(&self, _: &ProjectId) -> Result<Option<u64>, MachineError> {
        Ok(Some(7))
    }

    async fn files(&self, id: &ProjectId) -> Result<Option<Files>, MachineError> {
        Ok(Files::of_folder(&self.files_dir(id)).unwrap())
    }

    fn log_dir(&self, id: &ProjectId) -> PathBuf {
        self.dir.path().join(id.as_str()).join("log")
    }
}
