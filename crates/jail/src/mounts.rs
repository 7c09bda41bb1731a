//! The file tree of a machine. The disk and the host's folders become detached mounts first (by
//! the launcher as root, which can map their owners, else by the child itself); then the root is
//! changed, and everything else is mounted below the new root. No path that the machine controls is
//! walked before the old root is gone, so none can lead outside.

mod overlay;
mod place;
mod read_only;
mod system;

pub(crate) use place::Source;

use crate::{
    failure::{Failure, step},
    spec::{Facts, Jail, View},
};
use place::{attach, detached, make_folder, make_place, off_stage, place};
use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{chdir, pivot_root},
};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

/// Where the new root is put together: any folder that every host has. Only this mount namespace
/// sees it, and only until the root is changed.
const STAGES: &[&str] = &["/tmp", "/run", "/mnt", "/var"];
/// A mount of its own of a folder, from which no path leads out.
pub(crate) fn alone(folder: &Path) -> io::Result<OwnedFd> {
    detached(folder, true, None).map(|source| source.mount)
}

/// Opens the disk, the lower folders and the binds, in this order. `None`: optional and not there.
pub(crate) fn open_sources(
    jail: &Jail,
    userns: Option<BorrowedFd<'_>>,
) -> Result<Vec<Option<Source>>, Failure> {
    let disk = detached(&jail.disk, true, userns).map_err(step("open the machine's disk"))?;
    let mut sources = vec![Some(disk)];
    for overlay in &jail.overlays {
        let lower = detached(&overlay.lower, false, userns);
        sources.push(Some(lower.map_err(step("open a folder of the host"))?));
    }
    for bind in &jail.binds {
        let map = userns.filter(|_| bind.view == View::Mapped);
        match detached(&bind.source, bind.writable, map) {
            Ok(source) => sources.push(Some(source)),
            Err(e) if bind.optional && e.kind() == io::ErrorKind::NotFound => sources.push(None),
            Err(e) => return Err(step("open a file or folder of the host")(e)),
        }
    }
    if let Some(handed) = &jail.handed {
        let opening = "open a folder to hand over";
        for writable in [false, true] {
            let source = detached(&handed.source, writable, userns).map_err(step(opening))?;
            sources.push(Some(source));
        }
    }
    Ok(sources)
}

/// What comes of the tree beside itself.
pub(crate) struct Built {
    /// The way to write to what is handed over.
    pub(crate) handed: Option<OwnedFd>,
    /// The mount namespace for programs that only read.
    pub(crate) read_only: Option<OwnedFd>,
}

/// Puts the tree together and makes it the root. `mapped` tells of the mounts in `fds`; empty: none
/// were made yet.
pub(crate) fn build(
    jail: &Jail,
    mapped: &[Option<bool>],
    fds: Vec<OwnedFd>,
    facts: &mut Facts,
) -> Result<Built, Failure> {
    let mut fds = fds.into_iter();
    let sources = if mapped.is_empty() {
        open_sources(jail, None)?
    } else {
        mapped
            .iter()
            .map(|known| known.and_then(|mapped| fds.next().map(|mount| Source { mount, mapped })))
            .collect()
    };
    let mut sources = sources.into_iter();
    let mut next = || sources.next().flatten();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(step("separate the mounts"))?;
    // Seen from the host's root, and needed below the new one.
    let shown = system::Shown::open()?;
    let stage = stage()?;
    let proc = system::new_proc(stage)?;
    let disk = next().ok_or_else(|| missing("open the machine's disk"))?;
    facts.disk_mapped = disk.mapped;
    place(&disk.mount, &format!("{stage}/disk"))?;
    let root = off_stage(&format!("{stage}/disk/rootfs"))?;
    place(&root, &format!("{stage}/root"))?;
    let mut layers = Vec::with_capacity(jail.overlays.len());
    for (index, overlay) in jail.overlays.iter().enumerate() {
        let lower = next().ok_or_else(|| missing("open a folder of the host"))?;
        layers.push((overlay, overlay::stack(stage, index, overlay, &lower, jail.layers, facts)?));
    }
    let mut binds = Vec::with_capacity(jail.binds.len());
    for (index, bind) in jail.binds.iter().enumerate() {
        let Some(source) = next() else { continue };
        let mount = match bind.view {
            View::Mapped | View::AsOutside => Some(source.mount),
            View::Apart => overlay::apart(stage, index, bind, &source.mount, facts)?,
        };
        binds.extend(mount.map(|mount| (bind, mount)));
    }

    let handed = match &jail.handed {
        None => None,
        Some(handed) => {
            let mut mount = || next().ok_or_else(|| missing("open a folder to hand over"));
            Some((handed, mount()?.mount, mount()?.mount))
        }
    };

    change_root(&format!("{stage}/root"))?;
    for (overlay, layer) in layers {
        make_folder(&overlay.target)?;
        attach(&layer, &overlay.target)?;
    }
    system::mount_all(&proc, &shown)?;
    for (bind, mount) in binds {
        make_place(&mount, &bind.target)?;
        attach(&mount, &bind.target)?;
    }
    let handed = match handed {
        None => None,
        Some((handed, shown, to_write)) => {
            make_place(&shown, &handed.target)?;
            attach(&shown, &handed.target)?;
            Some(to_write)
        }
    };
    system::close_own()?;
    system::mask_proc(facts);
    Ok(Built { handed, read_only: read_only::prepare(facts)? })
}

fn missing(what: &'static str) -> Failure {
    step(what)(io::Error::other("the launcher sent too few mounts"))
}

/// A small private file system to put things together in.
fn stage() -> Result<&'static str, Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mut last = Errno::NOENT;
    for path in STAGES {
        match mount("toft", *path, "tmpfs", flags, c"mode=0700,size=64k") {
            Ok(()) => return Ok(path),
            Err(e) => last = e,
        }
    }
    Err(step("mount a private file system")(last))
}

/// Makes `path` the root and lets go of the old one, with everything of the host, at once: while it
/// is mounted over the new root, `/..` is the way back to it. No descriptor leads there either: a
/// link that the machine planted could follow one through `/proc`.
fn change_root(path: &str) -> Result<(), Failure> {
    chdir(path).map_err(step("enter the new root"))?;
    pivot_root(".", ".").map_err(step("change the root"))?;
    // `.` is where both roots are, and the old one is the upper (pivot_root(2), notes).
    unmount(".", UnmountFlags::DETACH).map_err(step("leave the old root"))?;
    chdir("/").map_err(step("enter the new root"))
}
