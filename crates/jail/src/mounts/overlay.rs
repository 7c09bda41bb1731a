//! Folders of the host seen through overlays: with a layer of the machine's own, or without one.

use super::place::{Source, off_stage, place};
use crate::{
    failure::{Failure, step},
    spec::{Bind, Facts, Layer, Overlay},
};
use rustix::{
    fs::StatVfsMountFlags,
    mount::{MountFlags, mount},
};
use std::{fs, io, os::fd::OwnedFd};

/// Makes one overlay and returns it, detached. Must happen in the machine's user namespace: an
/// overlay that real root mounts over mapped layers comes up read-only.
pub(super) fn stack(
    stage: &str,
    index: usize,
    overlay: &Overlay,
    lower: &Source,
    facts: &mut Facts,
) -> Result<OwnedFd, Failure> {
    let (below, over) = (format!("{stage}/lower{index}"), format!("{stage}/over{index}"));
    place(&lower.mount, &below)?;
    fs::create_dir(&over).map_err(step("make a folder to mount on"))?;
    let options = format!(
        "lowerdir={below},upperdir={stage}/disk/{},workdir={stage}/disk/{},userxattr",
        overlay.upper, overlay.work
    );
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let refused = match mount_overlay(&over, flags, options)? {
        Err(e) => Some(e.to_string()),
        Ok(()) => rustix::fs::statvfs(over.as_str())
            .is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY))
            .then(|| "it came up read-only".to_owned()),
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
