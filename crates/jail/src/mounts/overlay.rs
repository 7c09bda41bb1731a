//! Folders of the host seen through overlays: with a layer of the machine's own, or without one.

use super::place::{Source, off_stage, place};
use crate::{
    failure::{Failure, step},
    spec::{Bind, Facts, Layer, Layers, Overlay},
};
use rustix::{
    fs::{StatVfsMountFlags, XattrFlags, setxattr, statvfs},
    io::Errno,
    mount::{MountFlags, mount},
};
use std::{fs, io, os::fd::OwnedFd, path::Path};

/// With less room than this on a disk the kernel might not get what it needs to mount an overlay: it is
/// asked for first.
const ROOM_BYTES: u64 = 64 << 20;

/// Makes one overlay and returns it, detached. Must happen in the machine's user namespace: an
/// overlay that real root mounts over mapped layers comes up read-only.
pub(super) fn stack(
    stage: &str,
    index: usize,
    overlay: &Overlay,
    lower: &Source,
    layers: Layers,
    facts: &mut Facts,
) -> Result<OwnedFd, Failure> {
    let (below, over) = (format!("{stage}/lower{index}"), format!("{stage}/over{index}"));
    place(&lower.mount, &below)?;
    fs::create_dir(&over).map_err(step("make a folder to mount on"))?;
    let work = format!("{stage}/disk/{}", overlay.work);
    let is_short =
        statvfs(work.as_str()).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) < ROOM_BYTES);
    if is_short {
        refuse_full(Path::new(&work))?;
    }
    let options = format!(
        "lowerdir={below},upperdir={stage}/disk/{},workdir={work},userxattr",
        overlay.upper
    );
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let refused = match mount_overlay(&over, flags, options)? {
        Err(e) => Some(io::Error::from(e)),
        Ok(()) => statvfs(over.as_str())
            .is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY))
            .then(|| io::Error::other("it came up read-only; the kernel's messages say why")),
    };
    if refused.is_some() {
        refuse_full(Path::new(&work))?;
    }
    let refused = match refused {
        Some(why) if layers == Layers::Writable => {
            let why = format!("{}: {why}", overlay.target);
            return Err(step("put a layer over a folder of the host")(io::Error::other(why)));
        }
        refused => refused,
    };
    let (from, layer) = match (&refused, lower.mapped) {
        (None, true) => (&over, Layer::Mapped),
        (None, false) => (&over, Layer::Unmapped),
        (Some(_), _) => (&below, Layer::ReadOnly),
    };
    if let Some(why) = refused {
        facts.notes.push(format!("{} cannot be changed inside: {why}", overlay.target));
    }
    facts.overlays.push((overlay.target.clone(), layer));
    off_stage(from)
}

/// Fails when the disk has no room for what the kernel writes to mount an overlay: a folder to work in
/// and an attribute. Without the one it mounts read-only and without the other it forgets what was
/// removed, says so to nobody, and stays so when there is room again.
fn refuse_full(work: &Path) -> Result<(), Failure> {
    let tried = work.join("room");
    let made = rustix::fs::mkdir(&tried, rustix::fs::Mode::RWXU)
        .and_then(|()| setxattr(&tried, "user.overlay.opaque", b"0", XattrFlags::empty()));
    // Left behind it would be in nobody's way.
    let _ = rustix::fs::rmdir(&tried);
    match made {
        Err(e @ (Errno::NOSPC | Errno::DQUOT)) => {
            Err(step("make room for changes to the system folders")(e))
        }
        // What else may be wrong shows in the overlay itself.
        _ => Ok(()),
    }
}

/// A folder through an overlay without a layer of its own. Its inodes are the overlay's: the kernel
/// finds nobody behind their sockets and pipes. `None`, with a note: it cannot be had.
pub(super) fn apart(
    stage: &str,
    index: usize,
    bind: &Bind,
    source: &OwnedFd,
    facts: &mut Facts,
) -> Result<Option<OwnedFd>, Failure> {
    let [below, none, over] =
        ["below", "none", "apart"].map(|name| format!("{stage}/{name}{index}"));
    place(source, &below)?;
    for path in [&none, &over] {
        fs::create_dir(path).map_err(step("make a folder to mount on"))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
    match mount_overlay(&over, flags, format!("lowerdir={below}:{none},userxattr"))? {
        Ok(()) => off_stage(&over).map(Some),
        Err(e) => {
            facts.notes.push(format!("{} is not shown inside: {e}", bind.target));
            Ok(None)
        }
    }
}

/// The inner error: the kernel refused.
fn mount_overlay(
    path: &str,
    flags: MountFlags,
    options: String,
) -> Result<rustix::io::Result<()>, Failure> {
    let options = std::ffi::CString::new(options)
        .map_err(|e| step("name the layers of an overlay")(io::Error::other(e)))?;
    Ok(mount("toft", path, "overlay", flags, options.as_c_str()))
}
