//! Disks that another one has replaced, while they are removed: where files go one by one that takes
//! longer than all else that a restore does, and nobody waits for it but who needs them gone. They lie
//! in scratch: what a server leaves of them the next one removes.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex},
};
use toft_model::id::ProjectId;

/// Of one project at once: each takes room.
const GOING_MAX: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// How many go of each project.
    projects: Mutex<HashMap<ProjectId, usize>>,
    gone: Condvar,
}

impl Leaving {
    /// `None`: of the project they come faster than they go.
    pub(crate) fn begin(self: &Arc<Self>, project: &ProjectId) -> Option<Going> {
        let mut projects = self.projects.lock().expect("no holder panics");
        let going = projects.entry(project.clone()).or_default();
        if *going == GOING_MAX {
            return None;
        }
        *going += 1;
        Some(Going { leaving: Arc::clone(self), project: project.clone() })
    }

    /// Waits until those of the project are gone. Blocks.
    pub(super) fn wait_for(&self, project: &ProjectId) {
        self.wait_while(|projects| projects.contains_key(project));
    }

    /// Waits until all are gone. Blocks.
    pub(super) fn wait_for_all(&self) {
        self.wait_while(|projects| !projects.is_empty());
    }

    fn wait_while(&self, goes: impl Fn(&HashMap<ProjectId, usize>) -> bool) {
        let projects = self.projects.lock().expect("no holder panics");
        drop(self.gone.wait_while(projects, |projects| goes(projects)).expect("no holder panics"));
    }
}

/// Held while a replaced disk is removed.
#[derive(Debug)]
pub(crate) struct Going {
    leaving: Arc<Leaving>,
    project: ProjectId,
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut projects = self.leaving.projects.lock().expect("no holder panics");
        if let Some(going) = projects.get_mut(&self.project) {
            *going -= 1;
        }
        projects.retain(|_, going| *going > 0);
        self.leaving.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    #[test]
    fn few_of_a_project_go_at_once_and_who_needs_them_gone_waits() {
        let leaving = Arc::new(Leaving::default());
        let (a, b) = (ProjectId::random(), ProjectId::random());
        leaving.wait_for_all();
        let ways: [fn(&Leaving, &ProjectId); 2] = [Leaving::wait_for, |all, _| all.wait_for_all()];
        for wait in ways {
            let mut going: Vec<Going> =
                (0..GOING_MAX).map(|_| leaving.begin(&a).unwrap()).collect();
            assert!(leaving.begin(&a).is_none());
            going.pop();
            going.push(leaving.begin(&a).expect("one is gone"));
            drop(leaving.begin(&b).expect("another project's"));
            leaving.wait_for(&b);
            let is_removed = AtomicBool::new(false);
            let (waits, goes_on) = std::sync::mpsc::channel();
            thread::scope(|scope| {
                scope.spawn(|| {
                    waits.send(()).unwrap();
                    wait(&leaving, &a);
                    assert!(is_removed.load(Ordering::SeqCst));
                });
                goes_on.recv().unwrap();
                thread::yield_now();
                let last = going.pop();
                drop(going);
                thread::yield_now();
                is_removed.store(true, Ordering::SeqCst);
                drop(last);
            });
        }
    }
}
