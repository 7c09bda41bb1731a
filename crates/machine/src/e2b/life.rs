//! The life of a machine in a sandbox. Asleep is a sandbox that is paused: its files stay, and so do, when
//! it is frozen, its processes. Who calls holds the project's turn.

use super::{
    E2b, Inner,
    http::Fault,
    live::Live,
    record::{Left, Record},
};
use crate::{
    backend::{MachineError, Running, StartSpec},
    error::step,
    folders, steps,
    tunnel::wire::{Answer, Ask, Found, Order},
};
use std::{sync::Arc, time::Duration};
use toft_model::{id::ProjectId, machine::Limits};

/// What a machine in an unknown state is asked to end in.
const AT_ONCE_MS: u64 = 0;
pub(super) const GONE: &str = "its sandbox is gone at E2B, and its files with it: start it again, and \
                               it begins with an empty one. Its conversations are kept here";

impl Inner {
    pub(super) fn explain(&self, project: &ProjectId, fault: Fault) -> MachineError {
        self.api.explain(Some(project), fault)
    }

    fn remember(&self, project: &ProjectId, sandbox: &str, left: Left) -> Result<(), MachineError> {
        let record = Record { sandbox: sandbox.to_owned(), left };
        record.write(&self.folders.run(project)).map_err(step(project, "writing down its sandbox"))
    }

    pub(super) fn record(&self, project: &ProjectId) -> Option<Record> {
        Record::read(&self.folders.run(project))
    }

    /// The project's sandbox, by what is written here or by what the sandboxes say.
    pub(super) async fn find(&self, project: &ProjectId) -> Result<Option<String>, MachineError> {
        let recorded = self.record(project).map(|record| record.sandbox);
        if let Some(sandbox) = &recorded {
            let asked = self.api.is_there(sandbox).await;
            if asked.map_err(|fault| self.explain(project, fault))? {
                return Ok(recorded);
            }
        }
        let listed = self.api.list(Some(project)).await;
        let mut listed = listed.map_err(|fault| self.explain(project, fault))?.into_iter();
        let found = listed.next().map(|owned| owned.id);
        match (&found, &recorded) {
            (None, Some(sandbox)) => tracing::warn!(project.id = %project, sandbox = %sandbox,
                "its sandbox is gone at E2B, and its files with it"),
            (Some(sandbox), _) => self.remember(project, sandbox, Left::Unknown)?,
            (None, None) => {}
        }
        Ok(found)
    }

    /// The sandbox as this server has it; `None`: there is none.
    pub(super) async fn live(
        &self,
        project: &ProjectId,
    ) -> Result<Option<Arc<Live>>, MachineError> {
        if let Some(live) = self.known(project) {
            return Ok(Some(live));
        }
        let Some(sandbox) = self.find(project).await? else { return Ok(None) };
        self.live_in(project, sandbox).map(Some)
    }

    fn live_in(&self, project: &ProjectId, sandbox: String) -> Result<Arc<Live>, MachineError> {
        folders::private(&self.log(project)).map_err(step(project, "making the log folder"))?;
        let live = Live::new(self, project, sandbox)?;
        self.lives().insert(project.clone(), Arc::clone(&live));
        Ok(live)
    }

    pub(super) async fn forget(&self, project: &ProjectId) {
        let live = self.lives().remove(project);
        if let Some(live) = live {
            live.rest().await;
        }
    }

    pub(super) fn known(&self, project: &ProjectId) -> Option<Arc<Live>> {
        self.lives().get(project).cloned()
    }

    /// Makes the sandbox and brings toft into it.
    pub(super) async fn make(&self, project: &ProjectId) -> Result<(), MachineError> {
        let log = self.log(project);
        folders::private(&log).map_err(step(project, "making the log folder"))?;
        if self.known(project).is_some() || self.find(project).await?.is_some() {
            return Ok(());
        }
        let made = self.api.create(project).await;
        let made = made.map_err(|fault| self.explain(project, fault))?;
        steps::reached("sandbox.made");
        self.remember(project, &made.id, Left::Cold)?;
        // Long over a slow line; a start that waits for it for too long finds it there the next time.
        self.live_in(project, made.id)?.bring().await
    }

