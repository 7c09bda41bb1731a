//! What this backend says of itself, for the contract that all keep alike.

use super::{HOME, Host, IGNORED};
use crate::{
    at_rest::Files,
    backend::{MachineError, Part, Running, StartSpec},
    begin,
    blocking::blocking,
    carried::Place,
    cgroup::{self, CgroupHost},
    error::step,
    halt::HALTS,
    machines::Machines,
    places::{READ_ONLY, READ_ONLY_LEFT},
    walls::Walls,
};
use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc};
use toft_model::{
    boot::HOST_OWN,
    id::ProjectId,
    machine::{Ability, Can},
};
use tokio::sync::OwnedMutexGuard;

#[async_trait]
impl Walls for Host {
    const NAME: &'static str = "host";

    fn machines(&self) -> &Machines {
        &self.0.machines
    }

    fn found(&self) -> Vec<Ability> {
        let mut all: Vec<Ability> = [
            ("user namespaces", "no sandbox: programs run as your own user, on your own files"),
            ("id range", "none: programs have your user's id"),
            ("storage", "a plain folder, without copies"),
            ("system folders", "none: programs see the whole host"),
            ("disk limit", "none"),
            ("network isolation", "none: programs reach what you reach"),
            ("system call filter", "none"),
            (READ_ONLY, READ_ONLY_LEFT),
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

    fn able(&self) -> Can {
        let controllers = ["memory", "pids", "cpu"].into_iter();
        let limited = controllers.filter(|name| self.0.cgroups.way(name).is_some());
        Can { freeze: true, limits: limited.map(str::to_owned).collect(), ..Can::default() }
    }

    fn log(&self, project: &ProjectId) -> PathBuf {
        self.0.log(project)
    }

    fn at_rest(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        Files::of_folder(&self.0.folder(project))
            .map_err(step(project, "opening the project's folder"))
    }

    fn groups(&self, _project: &ProjectId) -> Option<CgroupHost> {
        Some(self.0.cgroups.clone())
    }

    fn place(&self, project: &ProjectId, part: Part) -> Option<Place> {
        let folder = self.0.folder(project);
        match part {
            Part::Project => Some(Place::of_person(folder, &HOST_OWN)),
            // Its programs' home is that of the user that runs Toft.
            Part::Home => None,
            Part::Own => Some(Place::of_person(folder.join(HOME), &[IGNORED.0])),
            Part::Log => Some(Place::of_person(self.0.log(project), &[IGNORED.0])),
        }
    }

    fn leave(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.remove(project)
    }

    async fn let_go(&self) -> Result<(), MachineError> {
        self.close().await
    }

    async fn make(
        &self,
        project: &ProjectId,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), MachineError> {
        let (inner, id) = (Arc::clone(&self.0), project.clone());
        let made = blocking(move || {
            let made = inner.create(&id);
            drop(turn);
            made
        });
        made.await.map_err(step(project, "making the project's folder"))
    }

    async fn launch(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let (inner, project) = (Arc::clone(&self.0), spec.project.clone());
        let running = blocking(move || inner.launch(&spec)).await?;
        let run = self.0.machines.folders.run(&project);
        begin::greet(&run, &self.0.log(&project), &project).await?;
        Ok(running)
    }

    fn remove(&self, project: &ProjectId) -> Result<(), MachineError> {
        [self.0.folder(project), self.0.machines.folders.run(project)]
            .into_iter()
            .try_for_each(|path| toft_jail::tree::remove(&path))
            .map_err(step(project, "removing the project's folder"))
    }
}
