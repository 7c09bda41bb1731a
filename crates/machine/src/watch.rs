//! Watches machines for limits that are reached, and says so: once, with the command that was hit
//! where it is known. One task per machine that runs; a frozen one has none.

mod counts;
mod episode;
mod kernel_log;
mod memory;
mod processes;

use crate::cgroup::{CgroupHost, Way};
use kernel_log::KernelLog;
pub(crate) use processes::{Writer, Written};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::{event::LimitHit, id::ProjectId};
use tokio::{sync::broadcast, task::JoinHandle};

/// Hits that a slow reader may be behind: each machine has a few at most, at intervals of seconds.
const HITS_MAX: usize = 256;

/// What is known of a machine that is watched.
#[derive(Debug)]
struct Watched {
    project: ProjectId,
    /// The group whose memory is limited.
    memory: Option<(Way, PathBuf)>,
    /// The group whose processes are counted.
    pids: Option<PathBuf>,
    /// A group with all of its work processes.
    procs: PathBuf,
    /// What counts its disk.
    quota: Option<(Quotas, Group)>,
    log: Arc<KernelLog>,
    hits: broadcast::Sender<(ProjectId, LimitHit)>,
}

impl Watched {
    fn tell(&self, hit: LimitHit) {
        tell(&self.hits, &self.project, hit);
    }
}

#[derive(Debug)]
struct Task {
    handle: JoinHandle<()>,
    procs: PathBuf,
}

/// All machines that are watched.
#[derive(Debug)]
pub(crate) struct Watches {
    tasks: Mutex<HashMap<ProjectId, Task>>,
    log: OnceLock<Arc<KernelLog>>,
    hits: broadcast::Sender<(ProjectId, LimitHit)>,
}

impl Default for Watches {
    fn default() -> Self {
        let (hits, _) = broadcast::channel(HITS_MAX);
        Self { tasks: Mutex::default(), log: OnceLock::new(), hits }
    }
}

impl Watches {
    /// Hits from now on.
    pub(crate) fn hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.hits.subscribe()
    }

    /// Watches a machine that runs. Watched already: does nothing.
    pub(crate) fn begin(
        &self,
        project: &ProjectId,
        host: &CgroupHost,
        quota: Option<(Quotas, Group)>,
    ) {
        let mut tasks = self.tasks.lock().expect("no holder panics");
        if tasks.get(project).is_some_and(|task| !task.handle.is_finished()) {
            return;
        }
        let memory = host.work_group("memory", project.as_str());
        let pids = host.work_group("pids", project.as_str()).map(|(_, group)| group);
        let work = memory.as_ref().map(|(_, group)| group).or(pids.as_ref()).cloned();
        let procs = work.or_else(|| Some(host.unified()?.join(project.as_str())));
        let Some(procs) = procs else { return };
        let log = Arc::clone(self.log.get_or_init(|| Arc::new(KernelLog::open())));
        let watched = Arc::new(Watched {
            project: project.clone(),
            memory,
            pids,
            procs: procs.clone(),
            quota,
            log,
            hits: self.hits.clone(),
        });
        let handle = tokio::spawn(async move {
            tokio::join!(memory::watch(Arc::clone(&watched)), counts::watch(watched));
        });
        tasks.insert(project.clone(), Task { handle, procs });
    }

    /// The machine ends, or stands still.
    pub(crate) fn end(&self, project: &ProjectId) {
        if let Some(task) = self.tasks.lock().expect("no holder panics").remove(project) {
            task.handle.abort();
        }
    }

    /// Machines that are watched, with a group of all their work processes.
    pub(crate) fn all(&self) -> HashMap<ProjectId, PathBuf> {
        let tasks = self.tasks.lock().expect("no holder panics");
        tasks.iter().map(|(project, task)| (project.clone(), task.procs.clone())).collect()
    }

    /// Says something of a machine.
    pub(crate) fn tell(&self, project: &ProjectId, hit: LimitHit) {
        tell(&self.hits, project, hit);
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().expect("no holder panics").values() {
            task.handle.abort();
        }
    }
}

fn tell(to: &broadcast::Sender<(ProjectId, LimitHit)>, project: &ProjectId, hit: LimitHit) {
    tracing::info!(project.id = %project, kind = ?hit.kind, "a limit was reached");
    // Nobody listens: nobody misses it.
    let _ = to.send((project.clone(), hit));
}