    /// Starts it in its sandbox.
    pub(super) async fn launch(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        if let Some(running) = self.found(&project).await? {
            return Ok(running);
        }
        let Some(live) = self.live(&project).await? else {
            return Err(MachineError::DidNotStart { project, detail: GONE.to_owned() });
        };
        let tunnel = match live.tunnel().await {
            Err(MachineError::NotRunning(_)) => {
                self.forget(&project).await;
                return Err(MachineError::DidNotStart { project, detail: GONE.to_owned() });
            }
            tunnel => tunnel?,
        };
        // What was paused with it may have been told to end since.
        tunnel.ask(&Ask::Stop { grace_ms: AT_ONCE_MS }, &project).await?;
        let answer = tunnel.ask(&Ask::Start(Box::new(Order::of(spec))), &project).await?;
        let Answer::Found(Some(found)) = answer else {
            let detail = "it says nothing of what was started".to_owned();
            return Err(MachineError::DidNotStart { project, detail });
        };
        self.remember(&project, &live.sandbox, Left::Running(found.clone()))?;
        live.keep();
        running(&project, &live, found)
    }

    /// The machine if it runs, or stands still.
    pub(super) async fn found(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let record = self.record(project);
        match record.as_ref().map(|record| &record.left) {
            // Nobody wakes it for this.
            Some(Left::Frozen(found)) => {
                let Some(live) = self.live(project).await? else {
                    Record::remove(&self.folders.run(project))
                        .map_err(step(project, "forgetting its sandbox"))?;
                    return Ok(None);
                };
                let found = Found { adopted: true, ..found.clone() };
                return running(project, &live, found).map(Some);
            }
            Some(Left::Cold) => return Ok(None),
            Some(Left::Running(_) | Left::Unknown) | None => {}
        }
        let Some(live) = self.live(project).await? else { return Ok(None) };
        live.rouse();
        let asked = async {
            let tunnel = live.tunnel().await?;
            tunnel.ask(&Ask::Adopt, project).await
        };
        match asked.await {
            Ok(Answer::Found(Some(found))) => {
                self.remember(project, &live.sandbox, Left::Running(found.clone()))?;
                live.keep();
                running(project, &live, found).map(Some)
            }
            Ok(_) => {
                self.remember(project, &live.sandbox, Left::Cold)?;
                let sandbox = live.sandbox.clone();
                self.forget(project).await;
                // Nothing works in it; it is paid for as long as it is awake.
                if let Err(fault) = self.api.pause(&sandbox).await {
                    tracing::warn!(project.id = %project, "its sandbox stays awake: {fault}");
                }
                Ok(None)
            }
            Err(MachineError::NotRunning(_)) => {
                self.forget(project).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends its processes and pauses the sandbox.
    pub(super) async fn end(
        &self,
        project: &ProjectId,
        grace: Duration,
    ) -> Result<(), MachineError> {
        let record = self.record(project);
        match record.as_ref().map(|record| &record.left) {
            Some(Left::Cold) if self.known(project).is_none() => return Ok(()),
            // They stand still, and are ended when it is next awake.
            Some(Left::Frozen(_)) => {}
            Some(Left::Running(_) | Left::Unknown | Left::Cold) | None => {
                let Some(live) = self.live(project).await? else { return Ok(()) };
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                let ending = async {
                    let tunnel = live.tunnel().await?;
                    tunnel.ask(&Ask::Stop { grace_ms }, project).await?;
                    tunnel.copy_logs().await;
                    Ok::<_, MachineError>(())
                };
                match ending.await {
                    Ok(()) => {}
                    Err(MachineError::NotRunning(_)) => {
                        self.forget(project).await;
                        return Ok(());
                    }
                    // It works for another one.
                    Err(error @ MachineError::Superseded(_)) => return Err(error),
                    // Paused they do nothing, and are ended when it is next awake.
                    Err(error) => {
                        tracing::warn!(project.id = %project, "paused, not ended: {error}");
                    }
                }
            }
        }
        let Some(sandbox) = self.sandbox(project) else { return Ok(()) };
        // Before it: a tunnel that breaks by the pause would wake it again.
        self.forget(project).await;
        self.api.pause(&sandbox).await.map_err(|fault| self.explain(project, fault))?;
        self.remember(project, &sandbox, Left::Cold)
    }

    pub(super) fn sandbox(&self, project: &ProjectId) -> Option<String> {
        let of_live = self.known(project).map(|live| live.sandbox.clone());
        of_live.or_else(|| Some(self.record(project)?.sandbox))
    }

    /// Deletes the sandbox, every one of this project's.
    pub(super) async fn remove(&self, project: &ProjectId) -> Result<(), MachineError> {
        let explained = |fault| self.explain(project, fault);
        let own = self.sandbox(project);
        self.forget(project).await;
        if let Some(sandbox) = &own {
            self.api.delete(sandbox).await.map_err(explained)?;
        }
        for other in self.api.list(Some(project)).await.map_err(explained)? {
            if own.as_ref() != Some(&other.id) {
                self.api.delete(&other.id).await.map_err(explained)?;
            }
        }
        steps::reached("sandbox.deleted");
        self.forget_files(project)
    }

    pub(super) fn forget_files(&self, project: &ProjectId) -> Result<(), MachineError> {
        [self.folders.run(project), self.log(project)]
            .iter()
            .try_for_each(|path| toft_jail::tree::remove(path))
            .map_err(step(project, "removing what was kept of it here"))
    }

    pub(super) async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let Some(Record { sandbox, left: Left::Running(found) }) = self.record(project) else {
            return Ok(());
        };
        if let Some(tunnel) = self.known(project).and_then(|live| live.open_tunnel()) {
            tunnel.copy_logs().await;
        }
        // Not forgotten: the gateway has the doors, and the machine finds them again.
        if let Some(live) = self.known(project) {
            live.rest().await;
        }
        self.api.pause(&sandbox).await.map_err(|fault| self.explain(project, fault))?;
        self.remember(project, &sandbox, Left::Frozen(found))
    }

    pub(super) async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        if let Some(Record { sandbox, left: Left::Frozen(found) }) = self.record(project) {
            self.remember(project, &sandbox, Left::Running(found))?;
        }
        match self.found(project).await {
            Ok(_) | Err(MachineError::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn is_frozen(&self, project: &ProjectId) -> bool {
        matches!(self.record(project), Some(Record { left: Left::Frozen(_), .. }))
    }

    pub(super) async fn limit(
        &self,
        project: &ProjectId,
        limits: &Limits,
    ) -> Result<(), MachineError> {
        if let Some(tunnel) = self.known(project).and_then(|live| live.open_tunnel()) {
            tunnel.ask(&Ask::SetLimits(limits.clone()), project).await?;
        }
        Ok(())
    }
}

fn running(project: &ProjectId, live: &Live, found: Found) -> Result<Running, MachineError> {
    let Found { token, init_pid, started_at, adopted } = found;
    let gateway_listeners =
        live.listeners().map_err(step(project, "handing the gateway its doors"))?;
    let project = project.clone();
    Ok(Running { project, token, gateway_listeners, init_pid, started_at, adopted })
}

impl E2b {
    pub(super) fn live_of(&self, project: &ProjectId) -> Result<Arc<Live>, MachineError> {
        let running = matches!(self.0.record(project), Some(Record { left: Left::Running(_), .. }));
        let live = self.0.known(project).filter(|_| running);
        live.ok_or_else(|| MachineError::NotRunning(project.clone()))
    }
}
