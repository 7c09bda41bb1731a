//! Disks on their way to another data folder: a kept copy as an archive of tar's, and back. By the system's own tar,
//! which knows owners, attributes, devices, holes and hard links.

use super::{Copied, room::CREATE_FREE_BYTES_MIN};
use crate::{backend::MachineError, carried::done, error::step, folders::rand_name};
use rustix::process::geteuid;
use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// What both directions are told: a layer over other folders is made of attributes and devices.
const WHOLE: [&str; 4] = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];

impl dyn Copied {
    /// Writes a kept copy of a disk.
    pub(crate) fn export(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        to: OwnedFd,
    ) -> Result<(), MachineError> {
        let exporting = "writing the machine's disk to a backup";
        let kept = self.kept(project, id)?;
        may_all(exporting)?;
        let mut tar = tar(&kept);
        tar.args(["--create", "--sparse", "--file=-", "."]).stdin(Stdio::null()).stdout(to);
        done(tar).map_err(step(project, exporting))
    }

    /// Makes the disk of what [`dyn Copied::export`] has written. There already: an error.
    pub(crate) fn import(&self, project: &ProjectId, from: OwnedFd) -> Result<(), MachineError> {
        let importing = "making the machine's disk from a backup";
        self.ensure(project)?;
        may_all(importing)?;
        let disk = self.disk(project);
        if disk.exists() {
            let there = io::Error::new(io::ErrorKind::AlreadyExists, "it has one");
            return Err(step(project, importing)(there));
        }
        self.has_room(importing, CREATE_FREE_BYTES_MIN)?;
        self.give_ids(project)?;
        self.make_log(project)?;
        let half = self.pool.scratch().join(format!("{project}-{}", rand_name()));
        let storage = &self.pool.storage;
        storage
            .make(&half)
            .and_then(|()| {
                let mut tar = tar(&half);
                tar.args(["--extract", "--preserve-permissions", "--same-owner", "--file=-"]);
                done({
                    tar.stdin(from).stdout(Stdio::null());
                    tar
                })
            })
            .and_then(|()| storage.settle(&half))
            .and_then(|()| self.count(&half, project))
            .and_then(|()| fs::rename(&half, &disk))
            .map_err(|e| {
                self.drop_disk(&half);
                step(project, importing)(e)
            })
    }
}

/// Files of machines belong to ids that an ordinary user may not give.
fn may_all(what: &'static str) -> Result<(), MachineError> {
    if geteuid().is_root() {
        return Ok(());
    }
    let why =
        "files of machines belong to other users, which only root reads and makes: do it as root"
            .into();
    Err(MachineError::Unable { what, why })
}

fn tar(folder: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).args(WHOLE);
    tar
}
