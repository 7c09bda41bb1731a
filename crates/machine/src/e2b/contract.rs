//! The contract of a backend, as this one keeps it. What it cannot do it refuses, with what to use instead.

use super::{E2b, carry};
use crate::{
    at_rest::Files,
    backend::{Backend, Far, MachineError, Part, Running, StartSpec, Stats},
    blocking::to_its_end,
    places::{READ_ONLY, READ_ONLY_LEFT},
    tunnel::wire::{Answer, Ask},
};
use async_trait::async_trait;
use std::{os::fd::OwnedFd, path::PathBuf, time::Duration};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can, Limits},
};
use tokio::net::UnixStream;

const NAME: &str = "e2b";

#[async_trait]
impl Backend for E2b {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sandbox(&self, project: &ProjectId) -> Option<String> {
        self.0.sandbox(project)
    }

    async fn abilities(&self) -> Vec<Ability> {
        let ability = |name: &str, how: String, remedy: Option<&str>| Ability {
            name: name.to_owned(),
            enforced: remedy.is_none(),
            how,
            remedy: remedy.map(str::to_owned),
        };
        let api = &self.0.api;
        let native = "Use the backend `native` for projects that need it.";
        vec![
            ability(
                "sandbox",
                format!("each project has a sandbox of E2B's own, of the template {:?}", api.template()),
                None,
            ),
            ability(
                "network isolation",
                "E2B is told to let sandboxes reach nothing of the internet; models and the way out come \
                 through a tunnel from this server's gateway"
                    .to_owned(),
                None,
            ),
            ability(
                "storage",
                "the sandbox's own disk, at E2B: kept while it is paused, gone with it".to_owned(),
                None,
            ),
            ability(
                "freezer",
                format!(
                    "E2B pauses sandboxes with their memory; one whose server says nothing for {} s is \
                     paused too, and goes on when it is back",
                    api.lives().as_secs()
                ),
                None,
            ),
            ability(
                "checkpoints",
                "none: a copy of a sandbox would hold its running processes too".to_owned(),
                Some(native),
            ),
            ability(
                "memory limit",
                "the template's, not the project's".to_owned(),
                Some("Choose the template by the memory and the processors that projects need."),
            ),
            ability(READ_ONLY, READ_ONLY_LEFT.to_owned(), Some(native)),
        ]
    }

    fn storage(&self) -> String {
        "sandboxes at E2B".to_owned()
    }

    fn can(&self) -> Can {
        Can { freeze: true, egress: true, ..Can::default() }
    }

    fn carries(&self) -> Result<(), String> {
        Ok(())
    }

    async fn is_made(&self, project: &ProjectId) -> Result<bool, MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.0.is_made(project).await
    }

    async fn pack(&self, project: &ProjectId, part: Part, to: OwnedFd) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        carry::pack(&self.0, project, part, to).await
    }

    async fn unpack(
        &self,
        project: &ProjectId,
        part: Part,
        from: OwnedFd,
    ) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        carry::unpack(&self.0, project, part, from).await
    }

    async fn rest(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.stop(project, Duration::ZERO).await
    }

    async fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.remove(&project).await
        })
        .await
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.make(&project).await
        })
        .await
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let inner = self.0.clone();
        to_its_end(async move {
            let _turn = inner.turns.take(&spec.project).await;
            inner.launch(spec).await
        })
        .await
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.found(&project).await
        })
        .await
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.end(&project, grace).await
        })
        .await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let turn = inner.turns.take(&project).await;
            inner.remove(&project).await?;
            inner.turns.end(&project, turn);
            Ok(())
        })
        .await
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let (inner, known) = (self.0.clone(), known.to_vec());
        to_its_end(async move { inner.sweep(&known).await }).await
    }

    async fn sweep_far(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let (inner, known) = (self.0.clone(), known.to_vec());
        to_its_end(async move { inner.sweep_far(&known).await }).await
    }

    fn far(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn called(&self, installation: &str) {
        self.0.api.called(installation);
    }

    fn fenced(&self, project: &ProjectId, fence: u64) {
        self.0.fenced(project, fence);
    }

    async fn reaches(&self, project: &ProjectId) -> Result<Option<Far>, MachineError> {
        self.0.reaches(project).await
    }

    async fn let_go(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            // Whoever waits for its sandbox just now gives up.
            inner.forget(&project).await;
            let turn = inner.turns.take(&project).await;
            inner.let_go(&project).await?;
            inner.turns.end(&project, turn);
            Ok(())
        })
        .await
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.live_of(project)?.tunnel().await?.connect(&Ask::Init, project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        self.live_of(project)?.tunnel().await?.connect(&Ask::Bridge, project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        let Some(tunnel) = self.0.known(project).and_then(|live| live.open_tunnel()) else {
            return Ok(Stats::default());
        };
        Ok(match tunnel.ask(&Ask::Stats, project).await? {
            Answer::Uses { memory_bytes, pids } => Stats { memory_bytes, pids },
            _ => Stats::default(),
        })
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.freeze(&project).await
        })
        .await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let (inner, project) = (self.0.clone(), project.clone());
        to_its_end(async move {
            let _turn = inner.turns.take(&project).await;
            inner.thaw(&project).await
        })
        .await
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.0.is_frozen(project))
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        self.0.limit(project, limits).await
    }

    async fn files(&self, _project: &ProjectId) -> Result<Option<Files>, MachineError> {
        Err(MachineError::Unable {
            what: "reading the files of a machine that does not run",
            why: "they lie in its sandbox at E2B: wake or start it to see them".to_owned(),
        })
    }
}
