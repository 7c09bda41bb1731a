//! Watches machines for limits that are reached, and says so: once, with the command that was hit
//! where it is known. One task per machine that runs; a frozen one has none. The kernel's counters are
//! compared with how far they were told, also when a watch ends and around each change of a limit:
//! nothing that happens between two looks is lost.

mod counts;
mod episode;
mod kernel_log;
mod memory;
mod processes;
mod told;

use crate::cgroup::{CgroupHost, Way};
use kernel_log::KernelLog;
pub(crate) use processes::{WRITE_RATE_MAX, Writer, Written};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};
use toft_jail::quota::{Group, Quotas};
use toft_model::{event::LimitHit, id::ProjectId};
use tokio::{sync::broadcast, task::JoinHandle};
use told::Told;
pub(crate) use told::forget;

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
    /// Where [`Told`] lies.
    run: PathBuf,
    looks: Mutex<Looks>,
    /// What the bell of its memory has led to; held for moments only.
    heard: Mutex<memory::Heard>,
}

/// What earlier looks have found.
#[derive(Debug)]
struct Looks {
    told: Told,
    memory: memory::Memory,
    pids: counts::Pids,
    disk: counts::Disk,
}

impl Watched {
    /// Looks at everything and says what is new. `None`: the machine's groups are gone; otherwise
    /// how soon to look again. Blocks; one look at a time.
    fn look(&self) -> Option<counts::Pace> {
        let mut looks = self.looks.lock().expect("no holder panics");
        if !self.procs.is_dir() {
            return None;
        }
        let Looks { told, memory, pids, disk } = &mut *looks;
        let before = told.clone();
        let hits = [memory.look(self, told), pids.look(self, told), disk.look(self, told)];
        for hit in hits.into_iter().flatten() {
            tell(&self.hits, &self.project, hit);
        }
        if *told != before {
            told.write(&self.run);
        }
        Some(counts::Pace::of(pids, disk))
    }

    /// Whether it is time for a look, by the least that shows it.
    fn glance(&self) -> bool {
        // Somebody looks just now.
        let Ok(looks) = self.looks.try_lock() else { return false };
        looks.pids.glance(self) || looks.disk.glance(self, &looks.told)
    }
}

#[derive(Debug)]
struct Task {
    handle: JoinHandle<()>,
    watched: Arc<Watched>,
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

    /// Watches a machine that runs, whose folder of sockets is `run`. Watched already: does nothing.
    pub(crate) fn begin(
        &self,
        project: &ProjectId,
        host: &CgroupHost,
        quota: Option<(Quotas, Group)>,
        run: &Path,
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
            procs,
            quota,
            log,
            hits: self.hits.clone(),
            run: run.to_owned(),
            looks: Mutex::new(Looks {
                told: Told::read(run),
                memory: memory::Memory::default(),
                pids: counts::Pids::default(),
                disk: counts::Disk::default(),
            }),
            heard: Mutex::default(),
        });
        let task = Arc::clone(&watched);
        let handle = tokio::spawn(async move {
            tokio::join!(memory::watch(Arc::clone(&task)), counts::watch(task));
        });
        tasks.insert(project.clone(), Task { handle, watched });
    }

    /// The machine stands still, or nothing of it runs any more: what happened until now is said.
    /// Blocks. Not watched: does nothing.
    pub(crate) fn end(&self, project: &ProjectId) {
        let task = self.tasks.lock().expect("no holder panics").remove(project);
        if let Some(task) = task {
            task.handle.abort();
            task.watched.look();
        }
    }

    /// Says what has happened until now: before and after a limit is changed, so that what happened
    /// under the old one is told of that one. Blocks.
    pub(crate) fn look(&self, project: &ProjectId) {
        let tasks = self.tasks.lock().expect("no holder panics");
        let watched = tasks.get(project).map(|task| Arc::clone(&task.watched));
        drop(tasks);
        if let Some(watched) = watched {
            watched.look();
        }
    }

    /// Machines that are watched, with a group of all their work processes.
    pub(crate) fn all(&self) -> HashMap<ProjectId, PathBuf> {
        let tasks = self.tasks.lock().expect("no holder panics");
        tasks.iter().map(|(project, task)| (project.clone(), task.watched.procs.clone())).collect()
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
