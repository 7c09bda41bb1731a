//! Disks on their way to another data folder: a kept copy as an archive of tar's, and back. By the system's own tar,
//! which knows owners, attributes, devices, holes and hard links.

use super::{Copied, room::CREATE_FREE_BYTES_MIN};
use crate::{backend::MachineError, error::step, folders::rand_name};
use rustix::process::geteuid;
use std::{
    fs, io,
    io::Read as _,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// What both directions are told: a layer over other folders is made of attributes and devices.
const WHOLE: [&str; 4] = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];
/// Of what it complains about, the last.
const SAID_BYTES_MAX: u64 = 4 << 10;

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

fn done(mut tar: Command) -> io::Result<()> {
    let mut child = tar.stderr(Stdio::piped()).spawn().map_err(|e| {
        io::Error::new(e.kind(), format!("`tar` cannot be started ({e}): install GNU tar"))
    })?;
    // Ours would keep the pipe open to whoever reads it.
    drop(tar);
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut first = stderr.take(SAID_BYTES_MAX);
        first.read_to_string(&mut said)?;
        io::copy(&mut first.into_inner(), &mut io::sink())?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("tar ended with {status}: {}", said.trim())))
}
