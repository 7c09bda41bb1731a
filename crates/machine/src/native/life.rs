//! The life of a machine on this host: its disk is made, it starts, its traces are removed.

use super::{Inner, by_launcher, ids::IdKind};
use crate::{
    backend::{MachineError, Running, StartSpec},
    begin::{self, Start, TOKEN_BYTES},
    blocking::blocking,
    boot,
    cgroup::{MachineGroup, Programs},
    disks::Copied,
    error::step,
    folders::{self, BRIDGE_SOCKET, INIT_SOCKET, rand_name},
    images::Prepared,
    launcher,
    places::{Places, gateway_fds},
    running, steps,
    storage::Lent,
};
use std::{
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_jail::spec::{
    Direct, FD_BOOT, FD_HANDED, FD_READ_ONLY, Handed, Ids, Jail, Layer, Layers, Run, Spec, Task,
};
use toft_model::id::{ProjectId, random_hex};

/// Starts a machine whose disk exists and that does not run.
pub(super) async fn start(inner: &Arc<Inner>, spec: StartSpec) -> Result<Running, MachineError> {
    let project = spec.project.clone();
    let (work, id) = (Arc::clone(inner), project.clone());
    let (running, programs) = blocking(move || work.launch(&spec, &id)).await?;
    let (run, log) = (inner.folders.run(&project), inner.log(&project));
    let rest = async {
        if let Some(programs) = programs {
            blocking(move || programs.make_rest()).await;
        }
    };
    steps::reached("start.committed");
    let (greeted, ()) = tokio::join!(begin::greet(&run, &log, &project), rest);
    steps::reached("start.greeted");
    greeted.map(|()| running)
}

impl Inner {
    /// Makes the template that new disks are copied from, unless it is there.
    pub(super) fn make_template(&self) -> Result<(), MachineError> {
        let template = self.pool.root.join(&self.image.key);
        if template.exists() {
            // A killed server may have made it, and come no further.
            self.drop_old_templates(&template);
            return Ok(());
        }
        let half = self.pool.scratch().join(format!("template-{}", rand_name()));
        let rootless = self.ids != IdKind::Ranges;
        let made = self
            .pool
            .storage
            .make(&half)
            .and_then(|()| self.image.build(&half, rootless))
            .and_then(|()| fs::rename(&half, &template));
        made.map_err(|e| {
            self.drop_disk(&half);
            match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    MachineError::DiskFull { step: "making the template of machines" }
                }
                _ => MachineError::Unsupported {
                    missing: format!("a template for machines could not be made: {e}"),
                    remedy: "Look at the message, then start again.".to_owned(),
                },
            }
        })?;
        self.drop_old_templates(&template);
        Ok(())
    }

    /// Projects hold copies, so nothing needs a template of an earlier state of the host.
    fn drop_old_templates(&self, current: &Path) {
        let entries = fs::read_dir(&self.pool.root).into_iter().flatten().flatten();
        for path in entries.map(|e| e.path()) {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            let old =
                [b"template-".as_slice(), b"spare-"].iter().any(|kind| name.starts_with(kind));
            if old && path != current && path != self.spare() {
                self.drop_disk(&path);
            }
        }
    }

    fn spare(&self) -> PathBuf {
        self.pool.root.join(self.image.key.replace("template", "spare"))
    }

    /// Where copying is slow, one fresh disk waits for the next project.
    pub(super) fn make_spare(&self) {
        let spare = self.spare();
        if !self.pool.storage.copies_slowly() || spare.exists() {
            return;
        }
        let half = self.pool.scratch().join(format!("spare-{}", rand_name()));
        let template = self.pool.root.join(&self.image.key);
        let made =
            self.pool.storage.copy(&template, &half).and_then(|()| fs::rename(&half, &spare));
        if let Err(e) = made {
            tracing::warn!("no disk could be kept ready: {e}");
            self.drop_disk(&half);
        }
    }

    /// Makes a disk of an image (`host` when absent): all of it or nothing. There already: done.
    pub(super) fn create(
        &self,
        project: &ProjectId,
        image: Option<&Prepared>,
    ) -> Result<(), MachineError> {
        let disks: &dyn Copied = self;
        let Some(image) = image else {
            let template = self.pool.root.join(&self.image.key);
            return disks.create(project, Some(&self.spare()), &template, |_| Ok(()));
        };
        let from = image.disk.clone().unwrap_or_else(|| self.pool.root.join(&self.image.key));
        disks.create(project, None, &from, |half| image.definition.write(half))
    }

    /// Everything of a start that blocks. What it made is removed again when it fails.
    fn launch(
        &self,
        spec: &StartSpec,
        project: &ProjectId,
    ) -> Result<(Running, Option<Programs>), MachineError> {
        let run = self.folders.run(project);
        self.bound_if_made(project, spec.limits.disk_bytes)?;
        folders::private(&run).map_err(step(project, "preparing the machine's folders"))?;
        self.make_log(project)?;
        // What is left of one that ended by itself would count for this one.
        self.sweep_group(project);
        crate::watch::forget(&run);
        running::forget_names(&run).map_err(step(project, "preparing the machine's folders"))?;
        steps::reached("start.folders");
        let ids = self.ids.of(project, &self.slots).map_err(step(project, "taking an id range"))?;
        let owner = match ids {
            Ids::Range { base, .. } => Some(base),
            _ => None,
        };
        let group = MachineGroup::make(&self.cgroups, project.as_str(), &spec.limits, owner)
            .map_err(step(project, "making the machine's control groups"))?;
        steps::reached("start.groups");
        let (groups, programs) = (group.groups.clone(), group.programs());
        let launched = self.launch_in(spec, project, ids, group);
        if launched.is_err() {
            groups.remove();
        }
        launched.map(|running| (running, programs))
    }

    fn launch_in(
        &self,
        spec: &StartSpec,
        project: &ProjectId,
        ids: Ids,
        group: MachineGroup,
    ) -> Result<Running, MachineError> {
        let (run, log) = (self.folders.run(project), self.log(project));
        let listening = "opening the machine's sockets";
        let init = folders::listen(&run, INIT_SOCKET).map_err(step(project, listening))?;
        let bridge = folders::listen(&run, BRIDGE_SOCKET).map_err(step(project, listening))?;
        steps::reached("start.sockets");
        let said = folders::new_log(&log).map_err(step(project, "opening the machine's log"))?;
        let token = random_hex(TOKEN_BYTES);
        let base = self.base_for(&self.disk(project), project)?;
        let binary = self.binary.seen();
        let places = Places {
            path: base.path,
            env: base.env,
            shell: base.shell,
            gateway_fds: gateway_fds(self.facts.direct),
            log_fd: Some(FD_HANDED),
            read_only_fd: self.facts.read_only.then_some(FD_READ_ONLY),
            ..Places::confined(binary.command.clone())
        };
        let boot = boot::init_boot(spec, &token, &places, group.work_files());
        let boot = serde_json::to_string(&boot)
            .map_err(|e| step(project, "writing the boot data")(io::Error::from(e)))?;
        let mut binds = base.binds;
        binds.extend(binary.binds.iter().cloned());
        binds.extend(group.binds.iter().cloned());
        let jail = Jail {
            hostname: boot::hostname(spec),
            ids,
            disk: self.disk(project),
            overlays: base.overlays,
            layers: self.layers(),
            direct: if self.facts.direct { Direct::Needed } else { Direct::Left },
            binds,
            handed: Some(Handed { source: log.clone(), target: places.log.clone() }),
        };
        let run_task = Run {
            argv: places.command_with(&["init", &FD_BOOT.to_string()]),
            env: boot::init_env(&places),
            cwd: "/".to_owned(),
            boot,
            open_files: toft_jail::open_files::usual(),
        };
        let launch = Spec { jail: Some(jail), task: Task::Run(run_task), cgroups: group.join };
        let lent = self.lend(project)?;
        let start = Start {
            project,
            exe: &self.exe,
            run: &run,
            log: &log,
            said,
            token,
            groups: group.groups,
            gateway_fds: places.gateway_fds,
            descriptors: &[init.as_fd(), bridge.as_fd()],
            listeners: Vec::new(),
            walls_stand: Box::new(move || lent.as_ref().map_or(Ok(()), Lent::take_back)),
        };
        let (running, facts) = begin::launch(start, &launch)?;
        for note in facts.notes.iter().filter(|n| !self.facts.notes.contains(n)) {
            tracing::warn!(project.id = %project, "{note}");
        }
        Ok(running)
    }

    /// Layers that could be written to when this host was tried can be so at every start: one that
    /// cannot would stay so, and its programs would be told of a read-only system.
    fn layers(&self) -> Layers {
        if self.facts.overlays.iter().any(|(_, layer)| *layer == Layer::ReadOnly) {
            Layers::AsTheyAre
        } else {
            Layers::Writable
        }
    }

    pub(super) fn remove_files(&self, path: &Path) -> io::Result<()> {
        match self.pool.storage.remove(path) {
            // Files of delegated ids: only somebody with these ids may remove them.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && self.ids != IdKind::Ranges => {
                let log = by_launcher::log(&self.folders.runs())?;
                let task = Task::Remove { paths: vec![path.to_owned()] };
                let spec = by_launcher::spec(self.ids.for_trial(), path, task);
                launcher::run(&self.exe, &spec, log).map(|_| ()).map_err(io::Error::other)
            }
            other => other,
        }
    }

    /// Projects that have groups. Some may be about to start.
    pub(super) fn grouped(&self) -> Vec<ProjectId> {
        let folders = self.cgroups.folders();
        let entries = folders.flat_map(|f| fs::read_dir(f).into_iter().flatten().flatten());
        let mut found: Vec<ProjectId> =
            entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Removes the groups of a machine that does not run, with whatever is left in them. The caller
    /// holds the project's turn, or nothing starts any more.
    pub(super) fn sweep_group(&self, project: &ProjectId) {
        if !self.runs(project) {
            self.cgroups.sweep(project.as_str());
        }
    }

    pub(super) fn close(&self) -> Result<(), MachineError> {
        if running::started(&self.folders.runs()).iter().any(|(_, alive)| *alive) {
            return Ok(());
        }
        for project in self.grouped() {
            self.sweep_group(&project);
        }
        self.cgroups.remove();
        self.disks.close().map_err(|e| MachineError::Unsupported {
            missing: format!("the storage could not be unmounted: {e}"),
            remedy: "See what still uses it: `fuser -vm` on the data folder's store/pool."
                .to_owned(),
        })
    }
}
