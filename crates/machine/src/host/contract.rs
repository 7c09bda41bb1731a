//! The backend's side of the contract: every method in the turn of its project.

use super::{Host, Inner};
use crate::{
    at_rest::Files,
    backend::{Backend, MachineError, Running, StartSpec, Stats},
    begin, cgroup,
    folders::{BRIDGE_SOCKET, INIT_SOCKET},
    frozen,
    halt::HALTS,
    limited,
    running::{self, blocking, step},
};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc, time::Duration};
use toft_model::{
    event::LimitHit,
    id::ProjectId,
    machine::{Ability, Can, Limits},
};
use tokio::{net::UnixStream, sync::broadcast};

#[async_trait]
impl Backend for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    async fn abilities(&self) -> Vec<Ability> {
        let mut all: Vec<Ability> = [
            ("user namespaces", "no sandbox: programs run as your own user, on your own files"),
            ("id range", "none: programs have your user's id"),
            ("storage", "a plain folder, without copies"),
            ("system folders", "none: programs see the whole host"),
            ("disk limit", "none"),
            ("network isolation", "none: programs reach what you reach"),
            ("system call filter", "none"),
        ]
        .map(|(name, how)| Ability {
            name: name.to_owned(),
            enforced: false,
            how: how.to_owned(),
            remedy: Some(
                "Use the backend `native`: `toft up` without `--backend host`.".to_owned(),
            ),
        })
        .into();
        all.extend(cgroup::limits(&self.0.cgroups, rustix::process::geteuid().is_root()));
        let freezer = self.0.cgroups.freezer();
        all.push(Ability {
            name: "freezer".to_owned(),
            enforced: true,
            how: match freezer {
                Some(way) => format!("cgroup {way:?}").to_lowercase(),
                None => HALTS.to_owned(),
            },
            remedy: None,
        });
        all
    }

    fn can(&self) -> Can {
        let controllers = ["memory", "pids", "cpu"].into_iter();
        let limited = controllers.filter(|name| self.0.cgroups.way(name).is_some());
        Can { freeze: true, limits: limited.map(str::to_owned).collect(), ..Can::default() }
    }

    fn storage(&self) -> String {
        "plain folder".to_owned()
    }

    async fn create(&self, project: &ProjectId) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        blocking(move || inner.create(&id))
            .await
            .map_err(step(project, "making the project's folder"))
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let project = spec.project.clone();
        let _turn = self.0.turns.take(&project).await;
        let run = self.0.folders.run(&project);
        frozen::settle(&run);
        if let Some(running) = running::adopt(&run, &project).await? {
            self.watch(&project);
            return Ok(running);
        }
        // What was watched has ended by itself.
        self.unwatch(&project).await;
        let inner = Arc::clone(&self.0);
        let running = blocking(move || inner.launch(&spec)).await?;
        begin::greet(&run, &self.0.log(&project), &project).await?;
        self.watch(&project);
        Ok(running)
    }

    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError> {
        let _turn = self.0.turns.take(project).await;
        let run = self.0.folders.run(project);
        frozen::settle(&run);
        let found = running::adopt(&run, project).await?;
        if found.is_some() {
            self.watch(project);
        }
        Ok(found)
    }

    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError> {
        let _turn = self.0.turns.take(project).await;
        self.end_processes(project, grace).await
    }

    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError> {
        let turn = self.0.turns.take(project).await;
        self.end_processes(project, Duration::ZERO).await?;
        let run = self.0.folders.run(project);
        let folder = self.0.folder(project);
        blocking(move || {
            [folder, run].into_iter().try_for_each(|path| toft_jail::tree::remove(&path))
        })
        .await
        .map_err(step(project, "removing the project's folder"))?;
        self.0.turns.end(project, turn);
        Ok(())
    }

    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let inner = Arc::clone(&self.0);
        let (known, wanted) = (known.to_vec(), known.to_vec());
        for project in blocking(move || running::unwanted(&inner.folders.runs(), &wanted)).await {
            let _turn = self.0.turns.take(&project).await;
            running::sweep(&self.0.folders.run(&project), &project, &known).await?;
        }
        Ok(())
    }

    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), INIT_SOCKET, project).await
    }

    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError> {
        running::connect(&self.0.folders.run(project), BRIDGE_SOCKET, project).await
    }

    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError> {
        let run = self.0.folders.run(project);
        Ok(blocking(move || running::stats(&run)).await)
    }

    fn log_dir(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    async fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        let folder = self.0.folder(project);
        let opened = blocking(move || Files::of_folder(&folder)).await;
        opened.map_err(step(project, "opening the project's folder"))
    }

    async fn freeze(&self, project: &ProjectId) -> Result<(), MachineError> {
        let freeze = |inner: &Inner, id: &ProjectId| {
            frozen::freeze(&inner.folders.run(id), id).inspect(|()| inner.watches.end(id))
        };
        self.in_turn(project, freeze).await
    }

    async fn thaw(&self, project: &ProjectId) -> Result<(), MachineError> {
        let thaw = |inner: &Inner, id: &ProjectId| frozen::thaw(&inner.folders.run(id), id);
        self.in_turn(project, thaw).await?;
        self.watch(project);
        Ok(())
    }

    async fn is_frozen(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.in_turn(project, |inner, id| frozen::is_frozen(&inner.folders.run(id))).await)
    }

    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        self.0.watches.hits()
    }

    async fn set_limits(&self, project: &ProjectId, limits: &Limits) -> Result<(), MachineError> {
        let limits = limits.clone();
        let change = move |inner: &Inner, id: &ProjectId| {
            inner.watches.look(id);
            limited::set(&inner.folders.run(id), id, &inner.cgroups, &limits)
                .inspect(|()| inner.watches.look(id))
        };
        self.in_turn(project, change).await
    }
}
